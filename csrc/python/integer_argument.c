#include "integer_argument.h"

int gilx_read_integer(PyObject *given, const char *name, int64_t least, int64_t greatest,
                      PyObject *range_error, const char *note, int64_t *value) {
    PyObject *index = PyNumber_Index(given);
    if (index == NULL) {
        /* Python and NumPy have words of their own, which don't say which argument. */
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "%s: expected an integer, got %.100s", name,
                         Py_TYPE(given)->tp_name);
        }
        return -1;
    }
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(index, &overflow);
    Py_DECREF(index);
    if (number == -1 && overflow == 0 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow != 0) {
        PyErr_Format(range_error,
                     "%s: expected %lld to %lld%s, got a number beyond 64 bits", name,
                     (long long)least, (long long)greatest, note);
        return -1;
    }
    if (number < least || number > greatest) {
        PyErr_Format(range_error, "%s: expected %lld to %lld%s, got %lld", name,
                     (long long)least, (long long)greatest, note, number);
        return -1;
    }
    *value = number;
    return 0;
}
