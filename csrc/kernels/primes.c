/* primes: a sieve of Eratosthenes over the numbers that 2, 3 and 5 do not divide.
 *
 * These leave one of eight remainders (rests) when divided by 30. Each rest has a sieve
 * of its own, in which flag k stands for 30*k + rest: there the multiples of a prime p
 * are p flags apart. A sieve goes through pieces that stay in the first-level cache.
 * Multiples of 7, 11 and 13 come crossed out, copied from a pattern that repeats every
 * 1001 flags.
 *
 * A prime that is larger than a piece seldom has a multiple in one, and checking for that
 * costs more than crossing out: if there are such primes, they cross out windows of many
 * pieces, which stay in the second-level cache.
 */
#ifndef GILX_NAME
#include <stdlib.h>
#include <string.h>

#define GILX_NAME primes
#define GILX_FILE "primes.c"
#include "each_instruction_set.h"

#else

#define RESTS 8
#define WHEEL 30
#define PERIOD (7 * 11 * 13)
#define PIECE 17920    /* flags, a byte each: half a first-level cache */
#define PIECES 16      /* to a window */
#define POLL (1 << 19) /* flags crossed out between polls: some 0.3 ms */

typedef struct {
    int32_t *prime; /* those from 17 on whose square is below the end of the range */
    int64_t count, small; /* the first `small` are at most PIECE */
    /* For each rest and prime, the next flag to cross out, relative to the window. */
    int32_t *next[RESTS];
    uint8_t *flag;  /* of a window, for one rest */
    int64_t window; /* flags: of one piece, if there are none but small primes */
    /* Whether 30*k has none of 7, 11, 13 as a factor. */
    uint8_t pattern[PERIOD + PIECE];
} GILX_VARIANT(sieve);
#define sieve GILX_VARIANT(sieve)

static int64_t GILX_VARIANT(square_root)(int64_t n) {
    int64_t root = 0;
    for (int64_t bit = (int64_t)1 << 31; bit > 0; bit >>= 1) {
        if ((root + bit) * (root + bit) <= n) {
            root += bit;
        }
    }
    return root;
}

/* Find the primes from 17 up to `root`, at most 2**24, and make the pattern. */
static int GILX_VARIANT(prepare)(sieve *it, int64_t root, gilx_poll *poll) {
    uint8_t *composite = calloc((size_t)(root / 2 + 1), 1);
    /* From 17 on, fewer than 8 of 30 numbers are prime. */
    const size_t capacity = (size_t)(root / WHEEL + 1) * RESTS;
    it->prime = malloc(capacity * sizeof *it->prime);
    it->next[0] = malloc(RESTS * capacity * sizeof *it->next[0]);
    it->window = root > PIECE ? PIECES * PIECE : PIECE;
    it->flag = malloc((size_t)it->window);
    int status =
        composite != NULL && it->prime != NULL && it->next[0] != NULL && it->flag != NULL
            ? GILX_DONE
            : GILX_NO_MEMORY;
    for (int64_t n = 3; n <= root && status == GILX_DONE; n += 2) {
        int64_t crossed = 1;
        if (!composite[n / 2]) {
            if (n >= 17) {
                it->prime[it->count++] = (int32_t)n;
                it->small += n <= PIECE;
            }
            for (int64_t m = n * n; m <= root; m += 2 * n, ++crossed) {
                composite[m / 2] = 1;
            }
        }
        if (gilx_poll_stops(poll, crossed)) {
            status = GILX_STOPPED;
        }
    }
    free(composite);
    for (int rest = 1; status == GILX_DONE && rest < RESTS; ++rest) {
        it->next[rest] = it->next[0] + (size_t)rest * capacity;
    }
    static const int factors[] = {7, 11, 13};
    memset(it->pattern, 1, sizeof it->pattern);
    for (int i = 0; i < 3; ++i) {
        for (int k = 0; k < PERIOD + PIECE; k += factors[i]) {
            it->pattern[k] = 0;
        }
    }
    return status;
}

/* How many of the numbers below `end` leave the rest. */
static int64_t GILX_VARIANT(flags_below)(int64_t end, int rest) {
    static const int8_t rests[RESTS] = {1, 7, 11, 13, 17, 19, 23, 29};
    return (end + WHEEL - 1 - rests[rest]) / WHEEL;
}

/* Set `next` of a prime for a window that begins at the number `low`. */
static void GILX_VARIANT(begin_prime)(sieve *it, int64_t index, int64_t low) {
    /* The rest of a number, by the number modulo 30, and the distance to the next factor
     * that 2, 3 and 5 do not divide, for all numbers. */
    static const int8_t rest_of[WHEEL] = {-1, 0,  -1, -1, -1, -1, -1, 1,  -1, -1,
                                          -1, 2,  -1, 3,  -1, -1, -1, 4,  -1, 5,
                                          -1, -1, -1, 6,  -1, -1, -1, -1, -1, 7};
    static const int8_t step[WHEEL] = {1, 6, 5, 4, 3, 2, 1, 4, 3, 2, 1, 2, 1, 4, 3,
                                       2, 1, 2, 1, 4, 3, 2, 1, 6, 5, 4, 3, 2, 1, 2};
    const int64_t prime = it->prime[index];
    int64_t factor = (low + prime - 1) / prime;
    if (factor < prime) {
        factor = prime;
    }
    int64_t place = factor % WHEEL;
    if (rest_of[place] < 0) {
        factor += step[place];
        place = (place + step[place]) % WHEEL;
    }
    /* Eight factors in a row reach each rest once. */
    for (int i = 0; i < RESTS; ++i) {
        const int64_t multiple = prime * factor;
        const int rest = rest_of[multiple % WHEEL];
        it->next[rest][index] =
            (int32_t)(multiple / WHEEL - GILX_VARIANT(flags_below)(low, rest));
        factor += step[place];
        place = (place + step[place]) % WHEEL;
    }
}

