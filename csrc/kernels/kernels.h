/* The kernels: their contract and the one list of them.
 *
 * To add a kernel NAME: describe it here (its parameters, its words, a line in
 * GILX_KERNELS), write its body in NAME.c beside this file (each_instruction_set.h says
 * how it is compiled for several instruction sets), write it again in
 * src/gilx/kernels/NAME.pxi for src/gilx/cykernels.pyx, and give it a problem and
 * references in src/gilx/kernels/NAME.py. Wrappers, method tables, argument checks and
 * docstrings follow from the list.
 *
 * The contract of a body:
 *   - it computes items [start, stop) and writes out[start:stop] and nothing else;
 *   - its arguments were checked by the caller: types, shapes, ranges, alignment, and
 *     that out overlaps no input. Array *contents* may change under it, so an index
 *     read from an array is clamped before it is used;
 *   - the order of its floating-point operations is part of its description below, so
 *     that every implementation gives the same bits;
 *   - it polls gilx_should_stop() at least once a millisecond of work;
 *   - it knows nothing of Python and keeps no state between calls.
 */
#ifndef GILX_KERNELS_KERNELS_H
#define GILX_KERNELS_KERNELS_H

#include <stdint.h>

#include "polling.h"

/* One argument of a kernel: an array (data, shape) or a number. */
typedef struct {
    void *data;
    int64_t shape[2];
    int64_t integer;
    double real;
} gilx_argument;

/* A kernel's body.
 *
 *   arguments  the inputs in the order of the kernel's parameters, then out
 *   start, stop  the items to compute, 0 <= start <= stop <= items
 *   control    where to ask whether to stop
 *
 * Returns GILX_DONE, GILX_STOPPED, or GILX_NO_MEMORY when scratch space was refused.
 */
typedef int gilx_body(const gilx_argument *arguments, int64_t start, int64_t stop,
                      gilx_control *control);

/* Each kernel's parameters, as calls of the macros that it is given:
 *
 *   ARRAY(name, type, shape, text)            an input array
 *   OFFSETS(name, shape, of, text)            int64 offsets that cut the array `of`
 *   INTEGER(name, least, greatest, text)      a whole number
 *   REAL(name, text)                          a double
 *   OUT(type, shape, text)                    the output; its first axis counts items
 *
 * A shape is a list of sizes: a name (bound where it is first met, compared after),
 * a number, name+1, or ceil(name/name).
 */

/* mandelbrot: z = 0; count = 0; while count < max_iter and zr*zr + zi*zi <= 4:
 * (zr, zi) = ((zr*zr - zi*zi) + re, 2*(zr*zi) + im), count += 1. */
#define GILX_MANDELBROT_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)         \
    ARRAY(re, float64, "width", "real part of c for each column")              \
    ARRAY(im, float64, "height", "imaginary part of c for each row")           \
    INTEGER(max_iter, 0, 2147483647, "the count at which a point is given up") \
    OUT(int32, "height, width", "iterations until abs(z) > 2, at most max_iter")

/* histogram: item i counts the bytes data[i*block : (i+1)*block]. */
#define GILX_HISTOGRAM_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)                   \
    ARRAY(data, uint8, "size", "the bytes to count")                                    \
    INTEGER(block, 1, 9223372036854775807, "bytes in a block; the last may be shorter") \
    OUT(int64, "ceil(size/block), 256",                                                 \
        "how often each byte value occurs in each block; their sum is the histogram")

/* levenshtein: item i compares a[a_offsets[i]:a_offsets[i+1]] with b's i-th string. */
#define GILX_LEVENSHTEIN_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)              \
    ARRAY(a, uint8, "a_size", "the first strings of all pairs, end to end")          \
    OFFSETS(a_offsets, "pairs+1", a, "where each first string starts, and the end")  \
    ARRAY(b, uint8, "b_size", "the second strings of all pairs, end to end")         \
    OFFSETS(b_offsets, "pairs+1", b, "where each second string starts, and the end") \
    OUT(int32, "pairs", "the edit distance of each pair, in bytes")

