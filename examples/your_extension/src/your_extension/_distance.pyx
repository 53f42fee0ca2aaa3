# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Mean distances between points, in Cython."""

from libc.math cimport sqrt


# `nogil` here says that it may be called without the GIL. It does not release it.
cdef double summed(const double[::1] x, const double[::1] y) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef double dx, dy, total = 0.0
    for i in range(x.shape[0]):
        for j in range(i):
            dx = x[i] - x[j]
            dy = y[i] - y[j]
            total += sqrt(dx * dx + dy * dy)
    return total


cdef double pairs(const double[::1] x, const double[::1] y) except -1.0:
    if x.shape[0] != y.shape[0] or x.shape[0] < 2:
        raise ValueError("expected as many x as y, at least two")
    return x.shape[0] * (x.shape[0] - 1) / 2.0


def mean_distance(const double[::1] x, const double[::1] y):
    """Return the mean distance between points of a plane."""
    cdef double count = pairs(x, y)
    cdef double total
    with nogil:
        total = summed(x, y)
    return total / count


def mean_distance_wrong(const double[::1] x, const double[::1] y):
    """Return the same, and hold the GIL all the time: `with nogil` was forgotten."""
    cdef double count = pairs(x, y)
    return summed(x, y) / count
