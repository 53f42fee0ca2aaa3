/* collatz: steps of the 3n + 1 iteration, all the halvings in a row at once.
 *
 * Each number is a chain of dependent operations, of a length that can't be foreseen.
 * Where vectors can count zeros, which AVX-512 can, LANES numbers go on side by side;
 * every few rounds, those that have arrived make way for the next ones, so that no chain
 * waits for a longer one. Elsewhere it is one number after the other.
 */
#ifndef GILX_NAME
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define GILX_NAME collatz
#define GILX_FILE "collatz.c"
#include "each_instruction_set.h"

#else

#define POLL (1 << 19) /* steps between polls: some 0.3 ms */

/* The next number after an odd one above this does not fit into 64 bits. */
#define MOST ((UINT64_MAX - 1) / 3)

#if GILX_VECTOR == 64

#define ROUNDS 8 /* between checks for numbers that have arrived at 1 */
#define CHAINS 2
#define LANES (8 * CHAINS)

/* Some rounds for odd numbers; those that are 1 or beyond MOST stay what they are. */
static inline void GILX_VARIANT(advance)(gilx_words *n, gilx_words *steps) {
    for (int round = 0; round < ROUNDS; ++round) {
        for (int c = 0; c < CHAINS; ++c) {
            const gilx_words even = n[c] + n[c] + n[c] + 1;
            const gilx_words leading =
                (gilx_words)_mm512_lzcnt_epi64((__m512i)(even & -even));
            const gilx_words halvings = 63 - leading;
            const gilx_words on = (gilx_words)(n[c] - 2 <= MOST - 2);
            n[c] = ((even >> halvings) & on) | (n[c] & ~on);
            steps[c] += (halvings + 1) & on;
        }
    }
}

/* Numbers that go on side by side, their steps so far and their items. */
typedef struct {
    union {
        gilx_words all[CHAINS];
        uint64_t lane[LANES];
    } n, steps;
    int64_t item[LANES]; /* -1: none */
    int64_t next, stop, unfinished;
} GILX_VARIANT(lanes);
#define lanes GILX_VARIANT(lanes)

/* Replace the items whose numbers have arrived by the next ones. */
static inline void GILX_VARIANT(replace)(lanes *at, uint64_t first, int32_t *out) {
    for (int lane = 0; lane < LANES; ++lane) {
        const uint64_t n = at->n.lane[lane];
        if (n - 2 <= MOST - 2) {
            continue; /* still on its way */
        }
        if (at->item[lane] >= 0) {
            out[at->item[lane]] = n == 1 ? (int32_t)at->steps.lane[lane] : -1;
            --at->unfinished;
        }
        at->item[lane] = -1;
        at->n.lane[lane] = 1;
        if (at->next < at->stop) {
            const uint64_t number = first + (uint64_t)at->next;
            const int halvings = __builtin_ctzll(number);
            at->item[lane] = at->next++;
            at->n.lane[lane] = number >> halvings;
            at->steps.lane[lane] = (uint64_t)halvings;
        }
    }
}

static int GILX_VARIANT(items)(uint64_t first, int32_t *out, int64_t start, int64_t stop,
                               gilx_poll *poll) {
    lanes at = {.next = start, .stop = stop, .unfinished = stop - start};
    for (int lane = 0; lane < LANES; ++lane) {
        at.n.lane[lane] = 1;
        at.item[lane] = -1;
    }
    while (at.unfinished > 0) {
        GILX_VARIANT(replace)(&at, first, out);
        GILX_VARIANT(advance)(at.n.all, at.steps.all);
        if (gilx_poll_stops(poll, 3 * ROUNDS * LANES)) {
            return GILX_STOPPED;
        }
    }
    return GILX_DONE;
}

#undef ROUNDS
#undef CHAINS
#undef LANES
#undef lanes

#else

/* Steps from n, at least 1, to 1. The longest way that stays in 64 bits has a few
 * thousand steps, so nothing overflows here and no item is long. */
static int32_t GILX_VARIANT(steps_to_one)(uint64_t n) {
    int32_t halvings = __builtin_ctzll(n);
    int32_t steps = halvings;
    n >>= halvings;
    while (n != 1) {
        if (n > MOST) {
            return -1;
        }
        n = 3 * n + 1;
        halvings = __builtin_ctzll(n);
        n >>= halvings;
        steps += 1 + halvings;
    }
    return steps;
}

static int GILX_VARIANT(items)(uint64_t first, int32_t *out, int64_t start, int64_t stop,
                               gilx_poll *poll) {
    for (int64_t item = start; item < stop; ++item) {
        out[item] = GILX_VARIANT(steps_to_one)(first + (uint64_t)item);
        if (gilx_poll_stops(poll, 8 + (out[item] > 0 ? out[item] : 64))) {
            return GILX_STOPPED;
        }
    }
    return GILX_DONE;
}

#endif

static int GILX_VARIANT(collatz)(const gilx_argument *arguments, int64_t start,
                                 int64_t stop, gilx_control *control) {
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};
    return GILX_VARIANT(items)((uint64_t)arguments[0].integer, arguments[1].data, start,
                               stop, &poll);
}

#undef POLL
#undef MOST

#endif
