/* collatz: steps of the 3n + 1 iteration, all the halvings in a row at once. */
#include "kernels.h"

enum { POLL = 1 << 18 /* steps between polls: some 0.3 ms */ };

static int32_t trailing_zeros(uint64_t n) {
#if defined(__GNUC__)
    return __builtin_ctzll(n);
#else
    int32_t count = 0;
    for (; (n & 1) == 0; n >>= 1) {
        ++count;
    }
    return count;
#endif
}

/* Steps from n, at least 1, to 1. The longest way that stays in 64 bits has a few
 * thousand steps, so nothing overflows here and no item is long. */
static int32_t steps_to_one(uint64_t n) {
    int32_t halvings = trailing_zeros(n);
    int32_t steps = halvings;
    n >>= halvings;
    while (n != 1) {
        if (n > (UINT64_MAX - 1) / 3) {
            return -1;
        }
        n = 3 * n + 1;
        halvings = trailing_zeros(n);
        n >>= halvings;
        steps += 1 + halvings;
    }
    return steps;
}

int gilx_collatz(const gilx_argument *arguments, int64_t start, int64_t stop,
                 gilx_control *control) {
    const uint64_t first = (uint64_t)arguments[0].integer;
    int32_t *out = arguments[1].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};

    for (int64_t item = start; item < stop; ++item) {
        out[item] = steps_to_one(first + (uint64_t)item);
        if (gilx_poll_stops(&poll, 8 + (out[item] > 0 ? out[item] : 64))) {
            return GILX_STOPPED;
        }
    }
    return GILX_DONE;
}
