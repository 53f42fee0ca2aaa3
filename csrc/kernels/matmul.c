/* matmul: product of two matrices in blocks that stay in the caches.
 *
 * A tile of the product stays in registers while k runs over a block; between blocks it
 * rests in out, which changes no bit, since registers and memory both hold doubles. A
 * block of b is packed tile by tile, so that it is read in order.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum {
    TILE_ROWS = 4,
    TILE_COLUMNS = 4, /* 8 vector registers of two doubles, of the 16 that there are */
    BLOCK_INNER = 256,
    BLOCK_COLUMNS = 128, /* a packed block of b: 256 KiB, half of a second-level cache */
    POLL = 1 << 19       /* multiplications between polls: some 0.3 ms at most */
};

/* A block of the sum over k: `deep` of k, `wide` columns. */
typedef struct {
    const double *a;
    int64_t a_stride;
    const double *packed;
    int64_t deep, wide;
    bool first; /* of the blocks over k: the sum starts from 0, not from out */
    double *out;
    int64_t out_stride;
} block;

/* tile[r][c] += a[r][k] * packed[k][c], k ascending. */
static inline void add_tile(const double *const *a, const double *packed, int64_t deep,
                            bool first, double *tile, int64_t stride) {
    double sum[TILE_ROWS][TILE_COLUMNS];
    for (int r = 0; r < TILE_ROWS; ++r) {
        for (int c = 0; c < TILE_COLUMNS; ++c) {
            sum[r][c] = first ? 0.0 : tile[r * stride + c];
        }
    }
    for (int64_t k = 0; k < deep; ++k) {
        for (int r = 0; r < TILE_ROWS; ++r) {
            for (int c = 0; c < TILE_COLUMNS; ++c) {
                sum[r][c] += a[r][k] * packed[k * TILE_COLUMNS + c];
            }
        }
    }
    for (int r = 0; r < TILE_ROWS; ++r) {
        for (int c = 0; c < TILE_COLUMNS; ++c) {
            tile[r * stride + c] = sum[r][c];
        }
    }
}

/* Rows [row, row + rows) of a block, at most TILE_ROWS of them. */
static void add_rows(const block *it, int64_t row, int64_t rows) {
    const double *a[TILE_ROWS];
    for (int64_t r = 0; r < TILE_ROWS; ++r) {
        /* Below the last row the tile repeats it, and throws the result away. */
        a[r] = it->a + (row + (r < rows ? r : rows - 1)) * it->a_stride;
    }
    for (int64_t column = 0; column < it->wide; column += TILE_COLUMNS) {
        const double *packed = it->packed + column * it->deep;
        double *out = it->out + row * it->out_stride + column;
        const int64_t columns =
            it->wide - column < TILE_COLUMNS ? it->wide - column : TILE_COLUMNS;
        if (rows == TILE_ROWS && columns == TILE_COLUMNS) {
            add_tile(a, packed, it->deep, it->first, out, it->out_stride);
            continue;
        }
        double edge[TILE_ROWS * TILE_COLUMNS] = {0};
        for (int64_t r = 0; r < rows; ++r) {
            memcpy(edge + r * TILE_COLUMNS, out + r * it->out_stride,
                   (size_t)columns * sizeof *out);
        }
        add_tile(a, packed, it->deep, it->first, edge, TILE_COLUMNS);
        for (int64_t r = 0; r < rows; ++r) {
            memcpy(out + r * it->out_stride, edge + r * TILE_COLUMNS,
                   (size_t)columns * sizeof *out);
        }
    }
}

/* Copy b[0:deep][0:wide] so that each tile's columns lie together; what a tile has beyond
 * the last column is 0. */
static void pack(const double *b, int64_t b_stride, int64_t deep, int64_t wide,
                 double *packed) {
    for (int64_t column = 0; column < wide; column += TILE_COLUMNS) {
        const int64_t columns =
            wide - column < TILE_COLUMNS ? wide - column : TILE_COLUMNS;
        for (int64_t k = 0; k < deep; ++k, packed += TILE_COLUMNS) {
            for (int64_t c = 0; c < TILE_COLUMNS; ++c) {
                packed[c] = c < columns ? b[k * b_stride + column + c] : 0.0;
            }
        }
    }
}

int gilx_matmul(const gilx_argument *arguments, int64_t start, int64_t stop,
                gilx_control *control) {
    const double *a = arguments[0].data;
    const double *b = arguments[1].data;
    const int64_t inner = arguments[0].shape[1];
    const int64_t columns = arguments[1].shape[1];
    double *out = arguments[2].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};

    if (columns == 0 || start == stop) {
        return GILX_DONE;
    }
    double *packed = malloc(sizeof *packed * BLOCK_INNER * BLOCK_COLUMNS);
    if (packed == NULL) {
        return GILX_NO_MEMORY;
    }
    bool stopped = false;
    for (int64_t left = 0; left < columns && !stopped; left += BLOCK_COLUMNS) {
        /* Once even if there is no k: then every sum is 0. */
        for (int64_t top = 0; (top == 0 || top < inner) && !stopped; top += BLOCK_INNER) {
            const block it = {
                .a = a + top,
                .a_stride = inner,
                .packed = packed,
                .deep = inner - top < BLOCK_INNER ? inner - top : BLOCK_INNER,
                .wide = columns - left < BLOCK_COLUMNS ? columns - left : BLOCK_COLUMNS,
                .first = top == 0,
                .out = out + left,
                .out_stride = columns,
            };
            pack(b + top * columns + left, columns, it.deep, it.wide, packed);
            stopped = gilx_poll_stops(&poll, 4 * (it.deep + 1) * it.wide);
            for (int64_t row = start; row < stop && !stopped; row += TILE_ROWS) {
                const int64_t rows = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
                add_rows(&it, row, rows);
                stopped = gilx_poll_stops(&poll, TILE_ROWS * (it.deep + 1) * it.wide);
            }
        }
    }
    free(packed);
    return stopped ? GILX_STOPPED : GILX_DONE;
}
