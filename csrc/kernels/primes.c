/* primes: a sieve of Eratosthenes over odd numbers, in windows that stay in the
 * first-level cache. Number 2w + 1 of a window has the flag w. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum {
    WINDOW = 1 << 15, /* flags, a byte each: most first-level caches have 32 KiB */
    POLL = 1 << 19    /* flags crossed out between polls: some 0.3 ms */
};

typedef struct {
    int64_t *prime; /* the odd primes whose square is below the end of the range */
    int64_t *next;  /* for each, the next odd multiple to cross out */
    int64_t count;
} sieving_primes;

static int64_t square_root(int64_t n) {
    int64_t root = 0;
    for (int64_t bit = (int64_t)1 << 31; bit > 0; bit >>= 1) {
        if ((root + bit) * (root + bit) <= n) {
            root += bit;
        }
    }
    return root;
}

/* Find the odd primes up to `root`, at most 2**24. */
static int find_primes(int64_t root, sieving_primes *found, gilx_poll *poll) {
    const size_t flags = (size_t)(root / 2 + 1);
    uint8_t *composite = calloc(flags, 1);
    /* Of the odd numbers from 9 on every third is composite: 3, 5, 7 and two thirds. */
    found->prime = malloc((flags * 2 / 3 + 4) * sizeof *found->prime);
    found->next = malloc((flags * 2 / 3 + 4) * sizeof *found->next);
    int status = composite && found->prime && found->next ? GILX_DONE : GILX_NO_MEMORY;
    for (int64_t n = 3; n <= root && status == GILX_DONE; n += 2) {
        int64_t crossed = 1;
        if (!composite[n / 2]) {
            found->prime[found->count++] = n;
            for (int64_t m = n * n; m <= root; m += 2 * n, ++crossed) {
                composite[m / 2] = 1;
            }
        }
        if (gilx_poll_stops(poll, crossed)) {
            status = GILX_STOPPED;
        }
    }
    free(composite);
    return status;
}

/* Count the odd primes of the window [low, high), low even. Of the sieving primes, those
 * whose square is beyond it are left alone. */
static int64_t count_window(int64_t low, int64_t high, sieving_primes *sieving,
                            gilx_poll *poll, int *status) {
    uint8_t prime[WINDOW];
    const int64_t flags = (high - low) / 2;
    int64_t crossed = flags;
    memset(prime, 1, (size_t)flags);
    if (low == 0 && flags > 0) {
        prime[0] = 0; /* the number 1 */
    }
    for (int64_t p = 0; p < sieving->count; ++p) {
        const int64_t step = sieving->prime[p];
        if (step * step >= high) {
            break;
        }
        int64_t flag = (sieving->next[p] - low) / 2;
        for (; flag < flags; flag += step) {
            prime[flag] = 0;
        }
        sieving->next[p] = low + 2 * flag + 1;
        crossed += flags / step + 2;
        if (crossed > POLL / 2) {
            if (gilx_poll_stops(poll, crossed)) {
                *status = GILX_STOPPED;
                return 0;
            }
            crossed = 0;
        }
    }
    if (gilx_poll_stops(poll, crossed)) {
        *status = GILX_STOPPED;
    }
    int64_t count = 0;
    for (int64_t flag = 0; flag < flags; ++flag) {
        count += prime[flag];
    }
    return count;
}

/* Count the primes p with begin <= p < end. */
static int64_t count_range(int64_t begin, int64_t end, sieving_primes *sieving,
                           gilx_poll *poll, int *status) {
    int64_t count = begin <= 2 && 2 < end;
    const int64_t first = begin - begin % 2; /* even: the window holds first + 1 */
    for (int64_t p = 0; p < sieving->count; ++p) {
        const int64_t step = sieving->prime[p];
        int64_t multiple = (first / step + 1) * step;
        multiple += multiple % 2 == 0 ? step : 0;
        sieving->next[p] = multiple < step * step ? step * step : multiple;
        if (gilx_poll_stops(poll, 8)) {
            *status = GILX_STOPPED;
            return 0;
        }
    }
    for (int64_t low = first; low < end && *status == GILX_DONE; low += 2 * WINDOW) {
        int64_t high = end - low < 2 * WINDOW ? end : low + 2 * WINDOW;
        count += count_window(low, high, sieving, poll, status);
    }
    return count;
}

int gilx_primes(const gilx_argument *arguments, int64_t start, int64_t stop,
                gilx_control *control) {
    const int64_t limit = arguments[0].integer;
    const int64_t segment = arguments[1].integer;
    int64_t *out = arguments[2].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};
    sieving_primes sieving = {0};

    if (start == stop) {
        return GILX_DONE;
    }
    const int64_t end = limit / segment < stop ? limit : stop * segment;
    int status = find_primes(square_root(end), &sieving, &poll);
    for (int64_t item = start; item < stop && status == GILX_DONE; ++item) {
        const int64_t begin = item * segment;
        const int64_t until = limit - begin < segment ? limit : begin + segment;
        out[item] = count_range(begin, until, &sieving, &poll, &status);
    }
    free(sieving.prime);
    free(sieving.next);
    return status;
}
