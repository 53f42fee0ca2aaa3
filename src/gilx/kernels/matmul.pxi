# matmul: a row of the product gathers rows of b, block by block of b that stays cached.

cdef int matmul_items(
    const double[:, ::1] a, const double[:, ::1] b, double[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # A multiplication takes some 0.3 ns, so this polls every 0.2 ms.
    cdef gilx_poll poll = gilx_poll(control, 524288, 524288)
    cdef int64_t row, k, column, left, right
    cdef double factor
    while gilx_share_next(share):
        if gilx_poll_stops(&poll, 8):  # there may be no columns
            return GILX_STOPPED
        # 256 columns of b at a time: of a row as long as this, cache lines are used whole.
        for left in range(0, b.shape[1], 256):
            right = b.shape[1] if b.shape[1] - left < 256 else left + 256
            for row in range(share.start, share.stop):
                if gilx_poll_stops(&poll, right - left):  # there may be nothing to add
                    return GILX_STOPPED
                for column in range(left, right):
                    out[row, column] = 0.0
                for k in range(a.shape[1]):
                    factor = a[row, k]
                    for column in range(left, right):
                        out[row, column] += factor * b[k, column]
                    if gilx_poll_stops(&poll, right - left + 8):
                        return GILX_STOPPED
    return GILX_DONE
