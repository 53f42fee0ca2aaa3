# levenshtein: edit distance of string pairs, 64 rows of the table at a time, by Myers'
# algorithm. Two bits say how a cell differs from the one above it; as words, these go
# from column to column.

cdef extern from *:
    """
    #define gilx_ones(word) ((int64_t)__builtin_popcountll(word))
    """
    int64_t ones "gilx_ones"(uint64_t word) nogil


cdef int64_t clamped(int64_t offset, int64_t least, int64_t size) noexcept nogil:
    # Offsets were checked, but another thread may have changed them since: what is out
    # of range is cut off, never read.
    if offset < least:
        return least
    if offset > size:
        return size
    return offset


cdef struct Column:
    uint64_t more  # the rows that are one more than the row above
    uint64_t less  # the rows that are one less


cdef Column across(
    Column column, const uint64_t *places, const uint8_t *letters, uint32_t *edge,
    int64_t length,
) noexcept nogil:
    """Take 64 rows of the table from a column to the one `length` further.

    In `edge` lies how the row above grows from column to column, bit 0 where it is one
    more, bit 1 where one less; then how the last of these rows does.
    """
    cdef uint64_t more = column.more, less = column.less
    cdef uint64_t above, here, vertical, same, diagonal, right_more, right_less
    cdef int64_t j
    for j in range(length):
        above = edge[j]
        here = places[letters[j]]
        vertical = here | less
        same = here | above >> 1
        diagonal = (((same & more) + more) ^ more) | same
        right_more = less | ~(diagonal | more)
        right_less = more & diagonal
        edge[j] = <uint32_t>(right_more >> 63 | right_less >> 63 << 1)
        right_more = right_more << 1 | (above & 1)
        less = right_more & vertical
        more = (right_less << 1 | above >> 1) | ~(vertical | right_more)
    column.more = more
    column.less = less
    return column


cdef int64_t edit_distance(
    const uint8_t *a, int64_t a_length, const uint8_t *b, int64_t b_length,
    uint64_t *places, uint32_t *edge, gilx_poll *poll,
) noexcept nogil:
    """The distance of two strings, or -1 when asked to stop.

    `places` holds for each letter the rows, of 64, that have it: all 0 between calls;
    `edge` has the capacity for b_length numbers.
    """
    cdef int64_t top, rows, i, begin, end, distance = b_length
    cdef Column column
    cdef uint64_t mask
    for top in range(0, a_length, 64):
        rows = min(a_length - top, <int64_t>64)
        for i in range(rows):
            places[a[top + i]] |= <uint64_t>1 << i
        column.more = UINT64_MAX
        column.less = 0
        begin = 0
        while begin < b_length:
            # Long strings are cut, so that polls come in time.
            end = b_length if b_length - begin < 65536 else begin + 65536
            if top == 0:  # above the table's first row, each column is one more
                for i in range(begin, end):
                    edge[i] = 1
            column = across(column, places, b + begin, edge + begin, end - begin)
            if gilx_poll_stops(poll, end - begin):
                return -1
            begin = end
        # Down the last column, the distance grows and shrinks from row to row.
        mask = UINT64_MAX >> (64 - rows)
        distance += ones(column.more & mask) - ones(column.less & mask)
        for i in range(rows):
            places[a[top + i]] = 0
        if gilx_poll_stops(poll, 64):
            return -1
    return distance


cdef int levenshtein_items(
    const uint8_t[::1] a, const int64_t[::1] a_offsets,
    const uint8_t[::1] b, const int64_t[::1] b_offsets, int32_t[::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # A step takes some 4 ns, so this polls every 0.3 ms.
    cdef gilx_poll poll = gilx_poll(control, 65536, 65536)
    cdef int64_t item, a_begin, a_end, b_begin, b_end, found, room = 0
    cdef uint64_t[256] places
    cdef uint32_t *edge = NULL
    cdef uint32_t *larger
    cdef int status = GILX_DONE
    memset(places, 0, sizeof(places))
    while status == GILX_DONE and gilx_share_next(share):
        for item in range(share.start, share.stop):
            a_begin = clamped(a_offsets[item], 0, a.shape[0])
            a_end = clamped(a_offsets[item + 1], a_begin, a.shape[0])
            a_end = clamped(a_end, a_begin, a_begin + INT32_MAX)
            b_begin = clamped(b_offsets[item], 0, b.shape[0])
            b_end = clamped(b_offsets[item + 1], b_begin, b.shape[0])
            b_end = clamped(b_end, b_begin, b_begin + INT32_MAX)
            if b_end - b_begin >= room:
                larger = <uint32_t *>realloc(edge, (b_end - b_begin + 1) * sizeof(uint32_t))
                if larger == NULL:
                    status = GILX_NO_MEMORY
                    break
                edge = larger
                room = b_end - b_begin + 1
            found = edit_distance(
                &a[0] + a_begin, a_end - a_begin, &b[0] + b_begin, b_end - b_begin,
                places, edge, &poll)
            if found < 0:
                status = GILX_STOPPED
                break
            out[item] = <int32_t>found
            if gilx_poll_stops(&poll, 32):
                status = GILX_STOPPED
                break
    free(edge)
    return status
