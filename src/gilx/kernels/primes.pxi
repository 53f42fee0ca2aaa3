# primes: a segmented sieve over odd numbers. Flag w of a window that starts at the even
# number `low` stands for low + 2*w + 1.

cdef struct Sieve:
    int32_t *primes     # odd, ascending
    int64_t *multiples  # of each prime, the next odd one to cross out
    int64_t count


cdef int odd_primes(int64_t limit, Sieve *sieve, gilx_poll *poll) noexcept nogil:
    """Fill in the odd primes whose square is below the limit."""
    cdef int64_t root = <int64_t>sqrt(<double>limit)  # exact, or 1 too many: harmless
    cdef int64_t room = root // 2 + 2
    cdef int64_t n, multiple
    cdef uint8_t *composite = <uint8_t *>calloc(room, 1)
    cdef int status = GILX_DONE
    sieve.primes = <int32_t *>malloc(room * sizeof(int32_t))
    sieve.multiples = <int64_t *>malloc(room * sizeof(int64_t))
    sieve.count = 0
    if composite == NULL or sieve.primes == NULL or sieve.multiples == NULL:
        status = GILX_NO_MEMORY
    n = 3
    while n <= root and status == GILX_DONE:
        multiple = n * n
        if composite[n >> 1] == 0:
            sieve.primes[sieve.count] = <int32_t>n
            sieve.count += 1
            while multiple <= root:
                composite[multiple >> 1] = 1
                multiple += 2 * n
        if gilx_poll_stops(poll, 1 + (multiple - n * n) // (2 * n)):
            status = GILX_STOPPED
        n += 2
    free(composite)
    return status


cdef int64_t count_primes(
    int64_t begin, int64_t end, Sieve *sieve, uint8_t *window, gilx_poll *poll,
) noexcept nogil:
    """Count the primes in [begin, end); -1 when asked to stop."""
    cdef int64_t low = begin & ~1, high, width, prime, p, flag, work
    cdef int64_t count = 1 if begin <= 2 < end else 0
    for p in range(sieve.count):
        prime = sieve.primes[p]
        flag = (low // prime + 1) * prime
        if flag & 1 == 0:
            flag += prime
        sieve.multiples[p] = flag if flag > prime * prime else prime * prime
        if gilx_poll_stops(poll, 8):
            return -1
    while low < end:
        high = end if end - low < 65536 else low + 65536
        width = (high - low) >> 1
        memset(window, 1, width)
        if low == 0 and width > 0:
            window[0] = 0  # 1 is not a prime
        work = width
        for p in range(sieve.count):
            prime = sieve.primes[p]
            if prime * prime >= high:
                break
            flag = (sieve.multiples[p] - low) >> 1
            while flag < width:
                window[flag] = 0
                flag += prime
            sieve.multiples[p] = low + 2 * flag + 1
            work += width // prime + 2
            if work > 262144:
                if gilx_poll_stops(poll, work):
                    return -1
                work = 0
        if gilx_poll_stops(poll, work):
            return -1
        for flag in range(width):
            count += window[flag]
        low = high
    return count


cdef int primes_items(
    int64_t limit, int64_t segment, int64_t[::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # Crossing out takes some 0.5 ns, so this polls every 0.3 ms.
    cdef gilx_poll poll = gilx_poll(control, 524288, 524288)
    cdef Sieve sieve
    cdef uint8_t[32768] window
    cdef int64_t item, end, found
    cdef int status = odd_primes(limit, &sieve, &poll)
    while status == GILX_DONE and gilx_share_next(share):
        for item in range(share.start, share.stop):
            end = limit if limit - item * segment < segment else (item + 1) * segment
            found = count_primes(item * segment, end, &sieve, window, &poll)
            if found < 0:
                status = GILX_STOPPED
                break
            out[item] = found
    free(sieve.primes)
    free(sieve.multiples)
    return status
