# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The kernels in Cython, each holding the GIL or releasing it.

Written apart from the C ones, in the Cython that an author would write: typed
memoryviews and C numbers in a `noexcept nogil` function that serves both variants, and
`with nogil` around the call of it in one of them. Argument checks, and so the words of
every error, are the C module's.

Each kernel is three pieces:

* NAME_items, the computation, which touches no Python object;
* NAME, which checks the arguments, takes views of the arrays and runs the computation
  with the GIL or without;
* NAME_gil and NAME_nogil, which are what a user calls. Their docstrings come from the
  list of kernels in C, at the end of this file.
"""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

import threading

from gilx.ckernels import Counter


cdef extern from "call.h" nogil:
    enum: GILX_DONE
    enum: GILX_STOPPED
    enum: GILX_NO_MEMORY
    enum: GILX_KERNEL_COUNT
    enum: GILX_KERNEL_mandelbrot
    enum: GILX_KERNEL_histogram
    enum: GILX_KERNEL_levenshtein
    enum: GILX_MAX_VALUES

    ctypedef struct gilx_control:
        pass
    ctypedef struct gilx_poll:
        gilx_control *control
        int64_t every
        int64_t left
    bint gilx_poll_stops(gilx_poll *poll, int64_t work)

    ctypedef struct gilx_share:
        int64_t start
        int64_t stop
    bint gilx_share_next(gilx_share *share)

    ctypedef struct gilx_argument:
        int64_t integer
        double real
    ctypedef struct gilx_interrupt:
        gilx_control control
    ctypedef struct gilx_signature:
        const char *name
        int count
        const char *doc_gil
        const char *doc_nogil
    const gilx_signature gilx_signatures[]

    ctypedef struct gilx_support:
        PyTypeObject *counter_type
        PyObject *main_thread
    ctypedef struct gilx_call:
        gilx_argument arguments[1]
        gilx_share share
        gilx_interrupt interrupt


cdef extern from "call.h":
    int gilx_call_begin(gilx_call *call, const gilx_support *support,
                        const gilx_signature *signature, PyObject **values,
                        bint released) except -1
    object gilx_call_end(gilx_call *call, int status)


cdef object main_thread = threading.main_thread


cdef class Call:
    """A checked call of a kernel: holds its arguments until it has ended."""

    cdef gilx_call call
    cdef bint begun

    def __cinit__(self, int kernel, bint released, tuple given):
        cdef gilx_support support
        cdef PyObject *values[GILX_MAX_VALUES]
        support.counter_type = <PyTypeObject *>Counter
        support.main_thread = <PyObject *>main_thread
        for i in range(len(given)):
            values[i] = <PyObject *>given[i]
        gilx_call_begin(&self.call, &support, &gilx_signatures[kernel], values, released)
        self.begun = True

    cdef object end(self, int status):
        """The number of items computed, or the exception that ended the call."""
        self.begun = False
        return gilx_call_end(&self.call, status)

    def __dealloc__(self):
        if self.begun:  # a view was refused after the checks: memory ran out
            gilx_call_end(&self.call, GILX_STOPPED)


# ---- mandelbrot ------------------------------------------------------------------------

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


cdef object mandelbrot(bint released, re, im, max_iter, out, start, stop, take):
    cdef Call call = Call(
        GILX_KERNEL_mandelbrot, released, (re, im, max_iter, out, start, stop, take))
    cdef const double[::1] re_view = re
    cdef const double[::1] im_view = im
    cdef int32_t[:, ::1] out_view = out
    cdef int32_t limit = <int32_t>call.call.arguments[2].integer
    cdef gilx_share *share = &call.call.share
    cdef gilx_control *control = &call.call.interrupt.control
    cdef int status
    if released:
        with nogil:
            status = mandelbrot_items(re_view, im_view, limit, out_view, share, control)
    else:
        status = mandelbrot_items(re_view, im_view, limit, out_view, share, control)
    return call.end(status)


def mandelbrot_gil(re, im, max_iter, out, start=0, stop=None, *, take=None):
    return mandelbrot(False, re, im, max_iter, out, start, stop, take)


def mandelbrot_nogil(re, im, max_iter, out, start=0, stop=None, *, take=None):
    return mandelbrot(True, re, im, max_iter, out, start, stop, take)


# ---- histogram -------------------------------------------------------------------------

cdef int histogram_items(
    const uint8_t[::1] data, int64_t block, int64_t[:, ::1] out,
    gilx_share *share, gilx_control *control,
) noexcept nogil:
    # Four tables: a run of equal bytes would make each increment wait for the last one.
    # 64-bit counts can't overflow; a chunk between polls takes some 0.1 ms.
    cdef int64_t[4][256] table
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


cdef object histogram(bint released, data, block, out, start, stop, take):
    cdef Call call = Call(
        GILX_KERNEL_histogram, released, (data, block, out, start, stop, take))
    cdef const uint8_t[::1] data_view = data
    cdef int64_t[:, ::1] out_view = out
    cdef int64_t length = call.call.arguments[1].integer
    cdef gilx_share *share = &call.call.share
    cdef gilx_control *control = &call.call.interrupt.control
    cdef int status
    if released:
        with nogil:
            status = histogram_items(data_view, length, out_view, share, control)
    else:
        status = histogram_items(data_view, length, out_view, share, control)
    return call.end(status)


def histogram_gil(data, block, out, start=0, stop=None, *, take=None):
    return histogram(False, data, block, out, start, stop, take)


def histogram_nogil(data, block, out, start=0, stop=None, *, take=None):
    return histogram(True, data, block, out, start, stop, take)


# ---- levenshtein -----------------------------------------------------------------------

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


# ---- docstrings ------------------------------------------------------------------------

def _describe():
    """Give the functions the docstrings of their C twins, without the signature line."""
    cdef int kernel
    for kernel in range(GILX_KERNEL_COUNT):
        name = gilx_signatures[kernel].name.decode()
        for variant, text in (("gil", gilx_signatures[kernel].doc_gil.decode()),
                              ("nogil", gilx_signatures[kernel].doc_nogil.decode())):
            globals()[f"{name}_{variant}"].__doc__ = text.partition("--\n\n")[2]


_describe()
del _describe
