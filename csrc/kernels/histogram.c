/* histogram: byte counts of a block, in several private tables.
 *
 * A run of equal bytes would make each increment wait for the one before it to reach
 * memory. Neighbouring bytes therefore go to different tables, added up at the end, and
 * eight equal ones are counted at once.
 *
 * The counts of a value in two tables must not be a multiple of 4096 bytes apart, where
 * the first-level cache has the same few places for both. Depending on where its stack
 * was, a thread could then be up to 1.6 times as slow as others, for as long as it lived.
 * So each table has a cache line more than it needs, and with it an odd number of them.
 */
#ifndef GILX_NAME
#include <string.h>

#define GILX_NAME histogram
#define GILX_FILE "histogram.c"
#include "each_instruction_set.h"

#else

#define TABLES 8
#define BINS 256
#define PADDED (BINS + 16)
#define CHUNK (1 << 18) /* bytes between polls, some 0.1 ms; 32 bits can't overflow */
_Static_assert(PADDED * sizeof(uint32_t) % 128 == 64, "an odd number of cache lines");

static void GILX_VARIANT(count_chunk)(const uint8_t *data, int64_t size, int64_t *total) {
    uint32_t table[TABLES][PADDED];
    memset(table, 0, sizeof table);
    int64_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t eight;
        memcpy(&eight, data + i, sizeof eight);
        if (eight == (eight << 8 | eight >> 56)) {
            table[0][eight & 0xff] += 8;
            continue;
        }
        for (int byte = 0; byte < 8; ++byte) {
            ++table[byte % TABLES][(eight >> (8 * byte)) & 0xff];
        }
    }
    for (; i < size; ++i) {
        ++table[0][data[i]];
    }
    for (int bin = 0; bin < BINS; ++bin) {
        uint32_t sum = 0;
        for (int t = 0; t < TABLES; ++t) {
            sum += table[t][bin];
        }
        total[bin] += sum;
    }
}

static int GILX_VARIANT(histogram)(const gilx_argument *arguments, int64_t start,
                                   int64_t stop, gilx_control *control) {
    const uint8_t *data = arguments[0].data;
    const int64_t size = arguments[0].shape[0];
    const int64_t block = arguments[1].integer;
    int64_t *out = arguments[2].data;
    gilx_poll poll = {.control = control, .every = CHUNK, .left = CHUNK};

    for (int64_t item = start; item < stop; ++item) {
        int64_t *total = out + item * BINS;
        memset(total, 0, BINS * sizeof *total);
        const int64_t begin = item * block; /* an item exists only if this is in range */
        const int64_t end = size - begin < block ? size : begin + block;
        for (int64_t at = begin; at < end;) {
            int64_t length = end - at < CHUNK ? end - at : CHUNK;
            GILX_VARIANT(count_chunk)(data + at, length, total);
            at += length;
            /* Clearing the tables and adding them up costs time too. */
            if (gilx_poll_stops(&poll, length + BINS)) {
                return GILX_STOPPED;
            }
        }
    }
    return GILX_DONE;
}

#undef TABLES
#undef BINS
#undef PADDED
#undef CHUNK

#endif
