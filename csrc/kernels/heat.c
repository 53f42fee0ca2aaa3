/* heat: one step of the five-point scheme. Rows above and below come from the cache, so
 * memory binds it: each cell is read once and written once, past the caches where these
 * would not hold the grid until the next step.
 */
#ifndef GILX_NAME
#include <string.h>

#include "stream.h"

#define GILX_NAME heat
#define GILX_FILE "heat.c"
#include "each_isa.h"

#else

#define CHUNK (1 << 15) /* cells between polls: some 0.1 ms from memory */
#define ABREAST (GILX_VECTOR / 8)

/* Cells [begin, end) of a row that is not on the border. */
static inline void GILX_VARIANT(step_cells)(const double *restrict above,
                                            const double *restrict here,
                                            const double *restrict below, double rate,
                                            int64_t begin, int64_t end, bool past,
                                            double *restrict out) {
    int64_t i = begin;
    if (past) {
        for (; i < end && !gilx_begins_line(out + i); ++i) {
            const double around = (above[i] + below[i]) + (here[i - 1] + here[i + 1]);
            out[i] = here[i] + rate * (around - 4.0 * here[i]);
        }
        for (; i + GILX_LINE <= end; i += GILX_LINE) {
            for (int64_t j = i; j < i + GILX_LINE; j += ABREAST) {
                const gilx_doubles middle = GILX_LOAD(here + j);
                const gilx_doubles around =
                    (GILX_LOAD(above + j) + GILX_LOAD(below + j)) +
                    (GILX_LOAD(here + j - 1) + GILX_LOAD(here + j + 1));
                GILX_STREAM(out + j, middle + rate * (around - 4.0 * middle));
            }
        }
    }
    for (; i < end; ++i) {
        const double around = (above[i] + below[i]) + (here[i - 1] + here[i + 1]);
        out[i] = here[i] + rate * (around - 4.0 * here[i]);
    }
}

/* One row that is not on the border. False when asked to stop. */
static bool GILX_VARIANT(step_row)(const double *here, double rate, int64_t width,
                                   bool past, double *out, gilx_poll *poll) {
    out[0] = here[0];
    out[width - 1] = here[width - 1];
    for (int64_t begin = 1; begin < width - 1; begin += CHUNK) {
        const int64_t end = width - 1 - begin < CHUNK ? width - 1 : begin + CHUNK;
        GILX_VARIANT(step_cells)(here - width, here, here + width, rate, begin, end, past,
                                 out);
        if (gilx_poll_stops(poll, end - begin)) {
            return false;
        }
    }
    return true;
}

/* A row on the border. False when asked to stop. */
static bool GILX_VARIANT(copy_row)(const double *here, int64_t width, double *out,
                                   gilx_poll *poll) {
    for (int64_t begin = 0; begin < width; begin += CHUNK) {
        const int64_t cells = width - begin < CHUNK ? width - begin : CHUNK;
        memcpy(out + begin, here + begin, (size_t)cells * sizeof *out);
        if (gilx_poll_stops(poll, cells)) {
            return false;
        }
    }
    return true;
}

static int GILX_VARIANT(heat)(const gilx_argument *arguments, int64_t start, int64_t stop,
                              gilx_control *control) {
    const double *u = arguments[0].data;
    const int64_t height = arguments[0].shape[0], width = arguments[0].shape[1];
    const double rate = arguments[1].real;
    double *out = arguments[2].data;
    /* Narrow vectors would be too slow at it: they gained nothing. */
    const bool past = GILX_VECTOR > 16 && gilx_streams(height * width);
    gilx_poll poll = {.control = control, .every = CHUNK, .left = CHUNK};
    bool stopped = false;

    if (width == 0) {
        return GILX_DONE;
    }
    for (int64_t row = start; row < stop && !stopped; ++row) {
        const double *here = u + row * width;
        double *to = out + row * width;
        if (row == 0 || row == height - 1) {
            stopped = !GILX_VARIANT(copy_row)(here, width, to, &poll);
        } else {
            stopped = !GILX_VARIANT(step_row)(here, rate, width, past, to, &poll);
        }
        /* Narrow rows must poll as well. */
        stopped = stopped || gilx_poll_stops(&poll, 8);
    }
    if (past) {
        gilx_end_stream();
    }
    return stopped ? GILX_STOPPED : GILX_DONE;
}

#undef CHUNK
#undef ABREAST

#endif
