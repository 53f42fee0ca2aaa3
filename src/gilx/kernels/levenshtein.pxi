# levenshtein: edit distance of string pairs, one row of the table at a time.

cdef int64_t clamped(int64_t offset, int64_t least, int64_t size) noexcept nogil:
    # Offsets were checked, but another thread may have changed them since: what is out
    # of range is cut off, never read.
    if offset < least:
        return least
    if offset > size:
        return size
    return offset


cdef int32_t edit_distance(
    const uint8_t[::1] a, int64_t a_begin, int64_t a_end,
    const uint8_t[::1] b, int64_t b_begin, int64_t b_end,
    int32_t *row, gilx_poll *poll,
) noexcept nogil:
    """The distance of the two ranges, or -1 when asked to stop."""
    cdef int64_t i, j, width = b_end - b_begin, begin, end
    cdef int32_t diagonal, above, left, best
    cdef uint8_t letter
    if width == 0:
        return <int32_t>(a_end - a_begin)
    for j in range(width):
        row[j] = <int32_t>(j + 1)
    for i in range(a_end - a_begin):
        letter = a[a_begin + i]
        diagonal = <int32_t>i
        left = <int32_t>(i + 1)
        begin = 0
        while begin < width:
            # Long rows are cut, so that polls come in time.
            end = width if width - begin < 262144 else begin + 262144
            for j in range(begin, end):
                above = row[j]
                best = diagonal if letter == b[b_begin + j] else diagonal + 1
                if above + 1 < best:
                    best = above + 1
                if left + 1 < best:
                    best = left + 1
                row[j] = left = best
                diagonal = above
            if gilx_poll_stops(poll, end - begin + 8):
                return -1
            begin = end
    return row[width - 1]


cdef int levenshtein_items(
    const uint8_t[::1] a, const int64_t[::1] a_offsets,
    const uint8_t[::1] b, const int64_t[::1] b_offsets, int32_t[::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # A cell takes some 1 ns, so this polls every 0.3 ms.
    cdef gilx_poll poll = gilx_poll(control, 262144, 262144)
    cdef int64_t item, a_begin, a_end, b_begin, b_end, room = 0
    cdef int32_t *row = NULL
    cdef int32_t *larger
    cdef int32_t found
    cdef int status = GILX_DONE
    while status == GILX_DONE and gilx_share_next(share):
        for item in range(share.start, share.stop):
            a_begin = clamped(a_offsets[item], 0, a.shape[0])
            a_end = clamped(a_offsets[item + 1], a_begin, a.shape[0])
            a_end = clamped(a_end, a_begin, a_begin + INT32_MAX)
            b_begin = clamped(b_offsets[item], 0, b.shape[0])
            b_end = clamped(b_offsets[item + 1], b_begin, b.shape[0])
            b_end = clamped(b_end, b_begin, b_begin + INT32_MAX)
            if b_end - b_begin > room:
                larger = <int32_t *>realloc(row, (b_end - b_begin) * sizeof(int32_t))
                if larger == NULL:
                    status = GILX_NO_MEMORY
                    break
                row = larger
                room = b_end - b_begin
            found = edit_distance(a, a_begin, a_end, b, b_begin, b_end, row, &poll)
            if found < 0:
                status = GILX_STOPPED
                break
            out[item] = found
            if gilx_poll_stops(&poll, 32):
                status = GILX_STOPPED
                break
    free(row)
    return status


cdef object levenshtein(bint released, a, a_offsets, b, b_offsets, out, start, stop, take):
    cdef Call call = Call(
        GILX_KERNEL_levenshtein, released,
        (a, a_offsets, b, b_offsets, out, start, stop, take))
    cdef const uint8_t[::1] a_view = a
    cdef const int64_t[::1] a_cuts = a_offsets
    cdef const uint8_t[::1] b_view = b
    cdef const int64_t[::1] b_cuts = b_offsets
    cdef int32_t[::1] out_view = out
    cdef gilx_share *share = &call.call.share
    cdef gilx_control *control = &call.call.interrupt.control
    cdef int status
    if released:
        with nogil:
            status = levenshtein_items(
                a_view, a_cuts, b_view, b_cuts, out_view, share, control)
    else:
        status = levenshtein_items(
            a_view, a_cuts, b_view, b_cuts, out_view, share, control)
    return call.end(status)


def levenshtein_gil(a, a_offsets, b, b_offsets, out, start=0, stop=None, *, take=None):
    return levenshtein(False, a, a_offsets, b, b_offsets, out, start, stop, take)


def levenshtein_nogil(a, a_offsets, b, b_offsets, out, start=0, stop=None, *, take=None):
    return levenshtein(True, a, a_offsets, b, b_offsets, out, start, stop, take)
