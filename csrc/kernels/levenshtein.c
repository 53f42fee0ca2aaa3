/* levenshtein: edit distance of string pairs, one row of the table at a time. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { POLL = 1 << 18 /* cells between polls: some 0.3 ms */ };

/* Where string `item` lies in `size` bytes. The offsets were checked, but may have been
 * changed by another thread since: what is out of range is cut off, never read. */
static const uint8_t *string_at(const uint8_t *bytes, const int64_t *offsets,
                                int64_t size, int64_t item, int64_t *length) {
    int64_t begin = offsets[item];
    int64_t end = offsets[item + 1];
    if (begin < 0 || begin > size) {
        begin = size;
    }
    if (end < begin || end > size) {
        end = begin;
    }
    if (end - begin > INT32_MAX) {
        end = begin + INT32_MAX;
    }
    *length = end - begin;
    return bytes + begin;
}

/* The distance of a and b; row has room for b_length numbers. Returns -1 when asked to
 * stop.
 *
 * Cell (i, j) of the table holds the distance less j. A step to the right then costs
 * nothing, and only its minimum waits for the cell to the left. */
static int32_t distance(const uint8_t *a, int64_t a_length, const uint8_t *b,
                        int64_t b_length, int32_t *row, gilx_poll *poll) {
    if (b_length == 0) {
        return (int32_t)a_length;
    }
    /* Long rows are cut, here and below, so that polls come in time. */
    for (int64_t begin = 0; begin < b_length; begin += POLL) {
        const int64_t cells = b_length - begin < POLL ? b_length - begin : POLL;
        memset(row + begin, 0, (size_t)cells * sizeof *row);
        if (gilx_poll_stops(poll, cells / 4)) {
            return -1;
        }
    }
    int32_t last = 0; /* the current row's newest cell */
    for (int64_t i = 0; i < a_length; ++i) {
        const uint8_t letter = a[i];
        int32_t diagonal = (int32_t)i;
        last = (int32_t)(i + 1);
        for (int64_t begin = 0; begin < b_length; begin += POLL) {
            const int64_t end = b_length - begin < POLL ? b_length : begin + POLL;
            for (int64_t j = begin; j < end; ++j) {
                const int32_t replaced = diagonal - (letter == b[j]);
                const int32_t removed = row[j] + 1;
                const int32_t best = replaced < removed ? replaced : removed;
                diagonal = row[j];
                last = best < last ? best : last;
                row[j] = last;
            }
            if (gilx_poll_stops(poll, end - begin + 8)) {
                return -1;
            }
        }
    }
    return last + (int32_t)b_length;
}

int gilx_levenshtein(const gilx_argument *arguments, int64_t start, int64_t stop,
                     gilx_control *control) {
    const uint8_t *a = arguments[0].data;
    const int64_t a_size = arguments[0].shape[0];
    const int64_t *a_offsets = arguments[1].data;
    const uint8_t *b = arguments[2].data;
    const int64_t b_size = arguments[2].shape[0];
    const int64_t *b_offsets = arguments[3].data;
    int32_t *out = arguments[4].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};
    int64_t room = 0;
    int32_t *row = NULL;
    int status = GILX_DONE;

    for (int64_t item = start; item < stop; ++item) {
        int64_t a_length, b_length;
        const uint8_t *first = string_at(a, a_offsets, a_size, item, &a_length);
        const uint8_t *second = string_at(b, b_offsets, b_size, item, &b_length);
        if (b_length > room) {
            int32_t *larger = realloc(row, (size_t)b_length * sizeof *row);
            if (larger == NULL) {
                status = GILX_NO_MEMORY;
                break;
            }
            row = larger;
            room = b_length;
        }
        int32_t found = distance(first, a_length, second, b_length, row, &poll);
        if (found < 0) {
            status = GILX_STOPPED;
            break;
        }
        out[item] = found;
        /* Many short pairs must poll as well. */
        if (gilx_poll_stops(&poll, 32)) {
            status = GILX_STOPPED;
            break;
        }
    }
    free(row);
    return status;
}