/* nbody: over all j in ascending order, with d = r[j] - r[i] and
 * q = ((dx*dx + dy*dy) + dz*dz) + softening*softening, each component adds
 * d * (q > 0 ? mass[j] / (q * sqrt(q)) : 0) to a sum that starts from 0. */
#define GILX_NBODY_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)         \
    ARRAY(x, float64, "bodies", "positions, first coordinate")            \
    ARRAY(y, float64, "bodies", "positions, second coordinate")           \
    ARRAY(z, float64, "bodies", "positions, third coordinate")            \
    ARRAY(mass, float64, "bodies", "masses, in units in which G is 1")    \
    REAL(softening, "length added to every distance, as a right angle's") \
    OUT(float64, "bodies, 3",                                             \
        "accelerations; bodies at distance 0 do not attract one another")

/* matmul: each element is a sum that starts from 0 and adds a[i, k]*b[k, j], k ascending.
 */
#define GILX_MATMUL_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT) \
    ARRAY(a, float64, "rows, inner", "the left-hand matrix")       \
    ARRAY(b, float64, "inner, columns", "the right-hand matrix")   \
    OUT(float64, "rows, columns", "the product of the two matrices")

/* collatz: n is halved if even, else becomes 3n + 1; at 1 the count ends. */
#define GILX_COLLATZ_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)              \
    INTEGER(first, 1, 4611686018427387904, "the number that item 0 starts from") \
    OUT(int32, "numbers",                                                        \
        "steps from first + i until 1; -1 where the way there leaves unsigned 64 bits")

/* primes: item i counts the primes p with i*segment <= p < min((i+1)*segment, limit). */
#define GILX_PRIMES_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)       \
    INTEGER(limit, 0, 281474976710656, "where to stop: primes below it") \
    INTEGER(segment, 1, 281474976710656, "numbers in a segment")         \
    OUT(int64, "ceil(limit/segment)", "how many primes lie in each segment")

/* montecarlo: path p takes 64 bits of Philox4x32-10 with the counter p/2 (its low and
 * high word, 0, 0) and the key seed (low, high): words 0 and 1 if p is even, 2 and 3 if
 * odd, the first of them low. With w those bits, u = ((w >> 12) + 0.5) * 2**-52,
 * z = normal(u) and s = spot*exp(drift + spread*z), where
 * spread = volatility*sqrt(years), drift = (rate - (0.5*volatility)*volatility)*years,
 * the path pays v = s > strike ? s - strike : 0. Path j of a block adds v to sum j mod 8
 * of eight that start from 0, and v*v likewise; item i is the eight added up in order.
 * exp, log and normal are those of elementary_functions.h. */
#define GILX_MONTECARLO_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)                  \
    REAL(spot, "price of the asset today")                                              \
    REAL(strike, "price at which the option lets its owner buy")                        \
    REAL(rate, "riskless interest, per year, compounded all the time")                  \
    REAL(volatility, "standard deviation of the price's logarithm after one year")      \
    REAL(years, "time until the option ends")                                           \
    INTEGER(paths, 0, 4611686018427387904, "how many paths to draw")                    \
    INTEGER(block, 1, 9223372036854775807, "paths in a block; the last may be shorter") \
    INTEGER(seed, 0, 9223372036854775807, "key of the random numbers")                  \
    OUT(float64, "ceil(paths/block), 2",                                                \
        "for each block the sum of what its paths pay, and of the squares of that")

/* triad: out[i] = b[i] + scalar*c[i]. */
#define GILX_TRIAD_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT) \
    ARRAY(b, float64, "size", "the numbers to add to")            \
    ARRAY(c, float64, "size", "the numbers to multiply")          \
    REAL(scalar, "the factor")                                    \
    OUT(float64, "size", "b + scalar*c")

/* heat: u + rate*(((above + below) + (left + right)) - 4*u) inside, u on the border. */
#define GILX_HEAT_PARAMETERS(ARRAY, OFFSETS, INTEGER, REAL, OUT)                   \
    ARRAY(u, float64, "height, width", "temperatures before the step")             \
    REAL(rate, "diffusivity * time step / spacing squared; stable from 0 to 0.25") \
    OUT(float64, "height, width", "temperatures after it; the border keeps its own")

