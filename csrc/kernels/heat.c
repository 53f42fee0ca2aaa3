/* heat: one step of the five-point scheme. Rows above and below come from the cache, so
 * memory binds it: each cell is read once and written once. */
#include <string.h>

#include "kernels.h"

enum { CHUNK = 1 << 15 /* cells between polls: some 0.1 ms from memory */ };

/* One row that is not on the border. False when asked to stop. */
static bool step_row(const double *restrict above, const double *restrict here,
                     const double *restrict below, double rate, int64_t width,
                     double *restrict out, gilx_poll *poll) {
    out[0] = here[0];
    out[width - 1] = here[width - 1];
    for (int64_t begin = 1; begin < width - 1; begin += CHUNK) {
        const int64_t end = width - 1 - begin < CHUNK ? width - 1 : begin + CHUNK;
        for (int64_t i = begin; i < end; ++i) {
            double around = (above[i] + below[i]) + (here[i - 1] + here[i + 1]);
            out[i] = here[i] + rate * (around - 4.0 * here[i]);
        }
        if (gilx_poll_stops(poll, end - begin)) {
            return false;
        }
    }
    return true;
}

int gilx_heat(const gilx_argument *arguments, int64_t start, int64_t stop,
              gilx_control *control) {
    const double *u = arguments[0].data;
    const int64_t height = arguments[0].shape[0], width = arguments[0].shape[1];
    const double rate = arguments[1].real;
    double *out = arguments[2].data;
    gilx_poll poll = {.control = control, .every = CHUNK, .left = CHUNK};

    if (width == 0) {
        return GILX_DONE;
    }
    for (int64_t row = start; row < stop; ++row) {
        const double *here = u + row * width;
        if (row == 0 || row == height - 1) {
            for (int64_t begin = 0; begin < width; begin += CHUNK) {
                const int64_t cells = width - begin < CHUNK ? width - begin : CHUNK;
                memcpy(out + row * width + begin, here + begin,
                       (size_t)cells * sizeof *out);
                if (gilx_poll_stops(&poll, cells)) {
                    return GILX_STOPPED;
                }
            }
        } else if (!step_row(here - width, here, here + width, rate, width,
                             out + row * width, &poll)) {
            return GILX_STOPPED;
        }
        /* Narrow rows must poll as well. */
        if (gilx_poll_stops(&poll, 8)) {
            return GILX_STOPPED;
        }
    }
    return GILX_DONE;
}
