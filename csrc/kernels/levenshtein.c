/* levenshtein: edit distance of string pairs, 64 cells of the table at a time.
 *
 * Neighbouring cells of the table differ by at most 1. So a column fits into two bits a
 * row, one if the next cell is one more and one if it is one less, and a handful of
 * operations on whole words turns a column into the next one (Myers, A fast bit-vector
 * algorithm for approximate string matching based on dynamic programming, J. ACM 46
 * (1999); with words in a row: Hyyrö, A bit-vector algorithm for computing Levenshtein
 * and Damerau edit distances, Nordic J. Computing 10 (2003)).
 *
 * The rows are cut into strips of a vector of words. A word needs the growth of the row
 * above it from the word before it, so each lane of the vector is one column behind the
 * one before, and all of them work at once. A strip leaves behind how its last row grew
 * from column to column, for the next one.
 */
#ifndef GILX_NAME
#include <stdlib.h>
#include <string.h>

#define GILX_NAME levenshtein
#define GILX_FILE "levenshtein.c"
#include "each_instruction_set.h"

#else

#define WORDS (GILX_VECTOR / 8)
#define LETTERS 256
#define CHUNK 4096     /* columns between checks of the poll */
#define POLL (1 << 15) /* steps of a strip between polls: 0.2 to 0.5 ms */

#define words gilx_words
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (words){__VA_ARGS__})
#endif

/* UP: b's first lane, then a's, but the last. BEHIND_n: the lanes whose number has the
 * bit n set come from b, the others from a. */
#if GILX_VECTOR == 64
#define UP(a, b) SHUFFLE(a, b, 8, 0, 1, 2, 3, 4, 5, 6)
#define BEHIND_1(a, b) SHUFFLE(a, b, 0, 9, 2, 11, 4, 13, 6, 15)
#define BEHIND_2(a, b) SHUFFLE(a, b, 0, 1, 10, 11, 4, 5, 14, 15)
#define BEHIND_4(a, b) SHUFFLE(a, b, 0, 1, 2, 3, 12, 13, 14, 15)
#elif GILX_VECTOR == 32
#define UP(a, b) SHUFFLE(a, b, 4, 0, 1, 2)
#define BEHIND_1(a, b) SHUFFLE(a, b, 0, 5, 2, 7)
#define BEHIND_2(a, b) SHUFFLE(a, b, 0, 1, 6, 7)
#define BEHIND_4(a, b) (a)
#else
#define UP(a, b) SHUFFLE(a, b, 2, 0)
#define BEHIND_1(a, b) SHUFFLE(a, b, 0, 3)
#define BEHIND_2(a, b) (a)
#define BEHIND_4(a, b) (a)
#endif

typedef struct {
    const uint8_t *letters;
    int64_t length;
} GILX_VARIANT(string);
#define string GILX_VARIANT(string)

typedef struct {
    words where[LETTERS]; /* a strip's rows that have this letter; all 0 between strips */
    uint8_t *edge; /* by column: how a strip's last row grew, bit 0: more, bit 1: less */
    int64_t capacity;
} GILX_VARIANT(scratch);
#define scratch GILX_VARIANT(scratch)

/* A strip, each lane at its own column. */
typedef struct {
    words more, less;    /* rows that are one more, or one less, than the row above */
    words grown, shrunk; /* how each word's last row changed, in the last step */
    words row1, odd1, odd2, two1, two2, two3, two4; /* earlier values of `where` */
} GILX_VARIANT(strip);
#define strip GILX_VARIANT(strip)

/* String `item` in `size` bytes. The offsets were checked, but may have been changed by
 * another thread since: what is out of range is cut off, never read. */
static string GILX_VARIANT(string_at)(const uint8_t *bytes, const int64_t *offsets,
                                      int64_t size, int64_t item) {
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
    return (string){bytes + begin, end - begin};
}

/* Take each lane one column further.
 *
 *   row   where the first lane's column has its letter
 *   edge  how the row above the strip grows there */
static inline void GILX_VARIANT(advance)(strip *at, words row, unsigned edge) {
    /* Each lane gets what the first one had as many steps ago as the lane is behind. */
    const words odd = BEHIND_1(row, at->row1);
    const words two = BEHIND_2(odd, at->odd2);
    const words where = BEHIND_4(two, at->two4);
    at->row1 = row;
    at->odd2 = at->odd1;
    at->odd1 = odd;
    at->two4 = at->two3;
    at->two3 = at->two2;
    at->two2 = at->two1;
    at->two1 = two;

    const words grows = UP(at->grown, (words){edge & 1});
    const words shrinks = UP(at->shrunk, (words){edge >> 1});
    const words more = at->more, less = at->less;
    const words vertical = where | less;
    const words same = where | shrinks;
    const words diagonal = (((same & more) + more) ^ more) | same;
    const words right_more = less | ~(diagonal | more);
    const words right_less = more & diagonal;
    const words down = right_more << 1 | grows;
    at->less = down & vertical;
    at->more = (right_less << 1 | shrinks) | ~(vertical | down);
    at->grown = right_more >> 63;
    at->shrunk = right_less >> 63;
}

/* Go through all columns with the rows of one strip. Returns the value of the last row in
 * the last column less that of the row above the strip, or INT64_MIN when asked to stop.
 *
 *   above  whether there is a strip above, which left its edge
 *   below  whether there is one below, which needs this one's */
