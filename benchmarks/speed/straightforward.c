/* The kernels as one would write them in C without a thought of speed, for comparison
 * with gilx's: one item after the other, the definition of each. benchmarks/speed/peers.py
 * compiles them with `gcc -O3 -march=native`, so they may use fused multiply-add.
 *
 * plain_NAME(arguments, start, stop): the arguments of csrc/kernels/kernels.h.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#include "../../csrc/kernels/elementary_functions.h"
#include "../../csrc/kernels/kernels.h"
#include "../../csrc/kernels/philox.h"

void plain_mandelbrot(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const double *re = arguments[0].data, *im = arguments[1].data;
    const int32_t max_iter = (int32_t)arguments[2].integer;
    const int64_t width = arguments[0].shape[0];
    int32_t *out = arguments[3].data;
    for (int64_t row = start; row < stop; ++row) {
        for (int64_t column = 0; column < width; ++column) {
            double zr = 0.0, zi = 0.0;
            int32_t count = 0;
            while (count < max_iter && zr * zr + zi * zi <= 4.0) {
                const double next = zr * zr - zi * zi + re[column];
                zi = 2.0 * zr * zi + im[row];
                zr = next;
                ++count;
            }
            out[row * width + column] = count;
        }
    }
}

void plain_nbody(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const double *x = arguments[0].data, *y = arguments[1].data, *z = arguments[2].data;
    const double *mass = arguments[3].data;
    const double soft = arguments[4].real * arguments[4].real;
    double *out = arguments[5].data;
    for (int64_t i = start; i < stop; ++i) {
        double ax = 0.0, ay = 0.0, az = 0.0;
        for (int64_t j = 0; j < arguments[0].shape[0]; ++j) {
            const double dx = x[j] - x[i], dy = y[j] - y[i], dz = z[j] - z[i];
            const double q = dx * dx + dy * dy + dz * dz + soft;
            const double w = q > 0.0 ? mass[j] / (q * sqrt(q)) : 0.0;
            ax += dx * w;
            ay += dy * w;
            az += dz * w;
        }
        out[3 * i] = ax;
        out[3 * i + 1] = ay;
        out[3 * i + 2] = az;
    }
}

void plain_matmul(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const double *restrict a = arguments[0].data, *restrict b = arguments[1].data;
    const int64_t inner = arguments[0].shape[1], columns = arguments[1].shape[1];
    double *restrict out = arguments[2].data;
    for (int64_t row = start; row < stop; ++row) {
        memset(out + row * columns, 0, (size_t)columns * sizeof *out);
        for (int64_t k = 0; k < inner; ++k) {
            for (int64_t column = 0; column < columns; ++column) {
                out[row * columns + column] +=
                    a[row * inner + k] * b[k * columns + column];
            }
        }
    }
}

void plain_collatz(const gilx_argument *arguments, int64_t start, int64_t stop) {
    int32_t *out = arguments[1].data;
    for (int64_t item = start; item < stop; ++item) {
        uint64_t n = (uint64_t)(arguments[0].integer + item);
        int32_t steps = 0;
        while (n != 1) {
            if (n % 2 == 0) {
                n /= 2;
            } else if (n <= (UINT64_MAX - 1) / 3) {
                n = 3 * n + 1;
            } else {
                steps = -1;
                break;
            }
            ++steps;
        }
        out[item] = steps;
    }
}

void plain_primes(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const int64_t limit = arguments[0].integer, segment = arguments[1].integer;
    int64_t *out = arguments[2].data;
    const int64_t root = (int64_t)sqrt((double)limit) + 1;
    uint8_t *composite = calloc((size_t)root + 1, 1);
    uint8_t *flags = malloc((size_t)segment);
    for (int64_t n = 2; n * n <= root; ++n) {
        for (int64_t m = n * n; composite[n] == 0 && m <= root; m += n) {
            composite[m] = 1;
        }
    }
    for (int64_t item = start; item < stop; ++item) {
        const int64_t low = item * segment;
        const int64_t high = limit - low < segment ? limit : low + segment;
        memset(flags, 1, (size_t)(high - low));
        for (int64_t n = low; n < 2 && n < high; ++n) {
            flags[n - low] = 0;
        }
        for (int64_t n = 2; n * n < high; ++n) {
            int64_t m = (low + n - 1) / n * n;
            for (m = m < n * n ? n * n : m; composite[n] == 0 && m < high; m += n) {
                flags[m - low] = 0;
            }
        }
        int64_t count = 0;
        for (int64_t n = low; n < high; ++n) {
            count += flags[n - low];
        }
        out[item] = count;
    }
    free(composite);
    free(flags);
}

void plain_histogram(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const uint8_t *data = arguments[0].data;
    const int64_t size = arguments[0].shape[0], block = arguments[1].integer;
    int64_t *out = arguments[2].data;
    for (int64_t item = start; item < stop; ++item) {
        const int64_t begin = item * block;
        const int64_t end = size - begin < block ? size : begin + block;
        memset(out + 256 * item, 0, 256 * sizeof *out);
        for (int64_t i = begin; i < end; ++i) {
            ++out[256 * item + data[i]];
        }
    }
}

void plain_triad(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const double *restrict b = arguments[0].data, *restrict c = arguments[1].data;
    double *restrict out = arguments[3].data;
    for (int64_t i = start; i < stop; ++i) {
        out[i] = b[i] + arguments[2].real * c[i];
    }
}

void plain_heat(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const double *restrict u = arguments[0].data;
    const int64_t height = arguments[0].shape[0], width = arguments[0].shape[1];
    const double rate = arguments[1].real;
    double *restrict out = arguments[2].data;
    for (int64_t row = start; row < stop; ++row) {
        const double *here = u + row * width;
        double *to = out + row * width;
        if (row == 0 || row == height - 1) {
            memcpy(to, here, (size_t)width * sizeof *to);
            continue;
        }
        to[0] = here[0];
        for (int64_t i = 1; i < width - 1; ++i) {
            to[i] = here[i] + rate * (here[i - width] + here[i + width] + here[i - 1] +
                                      here[i + 1] - 4.0 * here[i]);
        }
        to[width - 1] = here[width - 1];
    }
}

void plain_levenshtein(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const int64_t *a_offsets = arguments[1].data, *b_offsets = arguments[3].data;
    int32_t *out = arguments[4].data;
    for (int64_t item = start; item < stop; ++item) {
        const uint8_t *a = (const uint8_t *)arguments[0].data + a_offsets[item];
        const uint8_t *b = (const uint8_t *)arguments[2].data + b_offsets[item];
        const int64_t height = a_offsets[item + 1] - a_offsets[item];
        const int64_t width = b_offsets[item + 1] - b_offsets[item];
        int32_t *row = malloc((size_t)(width + 1) * sizeof *row);
        for (int64_t j = 0; j <= width; ++j) {
            row[j] = (int32_t)j;
        }
        for (int64_t i = 0; i < height; ++i) {
            int32_t diagonal = row[0];
            row[0] = (int32_t)(i + 1);
            for (int64_t j = 0; j < width; ++j) {
                int32_t best = diagonal + (a[i] != b[j]);
                diagonal = row[j + 1];
                best = best < diagonal + 1 ? best : diagonal + 1;
                row[j + 1] = best < row[j] + 1 ? best : row[j] + 1;
            }
        }
        out[item] = row[width];
        free(row);
    }
}

/* The normal quantile is gilx's own, exp the C library's. */
void plain_montecarlo(const gilx_argument *arguments, int64_t start, int64_t stop) {
    const double spot = arguments[0].real, strike = arguments[1].real;
    const double volatility = arguments[3].real, years = arguments[4].real;
    const double drift = (arguments[2].real - 0.5 * volatility * volatility) * years;
    const double spread = volatility * sqrt(years);
    const int64_t paths = arguments[5].integer, block = arguments[6].integer;
    const uint64_t seed = (uint64_t)arguments[7].integer;
    double *out = arguments[8].data;
    for (int64_t item = start; item < stop; ++item) {
        const int64_t begin = item * block;
        const int64_t end = paths - begin < block ? paths : begin + block;
        double sum = 0.0, squares = 0.0;
        uint32_t words[4] = {0};
        for (int64_t path = begin; path < end; ++path) {
            if (path % 2 == 0 || path == begin) {
                words[0] = (uint32_t)(path / 2);
                words[1] = (uint32_t)((path / 2) >> 32);
                words[2] = words[3] = 0;
                gilx_philox(words, (uint32_t)seed, (uint32_t)(seed >> 32));
            }
            const uint64_t bits =
                words[2 * (path % 2)] | (uint64_t)words[2 * (path % 2) + 1] << 32;
            const double u = ((double)(bits >> 12) + 0.5) * 0x1p-52;
            const double price = spot * exp(drift + spread * gilx_normal(u));
            if (price > strike) {
                sum += price - strike;
                squares += (price - strike) * (price - strike);
            }
        }
        out[2 * item] = sum;
        out[2 * item + 1] = squares;
    }
}

/* Copy so many doubles, a multiple of 8, as fast as memory lets it: past the caches.
 * `to` begins a line of the cache. */
void tuned_copy(const double *from, double *to, int64_t count) {
#if defined(__AVX__)
    for (int64_t i = 0; i < count; i += 8) {
        _mm256_stream_pd(to + i, _mm256_loadu_pd(from + i));
        _mm256_stream_pd(to + i + 4, _mm256_loadu_pd(from + i + 4));
    }
    _mm_sfence();
#else
    memcpy(to, from, (size_t)count * sizeof *to);
#endif
}
