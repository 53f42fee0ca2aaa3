# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The kernels in Cython, each holding the GIL or releasing it.

Written apart from the C ones, in the Cython that an author would write: typed
memoryviews and C numbers in a `noexcept nogil` function that serves both variants, and
`with nogil` around the call of it in one of them. Argument checks, and so the words of
every error, are the C module's.

Each kernel has a file in kernels/, beside its description and its references, with
NAME_items, the computation, which touches no Python object. NAME_gil and NAME_nogil, which
check the arguments, take views of the arrays and run it, follow from the description: the
build makes kernel_functions.pxi by csrc/generate.py.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
# The kernels use these. The linter does not follow them.
from libc.math cimport INFINITY, NAN, fabs, sqrt  # no-cython-lint
from libc.stdint cimport (
    INT32_MAX, UINT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t  # no-cython-lint
)
from libc.stdlib cimport calloc, free, malloc, realloc  # no-cython-lint
from libc.string cimport memset  # no-cython-lint

import threading

from gilx.ckernels import Counter


cdef extern from "kernel_call.h" nogil:
    enum: GILX_DONE
    enum: GILX_STOPPED
    enum: GILX_NO_MEMORY
    enum: GILX_KERNEL_COUNT
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
    ctypedef struct gilx_parameter:
        pass
    ctypedef struct gilx_signature:
        int count
        const gilx_parameter parameters[1]
    const gilx_signature gilx_signatures[]

    ctypedef struct gilx_main_thread:
        PyObject *function
    ctypedef struct gilx_support:
        PyTypeObject *counter_type
        gilx_main_thread main_thread
    ctypedef struct gilx_call:
        gilx_argument arguments[1]
        Py_buffer views[1]
        gilx_share share
        gilx_interrupt interrupt


cdef extern from "Python.h":
    object PyMemoryView_FromBuffer(Py_buffer *view)

cdef extern from "kernel_call.h":
    int gilx_call_begin(gilx_call *call, gilx_support *support,
                        const gilx_signature *signature, PyObject **values,
                        bint released) except -1
    void gilx_call_view(gilx_call *call, const gilx_parameter *parameter, int index,
                        Py_buffer *view)
    object gilx_call_end(gilx_call *call, int status)


cdef object main_thread = threading.main_thread
cdef object counter_type = Counter
cdef gilx_support support  # borrows from these two, which Python code can't reach
support.counter_type = <PyTypeObject *>counter_type
support.main_thread.function = <PyObject *>main_thread


@cython.final
@cython.internal  # not in the module, where nobody has a use for it
cdef class Call:
    """A checked call of a kernel: holds its arguments until it has ended."""

    cdef gilx_call call
    cdef const gilx_signature *signature
    cdef bint begun

    def __cinit__(self, int kernel, bint released, tuple given):
        cdef PyObject *values[GILX_MAX_VALUES]
        # Who looks for it finds it all the same.
        if not 0 <= kernel < GILX_KERNEL_COUNT:
            raise ValueError(f"kernel: expected 0 to {GILX_KERNEL_COUNT - 1}, got {kernel}")
        self.signature = &gilx_signatures[kernel]
        if given is None or len(given) != self.signature.count + 3:
            raise ValueError(f"given: expected {self.signature.count + 3} values")
        for i in range(len(given)):
            values[i] = <PyObject *>given[i]
        gilx_call_begin(&self.call, &support, self.signature, values, released)
        self.begun = True

    cdef object array(self, int parameter):
        """The memory that was checked: its owner, asked again, might give another."""
        cdef Py_buffer view
        gilx_call_view(&self.call, &self.signature.parameters[parameter], parameter, &view)
        return PyMemoryView_FromBuffer(&view)

    cdef object end(self, int status):
        """The number of items computed, or the exception that ended the call."""
        self.begun = False
        return gilx_call_end(&self.call, status)

    def __dealloc__(self):
        if self.begun:  # a view was refused after the checks: memory ran out
            gilx_call_end(&self.call, GILX_STOPPED)


include "kernel_functions.pxi"
