/* Compile a kernel's file once for each instruction set, and define the kernel.
 *
 * The file NAME.c of a kernel has two parts. The first is compiled once: it defines
 * GILX_NAME and GILX_FILE, and includes this header, which includes the file again, once
 * for each instruction set. The second part, which is compiled then, defines the
 * gilx_body GILX_VARIANT(NAME) and the functions that it calls, static and named
 * GILX_VARIANT(...), with vectors as wide as those of the instruction set:
 *
 *   GILX_VECTOR        bytes in a vector
 *   GILX_ISA           the instruction set, to choose sizes by
 *   gilx_doubles, gilx_words    vectors of double, of uint64_t
 *
 *   GILX_LOAD(from), GILX_STORE(to, vector)    doubles to and from arrays
 *
 * Vectors are gcc's and clang's own: arithmetic works element by element, and a
 * comparison gives -1 where it is true and 0 elsewhere. Compilers vectorize loops over
 * arrays by themselves.
 */
#include "instruction_sets.h"
#include "kernels.h"

#ifndef GILX_KERNELS_EACH_INSTRUCTION_SET_H
#define GILX_KERNELS_EACH_INSTRUCTION_SET_H

/* NAME_ISA, after macros in its arguments are expanded. */
#define GILX_JOIN_EXPANDED(left, right) left##_##right
#define GILX_JOIN(left, right) GILX_JOIN_EXPANDED(left, right)
#define GILX_VARIANT(name) GILX_JOIN(name, GILX_SUFFIX)

#define GILX_VECTOR_TYPE(type, bytes) __attribute__((vector_size(bytes))) type
typedef GILX_VECTOR_TYPE(double, 16) gilx_doubles_baseline;
typedef GILX_VECTOR_TYPE(double, 32) gilx_doubles_avx2;
typedef GILX_VECTOR_TYPE(double, 64) gilx_doubles_avx512;
typedef GILX_VECTOR_TYPE(uint64_t, 16) gilx_words_baseline;
typedef GILX_VECTOR_TYPE(uint64_t, 32) gilx_words_avx2;
typedef GILX_VECTOR_TYPE(uint64_t, 64) gilx_words_avx512;
/* Doubles in memory, which may lie anywhere that doubles may. */
#define GILX_LOOSE_TYPE(bytes) \
    __attribute__((vector_size(bytes), aligned(8), may_alias)) double
typedef GILX_LOOSE_TYPE(16) gilx_loose_baseline;
typedef GILX_LOOSE_TYPE(32) gilx_loose_avx2;
typedef GILX_LOOSE_TYPE(64) gilx_loose_avx512;
#define GILX_LOAD(from) ((gilx_doubles) * (const GILX_VARIANT(gilx_loose) *)(from))
#define GILX_STORE(to, vector) (*(GILX_VARIANT(gilx_loose) *)(to) = (vector))

#define gilx_doubles GILX_VARIANT(gilx_doubles)
#define gilx_words GILX_VARIANT(gilx_words)

#endif

#define GILX_SUFFIX baseline
#define GILX_ISA GILX_BASELINE
#define GILX_VECTOR 16
#include GILX_FILE
#undef GILX_SUFFIX
#undef GILX_ISA
#undef GILX_VECTOR

#if GILX_HAS_ISAS

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif
#define GILX_SUFFIX avx2
#define GILX_ISA GILX_AVX2
#define GILX_VECTOR 32
#include GILX_FILE
#undef GILX_SUFFIX
#undef GILX_ISA
#undef GILX_VECTOR
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* By themselves, compilers would leave half of each register unused. */
#if defined(__clang__)
#pragma clang attribute push(                                                         \
    __attribute__((                                                                   \
        target("avx2,bmi,bmi2,popcnt,avx512f,avx512cd,avx512bw,avx512dq,avx512vl"))), \
    apply_to = function)
#pragma clang attribute push(__attribute__((min_vector_width(512))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt,avx512f,avx512cd,avx512bw,avx512dq,avx512vl")
#pragma GCC target("prefer-vector-width=512")
#endif
#define GILX_SUFFIX avx512
#define GILX_ISA GILX_AVX512
#define GILX_VECTOR 64
#include GILX_FILE
#undef GILX_SUFFIX
#undef GILX_ISA
#undef GILX_VECTOR
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

int GILX_JOIN(gilx, GILX_NAME)(const gilx_argument *arguments, int64_t start,
                               int64_t stop, gilx_control *control) {
    static gilx_body *const bodies[] = {
        GILX_JOIN(GILX_NAME, baseline),
#if GILX_HAS_ISAS
        GILX_JOIN(GILX_NAME, avx2),
        GILX_JOIN(GILX_NAME, avx512),
#endif
    };
    return bodies[gilx_isa_in_use()](arguments, start, stop, control);
}
