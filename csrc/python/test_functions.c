#include "test_functions.h"

#include "real_argument.h"

#include "../kernels/elementary_functions.h"
#include "../kernels/philox.h"

static PyObject *apply(double (*function)(double), PyObject *given) {
    double x;
    if (gilx_read_real(given, "x", &x) < 0) {
        return NULL;
    }
    return PyFloat_FromDouble(function(x));
}

PyObject *gilx_part_exp(PyObject *module, PyObject *x) {
    (void)module;
    return apply(gilx_exp, x);
}

PyObject *gilx_part_log(PyObject *module, PyObject *x) {
    (void)module;
    return apply(gilx_log, x);
}

PyObject *gilx_part_normal(PyObject *module, PyObject *u) {
    (void)module;
    return apply(gilx_normal, u);
}

PyObject *gilx_part_philox(PyObject *module, PyObject *args) {
    (void)module;
    unsigned int words[4], key[2];
    if (!PyArg_ParseTuple(args, "(IIII)(II):_philox", &words[0], &words[1], &words[2],
                          &words[3], &key[0], &key[1])) {
        return NULL;
    }
    gilx_philox(words, key[0], key[1]);
    return Py_BuildValue("(IIII)", words[0], words[1], words[2], words[3]);
}
