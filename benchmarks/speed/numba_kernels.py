"""The kernels as a numba user would write them, for comparison with gilx's.

Each is the loop of the Cython implementation, compiled with ``njit(nogil=True)``, without
its polls: numba's functions can't be interrupted. They take the arguments of the compiled
variants: inputs, then out, start, stop.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KERNELS"]

jit = numba.njit(nogil=True, error_model="numpy")


@jit
def mandelbrot(re, im, max_iter, out, start, stop):
    for row in range(start, stop):
        ci = im[row]
        for column in range(re.shape[0]):
            cr = re[column]
            zr = zi = rr = ii = 0.0
            count = 0
            while count < max_iter and rr + ii <= 4.0:
                zi = 2.0 * (zr * zi) + ci
                zr = (rr - ii) + cr
                rr = zr * zr
                ii = zi * zi
                count += 1
            out[row, column] = count


@jit
def nbody(x, y, z, mass, softening, out, start, stop):
    soft = softening * softening
    for i in range(start, stop):
        ax = ay = az = 0.0
        for j in range(x.shape[0]):
            dx = x[j] - x[i]
            dy = y[j] - y[i]
            dz = z[j] - z[i]
            q = ((dx * dx + dy * dy) + dz * dz) + soft
            w = mass[j] / (q * sqrt(q)) if q > 0.0 else 0.0
            ax += dx * w
            ay += dy * w
            az += dz * w
        out[i, 0] = ax
        out[i, 1] = ay
        out[i, 2] = az


@jit
def matmul(a, b, out, start, stop):
    for left in range(0, b.shape[1], 256):
        right = min(left + 256, b.shape[1])
        for row in range(start, stop):
            for column in range(left, right):
                out[row, column] = 0.0
            for k in range(a.shape[1]):
                factor = a[row, k]
                for column in range(left, right):
                    out[row, column] += factor * b[k, column]


@jit
def collatz(first, out, start, stop):
    most = np.uint64((2**64 - 2) // 3)
    one = np.uint64(1)
    three = np.uint64(3)
    for item in range(start, stop):
        n = np.uint64(first) + np.uint64(item)
        steps = 0
        while n != one:
            if n & one == 0:
                n >>= one
                steps += 1
            elif n <= most:
                n = (three * n + one) >> one
                steps += 2
            else:
                steps = -1
                break
        out[item] = steps


@jit
def primes(limit, segment, out, start, stop):
    root = int(sqrt(limit))
    composite = np.zeros(root // 2 + 2, np.uint8)
    prime = np.empty(root // 2 + 2, np.int32)
    count = 0
    for n in range(3, root + 1, 2):
        if composite[n >> 1] == 0:
            prime[count] = n
            count += 1
            for multiple in range(n * n, root + 1, 2 * n):
                composite[multiple >> 1] = 1
    multiples = np.empty(count, np.int64)
    window = np.empty(32768, np.uint8)
    for item in range(start, stop):
        begin = item * segment
        end = min(begin + segment, limit)
        found = 1 if begin <= 2 < end else 0
        low = begin & ~1
        for p in range(count):
            flag = (low // prime[p] + 1) * prime[p]
            if flag & 1 == 0:
                flag += prime[p]
            multiples[p] = max(flag, np.int64(prime[p]) * prime[p])
        while low < end:
            high = min(end, low + 65536)
            width = (high - low) >> 1
            window[:width] = 1
            if low == 0 and width > 0:
                window[0] = 0
            for p in range(count):
                step = np.int64(prime[p])
                if step * step >= high:
                    break
                flag = (multiples[p] - low) >> 1
                while flag < width:
                    window[flag] = 0
                    flag += step
                multiples[p] = low + 2 * flag + 1
            for flag in range(width):
                found += window[flag]
            low = high
        out[item] = found


@jit
def horner(coefficients, x):
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


# Wichura, Algorithm AS 241: top and bottom of the middle, the tails, the far tails.
MIDDLE = (
    np.array([2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
              45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
              133.14166789178437745, 3.387132872796366608]),
    np.array([5226.495278852545925, 28729.085735721942674, 39307.89580009271061,
              21213.794301586595867, 5394.1960214247511077, 687.1870074920579083,
              42.313330701600911252, 1.0]),
)  # fmt: skip
TAIL = (
    np.array([7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
              1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
              4.6303378461565452959, 1.42343711074968357734]),
    np.array([1.05075007164441684324e-9, 5.475938084995344946e-4,
              0.0151986665636164571966, 0.14810397642748007459, 0.68976733498510000455,
              1.6763848301838038494, 2.05319162663775882187, 1.0]),
)  # fmt: skip
FAR = (
    np.array([2.01033439929228813265e-7, 2.71155556874348757815e-5,
              0.0012426609473880784386, 0.026532189526576123093, 0.29656057182850489123,
              1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772]),
    np.array([2.04426310338993978564e-15, 1.4215117583164458887e-7,
              1.8463183175100546818e-5, 7.868691311456132591e-4, 0.0148753612908506148525,
              0.13692988092273580531, 0.59983220655588793769, 1.0]),
)  # fmt: skip


@jit
def normal(u):
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * horner(MIDDLE[0], r) / horner(MIDDLE[1], r)
    distance = sqrt(-log(u if q < 0.0 else 1.0 - u))
    if distance <= 5.0:
        z = horner(TAIL[0], distance - 1.6) / horner(TAIL[1], distance - 1.6)
    else:
        z = horner(FAR[0], distance - 5.0) / horner(FAR[1], distance - 5.0)
    return -z if q < 0.0 else z


@jit
def philox(counter, seed, words):
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    c0, c1, c2, c3 = counter & low, counter >> half, np.uint64(0), np.uint64(0)
    key0, key1 = seed & low, seed >> half
    for _ in range(10):
        first = np.uint64(0xD2511F53) * c0
        second = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (second >> half) ^ c1 ^ key0,
            second & low,
            (first >> half) ^ c3 ^ key1,
            first & low,
        )
        key0 = (key0 + np.uint64(0x9E3779B9)) & low
        key1 = (key1 + np.uint64(0xBB67AE85)) & low
    words[0] = c0 | (c1 << half)
    words[1] = c2 | (c3 << half)


@jit
def montecarlo(
    spot, strike, rate, volatility, years, paths, block, seed, out, start, stop
):
    drift = (rate - 0.5 * volatility * volatility) * years
    spread = volatility * sqrt(years)
    words = np.empty(2, np.uint64)
    total = np.empty(8)
    squares = np.empty(8)
    for item in range(start, stop):
        total[:] = 0.0
        squares[:] = 0.0
        begin = item * block
        for path in range(begin, min(begin + block, paths)):
            if path & 1 == 0 or path == begin:
                philox(np.uint64(path >> 1), np.uint64(seed), words)
            u = (np.float64(words[path & 1] >> np.uint64(12)) + 0.5) * 2.0**-52
            price = spot * exp(drift + spread * normal(u))
            lane = (path - begin) & 7
            if price > strike:
                total[lane] += price - strike
                squares[lane] += (price - strike) * (price - strike)
        out[item, 0] = total.sum()
        out[item, 1] = squares.sum()


@jit
def histogram(data, block, out, start, stop):
    table = np.empty((4, 256), np.int64)
    for item in range(start, stop):
        table[:] = 0
        at = item * block
        end = min(at + block, data.shape[0])
        whole = end - (end - at) % 4
        while at < whole:
            table[0, data[at]] += 1
            table[1, data[at + 1]] += 1
            table[2, data[at + 2]] += 1
            table[3, data[at + 3]] += 1
            at += 4
        while at < end:
            table[0, data[at]] += 1
            at += 1
        for value in range(256):
            out[item, value] = (
                table[0, value] + table[1, value] + table[2, value] + table[3, value]
            )


@jit
def triad(b, c, scalar, out, start, stop):
    # Slices, since of an index that begins at 0 numba sees that it is not below 0; of
    # one that begins at `start` it has to ask each time, and uses no vectors.
    to, left, right = out[start:stop], b[start:stop], c[start:stop]
    for i in range(to.shape[0]):
        to[i] = left[i] + scalar * right[i]


@jit
def heat(u, rate, out, start, stop):
    height, width = u.shape
    for row in range(start, stop):
        if row in (0, height - 1):
            for column in range(width):
                out[row, column] = u[row, column]
        else:
            out[row, 0] = u[row, 0]
            out[row, width - 1] = u[row, width - 1]
            for column in range(1, width - 1):
                out[row, column] = u[row, column] + rate * (
                    (u[row - 1, column] + u[row + 1, column])
                    + (u[row, column - 1] + u[row, column + 1])
                    - 4.0 * u[row, column]
                )


@jit
def ones(word):
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@jit
def levenshtein(a, a_offsets, b, b_offsets, out, start, stop):
    one, top_bit = np.uint64(1), np.uint64(63)
    places = np.zeros(256, np.uint64)
    edge = np.empty(0, np.uint8)
    for item in range(start, stop):
        a_begin, a_end = a_offsets[item], a_offsets[item + 1]
        b_begin, width = b_offsets[item], b_offsets[item + 1] - b_offsets[item]
        if width > edge.shape[0]:
            edge = np.empty(width, np.uint8)
        edge[:width] = 1
        distance = width
        for top in range(a_begin, a_end, 64):
            rows = min(a_end - top, 64)
            for i in range(rows):
                places[a[top + i]] |= one << np.uint64(i)
            more, less = ~np.uint64(0), np.uint64(0)
            for j in range(width):
                grows, shrinks = np.uint64(edge[j] & 1), np.uint64(edge[j] >> 1)
                here = places[b[b_begin + j]]
                vertical = here | less
                same = here | shrinks
                diagonal = (((same & more) + more) ^ more) | same
                right_more = less | ~(diagonal | more)
                right_less = more & diagonal
                edge[j] = (right_more >> top_bit) | ((right_less >> top_bit) << one)
                right_more = (right_more << one) | grows
                less = right_more & vertical
                more = ((right_less << one) | shrinks) | ~(vertical | right_more)
            mask = ~np.uint64(0) >> np.uint64(64 - rows)
            distance += ones(more & mask) - ones(less & mask)
            for i in range(rows):
                places[a[top + i]] = 0
        out[item] = distance


KERNELS: dict[str, Callable[..., Any]] = {
    "mandelbrot": mandelbrot,
    "nbody": nbody,
    "matmul": matmul,
    "collatz": collatz,
    "primes": primes,
    "montecarlo": montecarlo,
    "histogram": histogram,
    "triad": triad,
    "heat": heat,
    "levenshtein": levenshtein,
}
