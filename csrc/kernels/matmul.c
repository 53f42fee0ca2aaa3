/* matmul: product of two matrices in blocks that stay in the caches.
 *
 * A tile of the product stays in registers while k runs over a block; between blocks it
 * rests in out, which changes no bit, since registers and memory both hold doubles. A
 * block of b is packed tile by tile, so that it is read in order. Each element of a tile
 * has one accumulator, so a tile has as many as hide the additions' latency.
 */
#ifndef GILX_NAME
#define _POSIX_C_SOURCE 200809L /* for aligned_memory.h */

#include <string.h>

#include "../platform/aligned_memory.h"

#define GILX_NAME matmul
#define GILX_FILE "matmul.c"
#include "each_instruction_set.h"

#else

/* Of 32 registers 24 hold sums, of 16 there are 8; products and what they are made of
 * take the rest. */
#define ABREAST (GILX_VECTOR / 8)
#define TILE_VECTORS (GILX_ISA == GILX_AVX512 ? 3 : 2)
#define TILE_ROWS (GILX_ISA == GILX_AVX512 ? 8 : 4)
#define TILE_COLUMNS (TILE_VECTORS * ABREAST)
#define BLOCK_INNER 256
/* A packed block of b, 192 or 240 KiB: a share of the second-level cache. */
#define BLOCK_COLUMNS (GILX_ISA == GILX_AVX512 ? 120 : 96)
#define POLL (1 << 20) /* multiplications between polls: some 0.3 ms at most */

/* A block of the sum over k: `deep` of k, `wide` columns. */
typedef struct {
    const double *a;
    int64_t a_stride;
    const double *packed;
    int64_t deep, wide;
    bool first; /* of the blocks over k: the sum starts from 0, not from out */
    double *out;
    int64_t out_stride;
} GILX_VARIANT(block);
#define block GILX_VARIANT(block)

/* tile[r][c] += a[r][k] * packed[k][c], k ascending. */
static inline void GILX_VARIANT(add_tile)(const double *const *a, const double *packed,
                                          int64_t deep, bool first, double *tile,
                                          int64_t stride) {
    gilx_doubles sum[TILE_ROWS][TILE_VECTORS];
    for (int r = 0; r < TILE_ROWS; ++r) {
        for (int v = 0; v < TILE_VECTORS; ++v) {
            sum[r][v] =
                first ? (gilx_doubles){0} : GILX_LOAD(tile + r * stride + v * ABREAST);
        }
    }
    for (int64_t k = 0; k < deep; ++k) {
        gilx_doubles b[TILE_VECTORS];
        for (int v = 0; v < TILE_VECTORS; ++v) {
            b[v] = GILX_LOAD(packed + k * TILE_COLUMNS + v * ABREAST);
        }
        for (int r = 0; r < TILE_ROWS; ++r) {
            for (int v = 0; v < TILE_VECTORS; ++v) {
                sum[r][v] += a[r][k] * b[v];
            }
        }
    }
    for (int r = 0; r < TILE_ROWS; ++r) {
        for (int v = 0; v < TILE_VECTORS; ++v) {
            GILX_STORE(tile + r * stride + v * ABREAST, sum[r][v]);
        }
    }
}

/* Rows [row, row + rows) of a block, at most TILE_ROWS of them. */
static void GILX_VARIANT(add_rows)(const block *it, int64_t row, int64_t rows) {
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
            GILX_VARIANT(add_tile)(a, packed, it->deep, it->first, out, it->out_stride);
            continue;
        }
        double edge[TILE_ROWS * TILE_COLUMNS] = {0};
        for (int64_t r = 0; r < rows; ++r) {
            memcpy(edge + r * TILE_COLUMNS, out + r * it->out_stride,
                   (size_t)columns * sizeof *out);
        }
        GILX_VARIANT(add_tile)(a, packed, it->deep, it->first, edge, TILE_COLUMNS);
        for (int64_t r = 0; r < rows; ++r) {
            memcpy(out + r * it->out_stride, edge + r * TILE_COLUMNS,
                   (size_t)columns * sizeof *out);
        }
    }
}

/* Copy b[0:deep][0:wide] so that each tile's columns lie together; what a tile has beyond
 * the last column is 0. */
static void GILX_VARIANT(pack)(const double *b, int64_t b_stride, int64_t deep,
                               int64_t wide, double *packed) {
    for (int64_t column = 0; column < wide; column += TILE_COLUMNS) {
        const int64_t columns =
            wide - column < TILE_COLUMNS ? wide - column : TILE_COLUMNS;
        for (int64_t k = 0; k < deep; ++k, packed += TILE_COLUMNS) {
            const double *from = b + k * b_stride + column;
            if (columns == TILE_COLUMNS) {
                memcpy(packed, from, TILE_COLUMNS * sizeof *packed);
                continue;
            }
            for (int64_t c = 0; c < TILE_COLUMNS; ++c) {
                packed[c] = c < columns ? from[c] : 0.0;
            }
        }
    }
}

static int GILX_VARIANT(matmul)(const gilx_argument *arguments, int64_t start,
                                int64_t stop, gilx_control *control) {
    const double *a = arguments[0].data;
    const double *b = arguments[1].data;
    const int64_t inner = arguments[0].shape[1];
    const int64_t columns = arguments[1].shape[1];
    double *out = arguments[2].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};

    if (columns == 0 || start == stop) {
        return GILX_DONE;
    }
    double *packed =
        gilx_allocate_aligned(GILX_VECTOR, sizeof *packed * BLOCK_INNER * BLOCK_COLUMNS);
    if (packed == NULL) {
        return GILX_NO_MEMORY;
    }
    bool stopped = false;
    for (int64_t left = 0; left < columns && !stopped; left += BLOCK_COLUMNS) {
        /* Runs once even if `inner` is 0: then every sum is 0. */
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
            GILX_VARIANT(pack)(b + top * columns + left, columns, it.deep, it.wide,
                               packed);
            stopped = gilx_poll_stops(&poll, 4 * (it.deep + 1) * it.wide);
            for (int64_t row = start; row < stop && !stopped; row += TILE_ROWS) {
                const int64_t rows = stop - row < TILE_ROWS ? stop - row : TILE_ROWS;
                GILX_VARIANT(add_rows)(&it, row, rows);
                stopped = gilx_poll_stops(&poll, TILE_ROWS * (it.deep + 1) * it.wide);
            }
        }
    }
    gilx_free_aligned(packed);
    return stopped ? GILX_STOPPED : GILX_DONE;
}

#undef ABREAST
#undef TILE_VECTORS
#undef TILE_ROWS
#undef TILE_COLUMNS
#undef BLOCK_INNER
#undef BLOCK_COLUMNS
#undef POLL
#undef block

#endif
