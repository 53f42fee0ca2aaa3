/* triad: out = b + scalar*c. There is next to nothing to compute: memory binds it.
 *
 * An array that no cache holds is written past the caches: else each line of it would be
 * read before it is written.
 */
#ifndef GILX_NAME
#include "nontemporal_stores.h"

#define GILX_NAME triad
#define GILX_FILE "triad.c"
#include "each_instruction_set.h"

#else

#define CHUNK (1 << 15) /* elements between polls: some 0.1 ms from memory */
#define ABREAST (GILX_VECTOR / 8)

static int GILX_VARIANT(triad)(const gilx_argument *arguments, int64_t start,
                               int64_t stop, gilx_control *control) {
    const double *restrict b = arguments[0].data;
    const double *restrict c = arguments[1].data;
    const double scalar = arguments[2].real;
    double *restrict out = arguments[3].data;
    bool stopped = false;
    const bool past = gilx_streams(arguments[3].shape[0]);

    for (int64_t begin = start; begin < stop && !stopped; begin += CHUNK) {
        const int64_t end = stop - begin < CHUNK ? stop : begin + CHUNK;
        int64_t i = begin;
        if (past) {
            for (; i < end && gilx_until_line(out + i) != 0; ++i) {
                out[i] = b[i] + scalar * c[i];
            }
            for (; i + GILX_LINE <= end; i += GILX_LINE) {
                for (int64_t j = i; j < i + GILX_LINE; j += ABREAST) {
                    GILX_STREAM(out + j, GILX_LOAD(b + j) + scalar * GILX_LOAD(c + j));
                }
            }
        }
        for (; i < end; ++i) {
            out[i] = b[i] + scalar * c[i];
        }
        stopped = gilx_should_stop(control);
    }
    if (past) {
        gilx_end_stream();
    }
    return stopped ? GILX_STOPPED : GILX_DONE;
}

#undef CHUNK
#undef ABREAST

#endif