static inline int64_t GILX_VARIANT(sweep)(scratch *scratch, int64_t rows, string columns,
                                          bool above, bool below, gilx_poll *poll) {
    /* Before its first column, a lane has no letters and nothing grows: then it stays as
     * it is. */
    strip at = {.more = ~(words){0}};
    for (int64_t begin = 0; begin < columns.length; begin += CHUNK) {
        const int64_t end =
            columns.length - begin < CHUNK ? columns.length : begin + CHUNK;
        for (int64_t j = begin; j < end; ++j) {
            GILX_VARIANT(advance)
            (&at, scratch->where[columns.letters[j]], above ? scratch->edge[j] : 1);
            if (below && j >= WORDS - 1) {
                scratch->edge[j - (WORDS - 1)] =
                    (uint8_t)(at.grown[WORDS - 1] | at.shrunk[WORDS - 1] << 1);
            }
        }
        if (gilx_poll_stops(poll, end - begin)) {
            return INT64_MIN;
        }
    }
    int64_t sum = 0;
    for (int lane = 0; 64 * lane < rows; ++lane) {
        /* Now this lane has done the last column. */
        const int64_t left = rows - 64 * lane;
        const uint64_t mask = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;
        sum += __builtin_popcountll(at.more[lane] & mask);
        sum -= __builtin_popcountll(at.less[lane] & mask);
        GILX_VARIANT(advance)(&at, (words){0}, 0);
        const int64_t column = columns.length + lane - (WORDS - 1);
        if (below && column >= 0 && lane < WORDS - 1) {
            scratch->edge[column] =
                (uint8_t)(at.grown[WORDS - 1] | at.shrunk[WORDS - 1] << 1);
        }
    }
    return sum;
}

/* The distance of two strings, or -1 when asked to stop. */
static int32_t GILX_VARIANT(distance)(scratch *at, string rows, string columns,
                                      gilx_poll *poll) {
    int64_t found = columns.length;
    for (int64_t top = 0; top < rows.length; top += 64 * WORDS) {
        const uint8_t *letters = rows.letters + top;
        const int64_t rest = rows.length - top;
        const int64_t length = rest < 64 * WORDS ? rest : 64 * WORDS;
        int64_t grown;
        /* Words in turn, since a word can't be changed again until it is in memory. */
        for (int64_t bit = 0; bit < 64; ++bit) {
            for (int64_t i = bit; i < length; i += 64) {
                at->where[letters[i]][i / 64] |= (uint64_t)1 << bit;
            }
        }
        if (top == 0 && rest <= 64 * WORDS) {
            grown = GILX_VARIANT(sweep)(at, length, columns, false, false, poll);
        } else {
            grown = GILX_VARIANT(sweep)(at, length, columns, top > 0, rest > 64 * WORDS,
                                        poll);
        }
        for (int64_t i = 0; i < length; ++i) {
            at->where[letters[i]] = (words){0};
        }
        if (grown == INT64_MIN) {
            return -1;
        }
        found += grown;
    }
    return (int32_t)found;
}

/* Approximate number of steps of a distance; preparing a strip takes as long as 128 of
 * them. */
static int64_t GILX_VARIANT(steps)(string rows, string columns) {
    return (rows.length + 64 * WORDS - 1) / (64 * WORDS) * (columns.length + 128);
}

/* Allocate memory for the edges of that many columns, if more than one strip needs them.
 */
static int GILX_VARIANT(reserve_edges)(scratch *at, int64_t rows, int64_t columns) {
    if (rows <= 64 * WORDS) {
        free(at->edge);
        at->edge = NULL;
        at->capacity = 0;
    } else if (columns > at->capacity) {
        free(at->edge);
        at->edge = malloc((size_t)columns);
        at->capacity = columns;
        if (at->edge == NULL) {
            return GILX_NO_MEMORY;
        }
    }
    return GILX_DONE;
}

static int GILX_VARIANT(levenshtein)(const gilx_argument *arguments, int64_t start,
                                     int64_t stop, gilx_control *control) {
    int32_t *out = arguments[4].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};
    scratch at = {.edge = NULL};
    int status = GILX_DONE;

    for (int64_t item = start; item < stop && status == GILX_DONE; ++item) {
        string rows = GILX_VARIANT(string_at)(arguments[0].data, arguments[1].data,
                                              arguments[0].shape[0], item);
        string columns = GILX_VARIANT(string_at)(arguments[2].data, arguments[3].data,
                                                 arguments[2].shape[0], item);
        /* The distance is the same both ways: take the one with fewer steps. */
        if (GILX_VARIANT(steps)(columns, rows) < GILX_VARIANT(steps)(rows, columns)) {
            const string swapped = rows;
            rows = columns;
            columns = swapped;
        }
        status = GILX_VARIANT(reserve_edges)(&at, rows.length, columns.length);
        if (status == GILX_DONE) {
            out[item] = GILX_VARIANT(distance)(&at, rows, columns, &poll);
            status = out[item] < 0 ? GILX_STOPPED : GILX_DONE;
        }
        /* Many short pairs must poll as well. */
        if (status == GILX_DONE && gilx_poll_stops(&poll, 64)) {
            status = GILX_STOPPED;
        }
    }
    free(at.edge);
    return status;
}

#undef WORDS
#undef LETTERS
#undef CHUNK
#undef POLL
#undef string
#undef strip
#undef words
#undef SHUFFLE
#undef UP
#undef BEHIND_1
#undef BEHIND_2
#undef BEHIND_4
#undef scratch

#endif
