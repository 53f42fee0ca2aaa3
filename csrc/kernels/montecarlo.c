/* montecarlo: what a European call option pays on random paths.
 *
 * Random numbers come from a counter, so any block can be computed by anyone. The work
 * goes through BATCH paths at a time, stage by stage, each stage a loop without branches
 * over arrays that stay in the first-level cache, and short enough for a processor to
 * work on several turns at once.
 */
#ifndef GILX_NAME
#include "elementary_functions.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define GILX_NAME montecarlo
#define GILX_FILE "montecarlo.c"
#include "each_instruction_set.h"

#else

#define SUMS 8
#define BATCH 256 /* paths, a multiple of SUMS and of what draw() draws */
#define SPARE 8   /* at least a vector, so that loops over tails go in whole ones */
#define ABREAST (GILX_VECTOR / 8)
#define VECTORS 4                     /* of counters whose rounds run side by side */
#define DRAWN (2 * VECTORS * ABREAST) /* paths, two to each counter */
#define POLL (1 << 14)                /* paths between polls: 0.1 to 0.5 ms */

typedef struct {
    double spot, strike, drift, spread;
    uint64_t seed;
} GILX_VARIANT(option);
#define option GILX_VARIANT(option)

/* The products of the words' lower halves. */
static inline gilx_words GILX_VARIANT(product)(gilx_words a, gilx_words b) {
#if !defined(__x86_64__)
    return (a & 0xffffffff) * (b & 0xffffffff);
#elif GILX_VECTOR == 64
    return (gilx_words)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif GILX_VECTOR == 32
    return (gilx_words)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
    return (gilx_words)_mm_mul_epu32((__m128i)a, (__m128i)b);
#endif
}

/* The random bits of paths 2*counter to 2*counter + DRAWN. */
static inline void GILX_VARIANT(draw)(uint64_t counter, uint64_t seed, uint64_t *bits) {
    const gilx_words half = (gilx_words){0} + 0xffffffff;
    const gilx_words first_factor = (gilx_words){0} + 0xD2511F53;
    const gilx_words second_factor = (gilx_words){0} + 0xCD9E8D57;
    gilx_words c0[VECTORS], c1[VECTORS], c2[VECTORS], c3[VECTORS];
    for (int n = 0; n < VECTORS; ++n) {
        gilx_words number = {0};
        for (int lane = 0; lane < ABREAST; ++lane) {
            number[lane] = counter + (uint64_t)(n * ABREAST + lane);
        }
        c0[n] = number;
        c1[n] = number >> 32;
        c2[n] = c3[n] = (gilx_words){0};
    }
    /* gilx_philox, on several counters. Each word lies in 64 bits, of which the upper
     * half may hold anything: products and results are made of the lower halves. */
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        for (int n = 0; n < VECTORS; ++n) {
            const gilx_words first = GILX_VARIANT(product)(first_factor, c0[n]);
            const gilx_words second = GILX_VARIANT(product)(second_factor, c2[n]);
            c0[n] = (second >> 32) ^ c1[n] ^ key0;
            c2[n] = (first >> 32) ^ c3[n] ^ key1;
            c1[n] = second;
            c3[n] = first;
        }
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    for (int n = 0; n < VECTORS; ++n) {
        const gilx_words even = (c0[n] & half) | c1[n] << 32;
        const gilx_words odd = (c2[n] & half) | c3[n] << 32;
        for (int lane = 0; lane < ABREAST; ++lane) {
            bits[2 * (n * ABREAST + lane)] = even[lane];
            bits[2 * (n * ABREAST + lane) + 1] = odd[lane];
        }
    }
}

/* The paths' numbers between 0 and 1. */
static void GILX_VARIANT(uniforms)(uint64_t first, uint64_t seed, double *restrict u) {
    /* A path with an odd number takes the second half of a counter's bits. */
    uint64_t bits[BATCH + DRAWN];
    for (uint64_t i = 0; i < BATCH + first % 2; i += DRAWN) {
        GILX_VARIANT(draw)((first + i) / 2, seed, bits + i);
    }
    const uint64_t *from = bits + first % 2;
    for (int i = 0; i < BATCH; ++i) {
        /* Set as the last places of 1: a number from 1 to 2, from which an odd number of
         * halves of the last place is left. Exact, as is (w + 0.5) * 2**-52. */
        u[i] = gilx_from_bits((from[i] >> 12) | 0x3ff0000000000000) - (1.0 - 0x1p-53);
    }
}

#if GILX_HAS_ISAS && GILX_VECTOR == 64
static inline __mmask8 GILX_VARIANT(in_tails)(__m512d u) {
    const __m512d q = _mm512_abs_pd(_mm512_sub_pd(u, _mm512_set1_pd(0.5)));
    return _mm512_cmp_pd_mask(q, _mm512_set1_pd(0.425), _CMP_GT_OQ);
}
#endif

/* Copy those of u that lie in tails, one after the other; return how many. There is no
 * branch, since none could be foreseen. SPARE more are written behind them: any numbers
 * in tails. */
