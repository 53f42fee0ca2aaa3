/* The kernels: their contract and the one list of them.
 *
 * To add a kernel NAME: describe it here (its parameters, its words, a line in
 * GILX_KERNELS), write its body in NAME.c beside this file, write it again in
 * src/gilx/cykernels.pyx, and give it a problem and references in
 * src/gilx/kernels/NAME.py. Wrappers, method tables, argument checks and docstrings
 * follow from the list.
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

#include "control.h"

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
    OUT(int32, "height, width", "iterations until |z| > 2, at most max_iter")

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

/* X(name, parameters, item, summary, source) */
#define GILX_KERNELS(X)                                                                  \
    X(mandelbrot, GILX_MANDELBROT_PARAMETERS, "row",                                     \
      "Escape counts of the Mandelbrot set on a grid",                                   \
      "The escape-time algorithm: the iteration z = z*z + c with bailout radius 2, in\n" \
      "double precision without fused multiply-add.")                                    \
    X(histogram, GILX_HISTOGRAM_PARAMETERS, "block",                                     \
      "Count byte values, block by block",                                               \
      "Partial histograms are merged by adding them in item order.")                     \
    X(levenshtein, GILX_LEVENSHTEIN_PARAMETERS, "pair",                                  \
      "Edit distances of pairs of byte strings",                                         \
      "The recurrence of Wagner and Fischer, The String-to-String Correction Problem,\n" \
      "J. ACM 21 (1974): insertion, deletion and substitution cost 1 each.")

#define GILX_DECLARE_BODY(name, ...) extern gilx_body gilx_##name;
GILX_KERNELS(GILX_DECLARE_BODY)
#undef GILX_DECLARE_BODY

#endif
