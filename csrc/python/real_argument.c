#include "real_argument.h"

int gilx_read_real(PyObject *given, const char *name, double *value) {
    *value = PyFloat_AsDouble(given);
    if (*value != -1.0 || !PyErr_Occurred()) {
        return 0;
    }
    /* Python says that a whole number is beyond all floats, but not which one. */
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Format(PyExc_ValueError,
                     "%s: expected a float, got a number beyond its range", name);
    } else if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a float, got %.100s", name,
                     Py_TYPE(given)->tp_name);
    }
    return -1;
}
