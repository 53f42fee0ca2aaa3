/* montecarlo: what a European call option pays on random paths.
 *
 * Random numbers come from a counter, so any block can be computed by anyone. The work
 * goes through BATCH paths at a time, stage by stage, each stage a loop without branches
 * over arrays that stay in the first-level cache.
 */
#include "elementary.h"
#include "kernels.h"
#include "philox.h"

enum {
    SUMS = 8,
    BATCH = 128,   /* paths, a multiple of SUMS */
    ABREAST = 4,   /* counters whose rounds run side by side */
    POLL = 1 << 14 /* paths between polls: some 0.3 ms */
};

typedef struct {
    double spot, strike, drift, spread;
    uint64_t seed;
} option;

/* The random bits of paths 2*counter to 2*(counter + ABREAST). */
static inline void draw(uint64_t counter, uint64_t seed, uint64_t *bits) {
    uint32_t c0[ABREAST], c1[ABREAST], c2[ABREAST] = {0}, c3[ABREAST] = {0};
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (uint64_t i = 0; i < ABREAST; ++i) {
        c0[i] = (uint32_t)(counter + i);
        c1[i] = (uint32_t)((counter + i) >> 32);
    }
    /* gilx_philox, on several counters. */
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < ABREAST; ++i) {
            const uint64_t first = (uint64_t)0xD2511F53 * c0[i];
            const uint64_t second = (uint64_t)0xCD9E8D57 * c2[i];
            c0[i] = (uint32_t)(second >> 32) ^ c1[i] ^ key0;
            c2[i] = (uint32_t)(first >> 32) ^ c3[i] ^ key1;
            c1[i] = (uint32_t)second;
            c3[i] = (uint32_t)first;
        }
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    for (int i = 0; i < ABREAST; ++i) {
        bits[2 * i] = c0[i] | (uint64_t)c1[i] << 32;
        bits[2 * i + 1] = c2[i] | (uint64_t)c3[i] << 32;
    }
}

/* What paths first to first + BATCH pay. */
static void pay(const option *o, uint64_t first, double *paid) {
    /* A path with an odd number takes the second half of a counter's bits. */
    uint64_t bits[BATCH + 2 * ABREAST];
    double u[BATCH], z[BATCH];
    for (uint64_t i = 0; i < BATCH + first % 2; i += 2 * ABREAST) {
        draw((first + i) / 2, o->seed, bits + i);
    }
    bool far = false;
    for (uint64_t i = 0; i < BATCH; ++i) {
        /* Set as the last places of 2**52: a whole number in a double. */
        uint64_t whole = (bits[i + first % 2] >> 12) | 0x4330000000000000;
        u[i] = ((gilx_from_bits(whole) - 0x1p52) + 0.5) * 0x1p-52;
    }
    for (int i = 0; i < BATCH; ++i) {
        z[i] = gilx_normal_near(u[i]);
    }
    for (int i = 0; i < BATCH; ++i) {
        far |= gilx_is_far(u[i]);
    }
    for (int i = 0; far && i < BATCH; ++i) {
        z[i] = gilx_normal(u[i]);
    }
    for (int i = 0; i < BATCH; ++i) {
        double s = o->spot * gilx_exp(o->drift + o->spread * z[i]);
        paid[i] = s > o->strike ? s - o->strike : 0.0;
    }
}

int gilx_montecarlo(const gilx_argument *arguments, int64_t start, int64_t stop,
                    gilx_control *control) {
    const double rate = arguments[2].real, volatility = arguments[3].real;
    const double years = arguments[4].real;
    const int64_t paths = arguments[5].integer;
    const int64_t block = arguments[6].integer;
    const option o = {
        .spot = arguments[0].real,
        .strike = arguments[1].real,
        .drift = (rate - (0.5 * volatility) * volatility) * years,
        .spread = volatility * sqrt(years),
        .seed = (uint64_t)arguments[7].integer,
    };
    double *out = arguments[8].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};

    for (int64_t item = start; item < stop; ++item) {
        double sum[SUMS] = {0}, squares[SUMS] = {0}, paid[BATCH];
        const int64_t begin = item * block;
        const int64_t end = paths - begin < block ? paths : begin + block;
        for (int64_t path = begin; path < end; path += BATCH) {
            pay(&o, (uint64_t)path, paid);
            /* Paths beyond the end pay nothing, and adding 0 changes no bit: what is
             * paid adds up to no -0. */
            for (int64_t i = end - path; i < BATCH; ++i) {
                paid[i] = 0.0;
            }
            for (int i = 0; i < BATCH; i += SUMS) {
                for (int j = 0; j < SUMS; ++j) {
                    sum[j] += paid[i + j];
                    squares[j] += paid[i + j] * paid[i + j];
                }
            }
            if (gilx_poll_stops(&poll, BATCH)) {
                return GILX_STOPPED;
            }
        }
        double all = 0.0, all_squares = 0.0;
        for (int j = 0; j < SUMS; ++j) {
            all += sum[j];
            all_squares += squares[j];
        }
        out[2 * item] = all;
        out[2 * item + 1] = all_squares;
    }
    return GILX_DONE;
}
