# histogram: byte counts of a block, in four tables.

cdef int histogram_items(
    const uint8_t[::1] data, int64_t block, int64_t[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # Four tables: a run of equal bytes would make each increment wait for the last one.
    # 64-bit counts can't overflow; a chunk between polls takes some 0.1 ms. Each table has
    # a cache line more than it needs: see kernels/histogram.c.
    cdef int64_t[4][264] table
    cdef gilx_poll poll = gilx_poll(control, 262144, 262144)
    cdef int64_t item, at, end, until, whole, value
    while gilx_share_next(share):
        for item in range(share.start, share.stop):
            memset(table, 0, sizeof(table))
            at = item * block
            end = data.shape[0] if data.shape[0] - at < block else at + block
            while at < end:
                until = end if end - at < 262144 else at + 262144
                if gilx_poll_stops(&poll, until - at):
                    return GILX_STOPPED
                whole = until - (until - at) % 4
                while at < whole:
                    table[0][data[at]] += 1
                    table[1][data[at + 1]] += 1
                    table[2][data[at + 2]] += 1
                    table[3][data[at + 3]] += 1
                    at += 4
                while at < until:
                    table[0][data[at]] += 1
                    at += 1
            for value in range(256):
                out[item, value] = (
                    table[0][value] + table[1][value] + table[2][value] + table[3][value])
            if gilx_poll_stops(&poll, 512):
                return GILX_STOPPED
    return GILX_DONE
