/* exp, log and the normal quantile: the same bits everywhere. exp, log and the parts of
 * the quantile have no branches, so that loops over them can be vectorised.
 *
 * The C library's own differ between libraries and versions. These use only operations
 * that IEEE 754 defines to the bit, in an order that is part of the contract; the
 * Cython implementation repeats it. Over their whole range they are within 1 unit in the
 * last place of the true value (2 where exp's result is subnormal); the tests hold them
 * to it.
 */
#ifndef GILX_KERNELS_ELEMENTARY_FUNCTIONS_H
#define GILX_KERNELS_ELEMENTARY_FUNCTIONS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Inlined always: into code for other instruction sets, and into loops. */
#define GILX_ELEMENTARY static inline __attribute__((always_inline))

GILX_ELEMENTARY double gilx_from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

GILX_ELEMENTARY uint64_t gilx_to_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Adding and subtracting this rounds to the nearest whole number, ties to even. */
#define GILX_ROUNDER 0x1.8p52

/* 2**n for whole n from -1022 to 1023. The sum's low bits are the exponent field. */
GILX_ELEMENTARY double gilx_power_of_two(double n) {
    return gilx_from_bits(gilx_to_bits(n + (0x1p52 + 1023.0)) << 52);
}

/* exp(x). x = n*log(2) + r with |r| <= log(2)/2, log(2) in two parts of which the first
 * has trailing zeros, so that n times it is exact (Cody and Waite, Software Manual for
 * the Elementary Functions, 1980). exp(r) = 1 + r + r*r*q(r); q is the polynomial of
 * degree 9 with the least largest relative error, 0.03 units of the last place. */
GILX_ELEMENTARY double gilx_exp(double x) {
    double c = x < 710.0 ? x : 710.0; /* larger values overflow; NaN is restored below */
    c = c > -746.0 ? c : -746.0;      /* smaller values underflow */
    double n = (c * 0x1.71547652b82fep+0 + GILX_ROUNDER) - GILX_ROUNDER;
    double high = c - n * 0x1.62e42fefa3800p-1;
    double low = n * 0x1.ef35793c76730p-45;
    double r = high - low;
    double lost = (high - r) - low; /* the rounding error of r */
    double q = 0x1.af857a5042f7ep-26;
    q = q * r + 0x1.28b049009386bp-22;
    q = q * r + 0x1.71dddfd3a60bap-19;
    q = q * r + 0x1.a0199693cf72ep-16;
    q = q * r + 0x1.a01a01badf235p-13;
    q = q * r + 0x1.6c16c185a751dp-10;
    q = q * r + 0x1.111111110d642p-7;
    q = q * r + 0x1.5555555550030p-5;
    q = q * r + 0x1.5555555555561p-3;
    q = q * r + 0x1.000000000000bp-1;
    double y = 1.0 + (r + ((r * r) * q + lost));
    /* Two factors: 2**n alone may be out of range where the result is not. */
    double half = (n * 0.5 + GILX_ROUNDER) - GILX_ROUNDER;
    y = (y * gilx_power_of_two(half)) * gilx_power_of_two(n - half);
    return x == x ? y : x;
}

/* log(x). x = 2**k * (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2). With s = f/(2 + f),
 * log(1 + f) = 2s + s*r(s*s) = f - (f*f/2 - s*(f*f/2 + r)); r(z)/z is the polynomial of
 * degree 6 with the least largest relative error, 0.01 units of the last place. */
GILX_ELEMENTARY double gilx_log(double x) {
    double scaled = x < 0x1p-1022 ? x * 0x1p54 : x;
    double shift = x < 0x1p-1022 ? 54.0 : 0.0;
    uint64_t bits = gilx_to_bits(scaled) + (0x3ff0000000000000 - 0x3fe6a09e00000000);
    double k = gilx_from_bits((bits >> 52) | 0x4330000000000000) - (0x1p52 + 1023.0);
    k = k - shift;
    double f = gilx_from_bits((bits & 0x000fffffffffffff) + 0x3fe6a09e00000000) - 1.0;
    double s = f / (2.0 + f);
    double z = s * s;
    double r = 0x1.2f0634b5ae1b1p-3;
    r = r * z + 0x1.39a1a6ef6231ep-3;
    r = r * z + 0x1.74663fa29ad56p-3;
    r = r * z + 0x1.c71c520604c50p-3;
    r = r * z + 0x1.24924941f5011p-2;
    r = r * z + 0x1.999999997fd76p-2;
    r = r * z + 0x1.5555555555592p-1;
    r = r * z;
    double square = (0.5 * f) * f;
    double y = k * 0x1.62e42fefa3800p-1 +
               (f - (square - (s * (square + r) + k * 0x1.ef35793c76730p-45)));
    y = x < INFINITY ? y : x; /* infinity and NaN stay */
    y = x == 0.0 ? -INFINITY : y;
    return x < 0.0 ? NAN : y;
}

