# triad: out = b + scalar*c.

cdef int triad_items(
    const double[::1] b, const double[::1] c, double scalar, double[::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # An element takes some 3 ns from memory, so this polls every 0.1 ms.
    cdef gilx_poll poll = gilx_poll(control, 32768, 32768)
    cdef int64_t i, begin, end
    while gilx_share_next(share):
        begin = share.start
        while begin < share.stop:
            end = share.stop if share.stop - begin < 32768 else begin + 32768
            for i in range(begin, end):
                out[i] = b[i] + scalar * c[i]
            if gilx_poll_stops(&poll, end - begin):
                return GILX_STOPPED
            begin = end
    return GILX_DONE
