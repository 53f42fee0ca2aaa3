/* heat: one step of the five-point scheme. Memory binds it: each cell is read once and
 * written once, past the caches where these would not hold the grid until the next step.
 *
 * Three rows don't fit into the first-level cache, so a step row by row would load each
 * cell into it three times. Several rows together read two rows more than they write.
 *
 * In the caches, ROWS rows are computed abreast, a vector of each at a time, and what two
 * rows read stays in registers. Writes past the caches must fill whole lines, which begin
 * at other columns in each row. So past the caches, STREAMED_ROWS rows are computed in
 * blocks of whole lines, one block of each row in turn. More rows are more streams than a
 * processor follows.
 */
#ifndef GILX_NAME
#include <string.h>

#include "nontemporal_stores.h"

#define GILX_NAME heat
#define GILX_FILE "heat.c"
#include "each_instruction_set.h"

#else

#define ROWS 4                          /* rows abreast in the caches */
#define STREAMED_ROWS 8                 /* rows together past them */
#define COLUMNS 32                      /* of a block past the caches */
#define LEAST (2 + GILX_LINE + COLUMNS) /* cells in a row past the caches */
#define POLLED (1 << 15) /* cells between polls: some 0.02 ms from memory */
#define CHUNK (POLLED / ROWS)
#define ABREAST (GILX_VECTOR / 8)
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

/* COLUMNS columns of a row, past the caches: `out` begins a line. A line that is not
 * written in one go goes to memory in parts, so all columns are computed first. */
ALWAYS_INLINE void GILX_VARIANT(stream_block)(const double *here, double rate,
                                              int64_t width, double *restrict out) {
    double block[COLUMNS] __attribute__((aligned(64)));
    GILX_VARIANT(step_block)(here, rate, width, 1, COLUMNS, block, COLUMNS);
    for (int64_t i = 0; i < COLUMNS; i += ABREAST) {
        GILX_STREAM(out + i, GILX_LOAD(block + i));
    }
}

/* Any number of columns of some rows, into the caches. */
ALWAYS_INLINE void GILX_VARIANT(step_columns)(const double *here, double rate,
                                              int64_t width, int rows, int64_t count,
                                              double *restrict out) {
    const int64_t vectors = count / ABREAST * ABREAST;
    GILX_VARIANT(step_block)(here, rate, width, rows, vectors, out, width);
    for (int64_t i = vectors; i < count; ++i) {
        for (int row = 0; row < rows; ++row) {
            const int64_t at = row * width + i;
            out[at] = GILX_VARIANT(cell)(here + at, rate, width);
        }
    }
}

/* The inner columns of ROWS rows, or of one; the arrays begin there. False when asked to
 * stop. */
static bool GILX_VARIANT(step_rows)(const double *here, double rate, int64_t width,
                                    int rows, double *out, gilx_poll *poll) {
    for (int64_t begin = 0; begin < width - 2; begin += CHUNK) {
        const int64_t count = width - 2 - begin < CHUNK ? width - 2 - begin : CHUNK;
        const double *from = here + begin;
        double *to = out + begin;
        /* Each number of rows has code of its own, so that rows stay in registers. */
        if (rows == ROWS) {
            GILX_VARIANT(step_columns)(from, rate, width, ROWS, count, to);
        } else {
            GILX_VARIANT(step_columns)(from, rate, width, 1, count, to);
        }
        if (gilx_poll_stops(poll, rows * count)) {
            return false;
        }
    }
    /* Narrow rows must poll as well. */
    return !gilx_poll_stops(poll, 8);
}

/* The inner columns of up to STREAMED_ROWS rows of LEAST cells or more, past the caches;
 * the arrays begin there. False when asked to stop. */
static bool GILX_VARIANT(stream_rows)(const double *here, double rate, int64_t width,
                                      int rows, double *out, gilx_poll *poll) {
    const int64_t inner = width - 2, blocks = (inner - GILX_LINE) / COLUMNS;
    int64_t next[STREAMED_ROWS]; /* cell of each row */
    for (int row = 0; row < rows; ++row) {
        const int64_t at = row * width, count = gilx_until_line(out + at);
        GILX_VARIANT(step_columns)(here + at, rate, width, 1, count, out + at);
        next[row] = at + count;
    }
    for (int64_t block = 0; block < blocks; ++block) {
        for (int row = 0; row < rows; ++row) {
            const int64_t at = next[row];
            GILX_VARIANT(stream_block)(here + at, rate, width, out + at);
            next[row] += COLUMNS;
        }
        if (gilx_poll_stops(poll, rows * COLUMNS)) {
            return false;
        }
    }
    for (int row = 0; row < rows; ++row) {
        const int64_t at = next[row], count = row * width + inner - at;
        GILX_VARIANT(step_columns)(here + at, rate, width, 1, count, out + at);
    }
    return !gilx_poll_stops(poll, rows * (COLUMNS + GILX_LINE));
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
    const bool past = width >= LEAST && gilx_streams(height * width);
    gilx_poll poll = {.control = control, .every = POLLED, .left = POLLED};
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
            if (past) {
                rows = left < STREAMED_ROWS ? (int)left : STREAMED_ROWS;
            } else {
                rows = left < ROWS ? 1 : ROWS;
            }
            for (int i = 0; i < rows; ++i) {
                to[i * width] = here[i * width];
                to[i * width + width - 1] = here[i * width + width - 1];
            }
            stopped = past ? !GILX_VARIANT(stream_rows)(here + 1, rate, width, rows,
                                                        to + 1, &poll)
                           : !GILX_VARIANT(step_rows)(here + 1, rate, width, rows, to + 1,
                                                      &poll);
        }
        row += rows;
    }
    if (past) {
        gilx_end_stream();
    }
    return stopped ? GILX_STOPPED : GILX_DONE;
}

#undef ROWS
#undef STREAMED_ROWS
#undef COLUMNS
#undef LEAST
#undef POLLED
#undef CHUNK
#undef ABREAST
#undef ALWAYS_INLINE

#endif