/* X(name, parameters, item, summary, source) */
#define GILX_KERNELS(X)                                                                  \
    X(mandelbrot, GILX_MANDELBROT_PARAMETERS, "row",                                     \
      "Escape counts of the Mandelbrot set on a grid",                                   \
      "The escape-time algorithm, the iteration z = z*z + c with bailout radius 2:\n"    \
      "Peitgen and Saupe, The Science of Fractal Images, Springer (1988), chapter 4.\n"  \
      "In double precision without fused multiply-add.")                                 \
    X(nbody, GILX_NBODY_PARAMETERS, "body", "Gravitational accelerations, all pairs",    \
      "Direct summation with Plummer softening: Aarseth, Gravitational N-Body\n"         \
      "Simulations, Cambridge (2003), section 1.2.")                                     \
    X(matmul, GILX_MATMUL_PARAMETERS, "row", "Product of two matrices",                  \
      "The definition, computed in blocks that stay in the caches, after Goto and\n"     \
      "van de Geijn, Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34\n"   \
      "(2008). Each element has one accumulator; no fused multiply-add.")                \
    X(collatz, GILX_COLLATZ_PARAMETERS, "number",                                        \
      "Steps of the Collatz iteration until 1",                                          \
      "Lagarias, The 3x+1 Problem and Its Generalizations, Amer. Math. Monthly 92\n"     \
      "(1985).")                                                                         \
    X(primes, GILX_PRIMES_PARAMETERS, "segment", "Count primes, segment by segment",     \
      "The sieve of Eratosthenes in segments that stay in the first-level cache, "       \
      "after\n"                                                                          \
      "Bays and Hudson, The segmented sieve of Eratosthenes and primes in arithmetic\n"  \
      "progressions to 10**12, BIT 17 (1977).")                                          \
    X(montecarlo, GILX_MONTECARLO_PARAMETERS, "block",                                   \
      "Price of a European call option by simulation",                                   \
      "Paths of geometric Brownian motion: Glasserman, Monte Carlo Methods in "          \
      "Financial\n"                                                                      \
      "Engineering, Springer (2003), section 1.1. Random numbers: Philox4x32-10, "       \
      "Salmon\n"                                                                         \
      "et al., Parallel random numbers: as easy as 1, 2, 3, SC'11. Normal deviates by\n" \
      "inversion: Wichura, Algorithm AS 241, Appl. Statist. 37 (1988). The price is\n"   \
      "exp(-rate*years) times the sum of all blocks over paths.")                        \
    X(histogram, GILX_HISTOGRAM_PARAMETERS, "block",                                     \
      "Count byte values, block by block",                                               \
      "Partial histograms are merged by adding them in item order.")                     \
    X(triad, GILX_TRIAD_PARAMETERS, "element", "Add a multiple of one array to another", \
      "The triad of McCalpin, Memory Bandwidth and Machine Balance in Current High\n"    \
      "Performance Computers, IEEE TCCA Newsletter (1995).")                             \
    X(heat, GILX_HEAT_PARAMETERS, "row",                                                 \
      "One explicit step of the heat equation on a grid",                                \
      "The five-point scheme: LeVeque, Finite Difference Methods for Ordinary and\n"     \
      "Partial Differential Equations, SIAM (2007), section 9.")                         \
    X(levenshtein, GILX_LEVENSHTEIN_PARAMETERS, "pair",                                  \
      "Edit distances of pairs of byte strings",                                         \
      "The recurrence of Wagner and Fischer, The String-to-String Correction Problem,\n" \
      "J. ACM 21 (1974): insertion, deletion and substitution cost 1 each. Computed a\n" \
      "word of bits at a time: Myers, A fast bit-vector algorithm for approximate\n"     \
      "string matching based on dynamic programming, J. ACM 46 (1999).")

#define GILX_DECLARE_BODY(name, ...) extern gilx_body gilx_##name;
GILX_KERNELS(GILX_DECLARE_BODY)
#undef GILX_DECLARE_BODY

#endif
