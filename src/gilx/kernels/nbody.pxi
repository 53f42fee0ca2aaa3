# nbody: accelerations, one body after the other.

cdef int nbody_items(
    const double[::1] x, const double[::1] y, const double[::1] z,
    const double[::1] mass, double softening, double[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # An interaction takes some 3 ns, so this polls every 0.2 ms.
    cdef gilx_poll poll = gilx_poll(control, 65536, 65536)
    cdef int64_t i, j, begin, end
    cdef double dx, dy, dz, q, w, ax, ay, az
    cdef double soft = softening * softening
    while gilx_share_next(share):
        for i in range(share.start, share.stop):
            ax = ay = az = 0.0
            begin = 0
            while begin < x.shape[0]:
                # Long sums are cut, so that polls come in time.
                end = x.shape[0] if x.shape[0] - begin < 65536 else begin + 65536
                for j in range(begin, end):
                    dx = x[j] - x[i]
                    dy = y[j] - y[i]
                    dz = z[j] - z[i]
                    q = ((dx * dx + dy * dy) + dz * dz) + soft
                    w = mass[j] / (q * sqrt(q)) if q > 0.0 else 0.0
                    ax += dx * w
                    ay += dy * w
                    az += dz * w
                if gilx_poll_stops(&poll, end - begin):
                    return GILX_STOPPED
                begin = end
            out[i, 0] = ax
            out[i, 1] = ay
            out[i, 2] = az
    return GILX_DONE
