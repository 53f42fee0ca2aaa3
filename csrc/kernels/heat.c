/* heat: one step of the five-point scheme. Memory binds it: each cell is read once and
 * written once, past the caches where these would not hold the grid until the next step.
 *
 * Several rows are computed abreast. Three rows don't fit into the first-level cache, so
 * row by row each cell would come to it three times; abreast, ROWS + 2 rows are read for
 * ROWS. More rows than 12 are more streams than a processor follows.
 */
#ifndef GILX_NAME
#include <string.h>

#include "stream.h"

#define GILX_NAME heat
#define GILX_FILE "heat.c"
#include "each_isa.h"

#else

#define ROWS 12         /* abreast */
#define FEW 4           /* abreast, of what is left */
#define CHUNK (1 << 12) /* columns between polls: some 0.1 ms for ROWS from memory */
#define ABREAST (GILX_VECTOR / 8)
/* Columns computed before they are written past the caches. A line that is not written
 * at one go goes to memory in parts, so shorter vectors are gathered. */
#define COLUMNS (GILX_VECTOR == 64 ? GILX_LINE : 4 * GILX_LINE)
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline double GILX_VARIANT(cell)(const double *here, double rate, int64_t width) {
    const double around = (here[-width] + here[width]) + (here[-1] + here[1]);
    return here[0] + rate * (around - 4.0 * here[0]);
}

/* COUNT columns, a multiple of ABREAST, of some rows; those of `out` are `apart`. */
ALWAYS_INLINE void GILX_VARIANT(step_block)(const double *here, double rate,
                                            int64_t width, int rows, int64_t count,
                                            double *restrict out, int64_t apart) {
    for (int64_t i = 0; i < count; i += ABREAST) {
        gilx_doubles above = GILX_LOAD(here + i - width);
        gilx_doubles middle = GILX_LOAD(here + i);
        for (int row = 0; row < rows; ++row) {
            const double *at = here + row * width + i;
            const gilx_doubles below = GILX_LOAD(at + width);
            const gilx_doubles around =
                (above + below) + (GILX_LOAD(at - 1) + GILX_LOAD(at + 1));
            GILX_STORE(out + row * apart + i, middle + rate * (around - 4.0 * middle));
            above = middle;
            middle = below;
        }
    }
}

/* The same of COLUMNS columns, past the caches: all rows of `out` begin a line. */
ALWAYS_INLINE void GILX_VARIANT(stream_block)(const double *here, double rate,
                                              int64_t width, int rows,
                                              double *restrict out) {
    double block[ROWS * COLUMNS] __attribute__((aligned(64)));
    GILX_VARIANT(step_block)(here, rate, width, rows, COLUMNS, block, COLUMNS);
    for (int row = 0; row < rows; ++row) {
        for (int64_t i = 0; i < COLUMNS; i += ABREAST) {
            GILX_STREAM(out + row * width + i, GILX_LOAD(block + row * COLUMNS + i));
        }
    }
}

/* Columns [begin, end) of some rows that are not on the border. */
ALWAYS_INLINE void GILX_VARIANT(step_columns)(const double *here, double rate,
                                              int64_t width, int rows, int64_t begin,
                                              int64_t end, bool past,
                                              double *restrict out) {
    int64_t i = begin, vectors = (end - begin) / ABREAST * ABREAST;
    if (past) {
        for (; i < end && !gilx_begins_line(out + i); ++i) {
            for (int row = 0; row < rows; ++row) {
                const int64_t at = row * width + i;
                out[at] = GILX_VARIANT(cell)(here + at, rate, width);
            }
        }
        for (; i + COLUMNS <= end; i += COLUMNS) {
            GILX_VARIANT(stream_block)(here + i, rate, width, rows, out + i);
        }
        vectors = (end - i) / ABREAST * ABREAST;
    }
    GILX_VARIANT(step_block)(here + i, rate, width, rows, vectors, out + i, width);
    for (i += vectors; i < end; ++i) {
        for (int row = 0; row < rows; ++row) {
            const int64_t at = row * width + i;
            out[at] = GILX_VARIANT(cell)(here + at, rate, width);
        }
    }
}

/* Some rows that are not on the border: ROWS, FEW or 1. False when asked to stop. */
static bool GILX_VARIANT(step_rows)(const double *here, double rate, int64_t width,
                                    int rows, bool past, double *out, gilx_poll *poll) {
    for (int row = 0; row < rows; ++row) {
        out[row * width] = here[row * width];
        out[row * width + width - 1] = here[row * width + width - 1];
    }
    for (int64_t begin = 1; begin < width - 1; begin += CHUNK) {
        const int64_t end = width - 1 - begin < CHUNK ? width - 1 : begin + CHUNK;
        /* Each number of rows has code of its own, so that rows stay in registers. */
        if (rows == ROWS) {
            GILX_VARIANT(step_columns)(here, rate, width, ROWS, begin, end, past, out);
        } else if (rows == FEW) {
            GILX_VARIANT(step_columns)(here, rate, width, FEW, begin, end, past, out);
        } else {
            GILX_VARIANT(step_columns)(here, rate, width, 1, begin, end, past, out);
        }
        if (gilx_poll_stops(poll, rows * (end - begin))) {
            return false;
        }
    }
    /* Narrow rows must poll as well. */
    return !gilx_poll_stops(poll, 8);
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
    return !gilx_poll_stops(poll, 8);
}

static int GILX_VARIANT(heat)(const gilx_argument *arguments, int64_t start, int64_t stop,
                              gilx_control *control) {
    const double *u = arguments[0].data;
    const int64_t height = arguments[0].shape[0], width = arguments[0].shape[1];
    const double rate = arguments[1].real;
    double *out = arguments[2].data;
    /* Only if lines begin at the same columns of all rows. */
    const bool past = width % GILX_LINE == 0 && gilx_streams(height * width);
    gilx_poll poll = {.control = control, .every = CHUNK, .left = CHUNK};
    bool stopped = false;

    if (width == 0) {
        return GILX_DONE;
    }
    for (int64_t row = start; row < stop && !stopped;) {
        const double *here = u + row * width;
        double *to = out + row * width;
        int rows = 1;
        if (row == 0 || row == height - 1) {
            stopped = !GILX_VARIANT(copy_row)(here, width, to, &poll);
        } else {
            const int64_t left = (stop < height - 1 ? stop : height - 1) - row;
            rows = left >= ROWS ? ROWS : left >= FEW ? FEW : 1;
            stopped = !GILX_VARIANT(step_rows)(here, rate, width, rows, past, to, &poll);
        }
        row += rows;
    }
    if (past) {
        gilx_end_stream();
    }
    return stopped ? GILX_STOPPED : GILX_DONE;
}

#undef ROWS
#undef FEW
#undef CHUNK
#undef ABREAST
#undef COLUMNS
#undef ALWAYS_INLINE

#endif
