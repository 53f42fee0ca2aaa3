/* triad: out = b + scalar*c. There is next to nothing to compute: memory binds it. */
#include "kernels.h"

enum { CHUNK = 1 << 15 /* elements between polls: some 0.1 ms from memory */ };

int gilx_triad(const gilx_argument *arguments, int64_t start, int64_t stop,
               gilx_control *control) {
    const double *restrict b = arguments[0].data;
    const double *restrict c = arguments[1].data;
    const double scalar = arguments[2].real;
    double *restrict out = arguments[3].data;

    for (int64_t begin = start; begin < stop; begin += CHUNK) {
        const int64_t end = stop - begin < CHUNK ? stop : begin + CHUNK;
        for (int64_t i = begin; i < end; ++i) {
            out[i] = b[i] + scalar * c[i];
        }
        if (gilx_should_stop(control)) {
            return GILX_STOPPED;
        }
    }
    return GILX_DONE;
}