/* The polynomial with the given coefficients, that of the highest power first. */
GILX_ELEMENTARY double gilx_polynomial(const double *coefficients, int count, double x) {
    double y = coefficients[0];
    for (int i = 1; i < count; ++i) {
        y = y * x + coefficients[i];
    }
    return y;
}

/* The z below which a standard normal number lies with probability u, 0 < u < 1.
 *
 * Wichura, Algorithm AS 241 (PPND16): rational approximations with a relative error of
 * about 1e-16, one for the middle, in u, one for the tails and one for the far tails, in
 * the root of the logarithm of the nearer of u and 1 - u. Far is where this is below
 * GILX_FAR = exp(-25).
 *
 * Six paths of seven lie in the middle, and loops over a whole approximation are longer
 * than processors look ahead: so it is split into pieces, of which loops take the ones
 * they need, one at a time. */
#define GILX_FAR 1.3887943864964021e-11

GILX_ELEMENTARY bool gilx_is_central(double u) {
    return fabs(u - 0.5) <= 0.425;
}

GILX_ELEMENTARY double gilx_central_top(double u) {
    static const double top[8] = {2509.0809287301226727, 33430.575583588128105,
                                  67265.770927008700853, 45921.953931549871457,
                                  13731.693765509461125, 1971.5909503065514427,
                                  133.14166789178437745, 3.387132872796366608};
    const double q = u - 0.5;
    return q * gilx_polynomial(top, 8, 0.180625 - q * q);
}

GILX_ELEMENTARY double gilx_central_bottom(double u) {
    static const double bottom[8] = {5226.495278852545925,  28729.085735721942674,
                                     39307.89580009271061,  21213.794301586595867,
                                     5394.1960214247511077, 687.1870074920579083,
                                     42.313330701600911252, 1.0};
    const double q = u - 0.5;
    return gilx_polynomial(bottom, 8, 0.180625 - q * q);
}

GILX_ELEMENTARY double gilx_tail_root(double u) {
    return sqrt(-gilx_log(u < 0.5 ? u : 1.0 - u));
}

GILX_ELEMENTARY double gilx_tail_top(double root) {
    static const double top[8] = {7.7454501427834140764e-4, 0.0227238449892691845833,
                                  0.24178072517745061177,   1.27045825245236838258,
                                  3.64784832476320460504,   5.7694972214606914055,
                                  4.6303378461565452959,    1.42343711074968357734};
    return gilx_polynomial(top, 8, root - 1.6);
}

GILX_ELEMENTARY double gilx_tail_bottom(double root) {
    static const double bottom[8] = {1.05075007164441684324e-9, 5.475938084995344946e-4,
                                     0.0151986665636164571966,  0.14810397642748007459,
                                     0.68976733498510000455,    1.6763848301838038494,
                                     2.05319162663775882187,    1.0};
    return gilx_polynomial(bottom, 8, root - 1.6);
}

GILX_ELEMENTARY double gilx_tail(double u, double top, double bottom) {
    const double z = top / bottom;
    return u < 0.5 ? -z : z;
}

GILX_ELEMENTARY bool gilx_is_far(double u) {
    return u < GILX_FAR || 1.0 - u < GILX_FAR;
}

GILX_ELEMENTARY double gilx_far_top(double root) {
    static const double top[8] = {2.01033439929228813265e-7, 2.71155556874348757815e-5,
                                  0.0012426609473880784386,  0.026532189526576123093,
                                  0.29656057182850489123,    1.7848265399172913358,
                                  5.4637849111641143699,     6.6579046435011037772};
    return gilx_polynomial(top, 8, root - 5.0);
}

GILX_ELEMENTARY double gilx_far_bottom(double root) {
    static const double bottom[8] = {2.04426310338993978564e-15, 1.4215117583164458887e-7,
                                     1.8463183175100546818e-5,   7.868691311456132591e-4,
                                     0.0148753612908506148525,   0.13692988092273580531,
                                     0.59983220655588793769,     1.0};
    return gilx_polynomial(bottom, 8, root - 5.0);
}

GILX_ELEMENTARY double gilx_normal(double u) {
    if (gilx_is_central(u)) {
        return gilx_central_top(u) / gilx_central_bottom(u);
    }
    const double root = gilx_tail_root(u);
    return gilx_is_far(u) ? gilx_tail(u, gilx_far_top(root), gilx_far_bottom(root))
                          : gilx_tail(u, gilx_tail_top(root), gilx_tail_bottom(root));
}

#endif