static int GILX_VARIANT(pick_tails)(const double *restrict u, double *restrict tails) {
    int count = 0;
#if GILX_HAS_ISAS && GILX_VECTOR == 64
    for (int i = 0; i < BATCH; i += ABREAST) {
        const __m512d some = _mm512_loadu_pd(u + i);
        const __mmask8 picked = GILX_VARIANT(in_tails)(some);
        _mm512_storeu_pd(tails + count, _mm512_maskz_compress_pd(picked, some));
        count += __builtin_popcount(picked);
    }
#else
    for (int i = 0; i < BATCH; ++i) {
        tails[count] = u[i];
        count += !gilx_is_central(u[i]);
    }
#endif
    for (int i = 0; i < SPARE; ++i) {
        tails[count + i] = 0.01;
    }
    return count;
}

/* The other way: what was made of those goes to their places in z. */
static void GILX_VARIANT(place_tails)(const double *restrict u,
                                      const double *restrict tails, double *restrict z) {
    int count = 0;
#if GILX_HAS_ISAS && GILX_VECTOR == 64
    for (int i = 0; i < BATCH; i += ABREAST) {
        const __mmask8 placed = GILX_VARIANT(in_tails)(_mm512_loadu_pd(u + i));
        const __m512d next = _mm512_loadu_pd(tails + count), old = _mm512_loadu_pd(z + i);
        _mm512_storeu_pd(z + i, _mm512_mask_expand_pd(old, placed, next));
        count += __builtin_popcount(placed);
    }
#else
    for (int i = 0; i < BATCH; ++i) {
        const bool central = gilx_is_central(u[i]);
        const double next = tails[count];
        z[i] = central ? z[i] : next;
        count += !central;
    }
#endif
}

/* The normal quantiles z of u: the central approximation for all, then another for those
 * in tails. */
static void GILX_VARIANT(quantiles)(const double *restrict u, double *restrict z) {
    double tails[BATCH + SPARE], root[BATCH + SPARE];
    double top[BATCH + SPARE], bottom[BATCH + SPARE];
    for (int i = 0; i < BATCH; ++i) {
        z[i] = gilx_central_top(u[i]);
    }
    for (int i = 0; i < BATCH; ++i) {
        z[i] = z[i] / gilx_central_bottom(u[i]);
    }

    const int count = GILX_VARIANT(pick_tails)(u, tails);
    const int whole = (count + SPARE - 1) / SPARE * SPARE;
    for (int i = 0; i < whole; ++i) {
        root[i] = gilx_tail_root(tails[i]);
    }
    for (int i = 0; i < whole; ++i) {
        top[i] = gilx_tail_top(root[i]);
    }
    for (int i = 0; i < whole; ++i) {
        bottom[i] = gilx_tail_bottom(root[i]);
    }
    int64_t far = 0;
    for (int i = 0; i < whole; ++i) {
        far |= (int64_t)(tails[i] < GILX_FAR) | (int64_t)(1.0 - tails[i] < GILX_FAR);
    }
    for (int i = 0; far != 0 && i < count; ++i) {
        if (gilx_is_far(tails[i])) {
            top[i] = gilx_far_top(root[i]);
            bottom[i] = gilx_far_bottom(root[i]);
        }
    }
    for (int i = 0; i < whole; ++i) {
        tails[i] = gilx_tail(tails[i], top[i], bottom[i]);
    }
    GILX_VARIANT(place_tails)(u, tails, z);
}

/* What paths first to first + BATCH pay. */
static void GILX_VARIANT(pay)(const option *o, uint64_t first, double *paid) {
    double u[BATCH], z[BATCH];
    GILX_VARIANT(uniforms)(first, o->seed, u);
    GILX_VARIANT(quantiles)(u, z);
    for (int i = 0; i < BATCH; ++i) {
        const double s = o->spot * gilx_exp(o->drift + o->spread * z[i]);
        paid[i] = s > o->strike ? s - o->strike : 0.0;
    }
}

static int GILX_VARIANT(montecarlo)(const gilx_argument *arguments, int64_t start,
                                    int64_t stop, gilx_control *control) {
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
        gilx_doubles sum[SUMS / ABREAST] = {{0}}, squares[SUMS / ABREAST] = {{0}};
        double paid[BATCH];
        const int64_t begin = item * block;
        const int64_t end = paths - begin < block ? paths : begin + block;
        for (int64_t path = begin; path < end; path += BATCH) {
            GILX_VARIANT(pay)(&o, (uint64_t)path, paid);
            /* Paths beyond the end pay nothing, and adding 0 changes no bit: what is
             * paid adds up to no -0. */
            for (int64_t i = end - path; i < BATCH; ++i) {
                paid[i] = 0.0;
            }
            for (int i = 0; i < BATCH; i += SUMS) {
                /* In vectors by hand: left alone, gcc permutes more than it adds. */
                for (int j = 0; j < SUMS / ABREAST; ++j) {
                    const gilx_doubles some = GILX_LOAD(paid + i + j * ABREAST);
                    sum[j] += some;
                    squares[j] += some * some;
                }
            }
            if (gilx_poll_stops(&poll, BATCH)) {
                return GILX_STOPPED;
            }
        }
        double all = 0.0, all_squares = 0.0;
        for (int j = 0; j < SUMS; ++j) {
            all += sum[j / ABREAST][j % ABREAST];
            all_squares += squares[j / ABREAST][j % ABREAST];
        }
        out[2 * item] = all;
        out[2 * item + 1] = all_squares;
    }
    return GILX_DONE;
}

#undef SUMS
#undef BATCH
#undef SPARE
#undef ABREAST
#undef VECTORS
#undef DRAWN
#undef POLL
#undef option

#endif
