# heat: one step of the five-point scheme.

cdef void step_cells(
    const double *above, const double *here, const double *below, double rate,
    double *out, int64_t begin, int64_t end,
) noexcept nogil:
    """Cells [begin, end) of a row, none of them on the border."""
    cdef int64_t i
    for i in range(begin, end):
        out[i] = here[i] + rate * (
            ((above[i] + below[i]) + (here[i - 1] + here[i + 1])) - 4.0 * here[i])


cdef int heat_items(
    const double[:, ::1] u, double rate, double[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # A cell takes some 1 ns from memory, so this polls every 0.1 ms.
    cdef gilx_poll poll = gilx_poll(control, 65536, 65536)
    cdef int64_t row, column, begin, end
    cdef int64_t height = u.shape[0], width = u.shape[1]
    while gilx_share_next(share):
        for row in range(share.start, share.stop):
            begin = 0
            while begin < width:
                # Long rows are cut, so that polls come in time.
                end = width if width - begin < 65536 else begin + 65536
                if row == 0 or row == height - 1:
                    for column in range(begin, end):
                        out[row, column] = u[row, column]
                else:
                    if begin == 0:
                        out[row, 0] = u[row, 0]
                    if end == width:
                        out[row, width - 1] = u[row, width - 1]
                    step_cells(
                        &u[row - 1, 0], &u[row, 0], &u[row + 1, 0], rate, &out[row, 0],
                        max(begin, 1), min(end, width - 1))
                if gilx_poll_stops(&poll, end - begin + 8):
                    return GILX_STOPPED
                begin = end
    return GILX_DONE


cdef object heat(bint released, u, rate, out, start, stop, take):
    cdef Call call = Call(GILX_KERNEL_heat, released, (u, rate, out, start, stop, take))
    cdef const double[:, ::1] u_view = u
    cdef double[:, ::1] out_view = out
    cdef double factor = call.call.arguments[1].real
    cdef gilx_share *share = &call.call.share
    cdef gilx_control *control = &call.call.interrupt.control
    cdef int status
    if released:
        with nogil:
            status = heat_items(u_view, factor, out_view, share, control)
    else:
        status = heat_items(u_view, factor, out_view, share, control)
    return call.end(status)


def heat_gil(u, rate, out, start=0, stop=None, *, take=None):
    return heat(False, u, rate, out, start, stop, take)


def heat_nogil(u, rate, out, start=0, stop=None, *, take=None):
    return heat(True, u, rate, out, start, stop, take)