/* Cross out multiples of primes [begin, end) among some flags. False when asked to stop.
 */
static bool GILX_VARIANT(cross_out)(const int32_t *primes, int32_t *next, int64_t begin,
                                    int64_t end, uint8_t *flag, int64_t flags,
                                    gilx_poll *poll) {
    int64_t crossed = 0;
    for (int64_t p = begin; p < end; ++p) {
        const int64_t prime = primes[p];
        int64_t at = next[p];
        for (; at + 3 * prime < flags; at += 4 * prime) {
            flag[at] = 0;
            flag[at + prime] = 0;
            flag[at + 2 * prime] = 0;
            flag[at + 3 * prime] = 0;
        }
        for (; at < flags; at += prime) {
            flag[at] = 0;
        }
        next[p] = (int32_t)(at - flags);
        crossed += flags / prime + 8;
        if (crossed > POLL / 2) {
            if (gilx_poll_stops(poll, crossed)) {
                return false;
            }
            crossed = 0;
        }
    }
    return !gilx_poll_stops(poll, crossed);
}

static int64_t GILX_VARIANT(count_flags)(const uint8_t *flag, int64_t flags) {
    int64_t count = 0;
    for (int64_t begin = 0; begin < flags; begin += 128) {
        /* Summed in bytes, as long as these can't overflow. */
        const int64_t end = flags - begin < 128 ? flags : begin + 128;
        uint8_t some = 0;
        for (int64_t k = begin; k < end; ++k) {
            some = (uint8_t)(some + flag[k]);
        }
        count += some;
    }
    return count;
}

/* Cross out and count, of the window [low, high), the numbers that leave one rest.
 * `active` sieving primes have multiples there. */
static int64_t GILX_VARIANT(count_rest)(sieve *it, int rest, int64_t low, int64_t high,
                                        int64_t active, gilx_poll *poll, int *status) {
    /* 30*(k + shift) is 30*k + rest, modulo 1001. */
    static const int16_t shift[RESTS] = {634, 434, 968, 234, 768, 34, 568, 368};
    const int64_t first = GILX_VARIANT(flags_below)(low, rest);
    const int64_t flags = GILX_VARIANT(flags_below)(high, rest) - first;
    const int64_t small = active < it->small ? active : it->small;
    int32_t *next = it->next[rest];
    bool stopped = false;
    for (int64_t k = 0; k < flags && !stopped; k += PIECE) {
        uint8_t *piece = it->flag + k;
        const int64_t size = flags - k < PIECE ? flags - k : PIECE;
        memcpy(piece, it->pattern + (first + k + shift[rest]) % PERIOD, (size_t)size);
        if (first + k == 0) {
            /* 1 is not a prime; 7, 11 and 13 are. */
            piece[0] = rest != 0;
        }
        stopped =
            !GILX_VARIANT(cross_out)(it->prime, next, 0, small, piece, size, poll) ||
            gilx_poll_stops(poll, size / 8);
    }
    if (stopped ||
        !GILX_VARIANT(cross_out)(it->prime, next, small, active, it->flag, flags, poll)) {
        *status = GILX_STOPPED;
        return 0;
    }
    return GILX_VARIANT(count_flags)(it->flag, flags);
}

/* Count the primes p with begin <= p < end. */
static int64_t GILX_VARIANT(count_range)(sieve *it, int64_t begin, int64_t end,
                                         gilx_poll *poll, int *status) {
    int64_t count = 0, active = 0;
    count += begin <= 2 && 2 < end;
    count += begin <= 3 && 3 < end;
    count += begin <= 5 && 5 < end;
    for (int64_t low = begin; low < end && *status == GILX_DONE;) {
        const int64_t longest = WHEEL * (it->window - 1);
        const int64_t high = end - low < longest ? end : low + longest;
        for (; active < it->count; ++active) {
            const int64_t prime = it->prime[active];
            if (prime * prime >= high) {
                break;
            }
            GILX_VARIANT(begin_prime)(it, active, low);
            if (gilx_poll_stops(poll, 32)) {
                *status = GILX_STOPPED;
                return 0;
            }
        }
        for (int rest = 0; rest < RESTS && *status == GILX_DONE; ++rest) {
            count += GILX_VARIANT(count_rest)(it, rest, low, high, active, poll, status);
        }
        low = high;
    }
    return count;
}

static int GILX_VARIANT(primes)(const gilx_argument *arguments, int64_t start,
                                int64_t stop, gilx_control *control) {
    const int64_t limit = arguments[0].integer;
    const int64_t segment = arguments[1].integer;
    int64_t *out = arguments[2].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};
    sieve it;

    if (start == stop) {
        return GILX_DONE;
    }
    it.count = it.small = 0;
    const int64_t end = limit / segment < stop ? limit : stop * segment;
    int status = GILX_VARIANT(prepare)(&it, GILX_VARIANT(square_root)(end), &poll);
    for (int64_t item = start; item < stop && status == GILX_DONE; ++item) {
        const int64_t begin = item * segment;
        const int64_t until = limit - begin < segment ? limit : begin + segment;
        out[item] = GILX_VARIANT(count_range)(&it, begin, until, &poll, &status);
    }
    free(it.prime);
    free(it.next[0]);
    free(it.flag);
    return status;
}

#undef RESTS
#undef WHEEL
#undef PERIOD
#undef PIECE
#undef PIECES
#undef POLL
#undef sieve

#endif
