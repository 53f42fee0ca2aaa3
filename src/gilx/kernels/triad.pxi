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


cdef object triad(bint released, b, c, scalar, out, start, stop, take):
    cdef Call call = Call(
        GILX_KERNEL_triad, released, (b, c, scalar, out, start, stop, take))
    cdef const double[::1] b_view = call.array(0)
    cdef const double[::1] c_view = call.array(1)
    cdef double[::1] out_view = call.array(3)
    cdef double factor = call.call.arguments[2].real
    cdef gilx_share *share = &call.call.share
    cdef gilx_control *control = &call.call.interrupt.control
    cdef int status
    if released:
        with nogil:
            status = triad_items(b_view, c_view, factor, out_view, share, control)
    else:
        status = triad_items(b_view, c_view, factor, out_view, share, control)
    return call.end(status)


def triad_gil(b, c, scalar, out, start=0, stop=None, *, take=None):
    return triad(False, b, c, scalar, out, start, stop, take)


def triad_nogil(b, c, scalar, out, start=0, stop=None, *, take=None):
    return triad(True, b, c, scalar, out, start, stop, take)
