/* Writing past the caches, for outputs that no cache would hold until they are read. */
#ifndef GILX_KERNELS_NONTEMPORAL_STORES_H
#define GILX_KERNELS_NONTEMPORAL_STORES_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    GILX_LINE = 8, /* doubles in a line of a cache */
    /* Doubles from which an output is taken to be too large for caches: 16 MiB, half of
     * a large third-level one. */
    GILX_STREAMED = 1 << 21
};

/* Return whether to write an output of that many doubles past the caches. */
static inline bool gilx_streams(int64_t doubles) {
#if defined(__x86_64__)
    return doubles >= GILX_STREAMED;
#else
    (void)doubles;
    return false;
#endif
}

/* Doubles until a line begins. */
static inline int64_t gilx_until_line(const double *at) {
    return (int64_t)(-((uintptr_t)at / sizeof *at) % GILX_LINE);
}

/* End writing past the caches: other threads see these writes before any later one. */
static inline void gilx_end_stream(void) {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* GILX_STREAM(to, vector), in a kernel's second part: `to` is aligned to the vector. */
#if !defined(__x86_64__)
#define GILX_STREAM(to, vector) GILX_STORE(to, vector)
#else
#define GILX_STREAM(to, vector) \
    GILX_JOIN(gilx_stream, GILX_SUFFIX)(to, (gilx_doubles)(vector))
#define gilx_stream_baseline(to, vector) _mm_stream_pd(to, (__m128d)(vector))
#define gilx_stream_avx2(to, vector) _mm256_stream_pd(to, (__m256d)(vector))
#define gilx_stream_avx512(to, vector) _mm512_stream_pd(to, (__m512d)(vector))
#endif

#endif
