# heat: one step of the five-point scheme.
#
# Two rows at a time, where there are two: a cell of either then comes to the first-level
# cache once for both, and memory is asked for more at once.

cdef inline double stepped(
    const double *above, const double *here, const double *below, double rate, int64_t i,
) noexcept nogil:
    return here[i] + rate * (
        ((above[i] + below[i]) + (here[i - 1] + here[i + 1])) - 4.0 * here[i])


cdef void step_row(
    const double *above, const double *here, const double *below, double rate,
    double *out, int64_t begin, int64_t end,
) noexcept nogil:
    """Cells [begin, end) of a row, none of them on the border."""
    cdef int64_t i
    for i in range(begin, end):
        out[i] = stepped(above, here, below, rate, i)


cdef void step_two_rows(
    const double *above, const double *upper, const double *lower, const double *below,
    double rate, double *upper_out, double *lower_out, int64_t begin, int64_t end,
) noexcept nogil:
    """Cells [begin, end) of two rows, one below the other."""
    cdef int64_t i
    for i in range(begin, end):
        upper_out[i] = stepped(above, upper, lower, rate, i)
        lower_out[i] = stepped(upper, lower, below, rate, i)


cdef int heat_items(
    const double[:, ::1] u, double rate, double[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # A cell takes some 1 ns from memory, so this polls every 0.1 ms.
    cdef gilx_poll poll = gilx_poll(control, 65536, 65536)
    cdef int64_t row, rows, i, begin, end, first, last
    cdef int64_t height = u.shape[0], width = u.shape[1]
    while gilx_share_next(share):
        row = share.start
        while row < share.stop:
            rows = 2 if 0 < row < min(share.stop, height - 1) - 1 else 1
            begin = 0
            while begin < width:
                # Long rows are cut, so that polls come in time.
                end = width if width - begin < 65536 else begin + 65536
                first, last = max(begin, 1), min(end, width - 1)
                if row == 0 or row == height - 1:
                    for i in range(begin, end):
                        out[row, i] = u[row, i]
                elif rows == 1:
                    step_row(
                        &u[row - 1, 0], &u[row, 0], &u[row + 1, 0], rate, &out[row, 0],
                        first, last)
                else:
                    step_two_rows(
                        &u[row - 1, 0], &u[row, 0], &u[row + 1, 0], &u[row + 2, 0], rate,
                        &out[row, 0], &out[row + 1, 0], first, last)
                if gilx_poll_stops(&poll, rows * (end - begin)):
                    return GILX_STOPPED
                begin = end
            # Rows that are narrow, or have no cells, must poll as well.
            if gilx_poll_stops(&poll, 8):
                return GILX_STOPPED
            # The border's cells stay as they are.
            if width > 0:
                for i in range(row, row + rows):
                    out[i, 0] = u[i, 0]
                    out[i, width - 1] = u[i, width - 1]
            row += rows
    return GILX_DONE
