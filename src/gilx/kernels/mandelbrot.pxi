# mandelbrot: one point after the other.

cdef int mandelbrot_items(
    const double[::1] re, const double[::1] im, int32_t max_iter, int32_t[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # An iteration takes some 3 ns, so this polls every 0.2 ms.
    cdef gilx_poll poll = gilx_poll(control, 65536, 65536)
    cdef int64_t row, column
    cdef int32_t count, until
    cdef double zr, zi, rr, ii
    while gilx_share_next(share):
        for row in range(share.start, share.stop):
            if gilx_poll_stops(&poll, 4):  # rows may have no points
                return GILX_STOPPED
            for column in range(re.shape[0]):
                zr = zi = rr = ii = 0.0
                count = 0
                while count < max_iter and rr + ii <= 4.0:
                    # Long escapes are cut, so that polls come in time.
                    until = max_iter if max_iter - count < 65536 else count + 65536
                    while count < until and rr + ii <= 4.0:
                        zi = 2.0 * (zr * zi) + im[row]
                        zr = (rr - ii) + re[column]
                        rr = zr * zr
                        ii = zi * zi
                        count += 1
                    if count == until and gilx_poll_stops(&poll, 65536):
                        return GILX_STOPPED
                out[row, column] = count
                if gilx_poll_stops(&poll, 4 + (count & 65535)):
                    return GILX_STOPPED
    return GILX_DONE
