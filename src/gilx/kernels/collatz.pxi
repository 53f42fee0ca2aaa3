# collatz: steps of the 3n + 1 iteration, one by one.

cdef int collatz_items(
    uint64_t first, int32_t[::1] out, gilx_share *share, gilx_control *control,
) noexcept nogil:
    # A step takes some 1 ns, so this polls every 0.3 ms.
    cdef gilx_poll poll = gilx_poll(control, 262144, 262144)
    cdef int64_t item
    cdef uint64_t n
    cdef int32_t steps
    while gilx_share_next(share):
        for item in range(share.start, share.stop):
            n = first + <uint64_t>item
            steps = 0
            while n != 1:
                if n & 1 == 0:
                    n >>= 1
                    steps += 1
                elif n <= (UINT64_MAX - 1) // 3:
                    # Three times an odd number and one is even: halve it at once.
                    n = (3 * n + 1) >> 1
                    steps += 2
                else:
                    steps = -1
                    break
            out[item] = steps
            if gilx_poll_stops(&poll, 64 + steps):
                return GILX_STOPPED
    return GILX_DONE
