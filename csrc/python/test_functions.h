/* What the kernel montecarlo is made of, as functions of the module, for the tests. */
#ifndef GILX_PYTHON_TEST_FUNCTIONS_H
#define GILX_PYTHON_TEST_FUNCTIONS_H

#include "python_api.h"

/* _exp(x), _log(x) and _normal(u): float -> float; see elementary_functions.h. */
PyObject *gilx_part_exp(PyObject *module, PyObject *x);
PyObject *gilx_part_log(PyObject *module, PyObject *x);
PyObject *gilx_part_normal(PyObject *module, PyObject *u);

/* _philox(counter, key): tuples of four and of two words of 32 bits -> four words. */
PyObject *gilx_part_philox(PyObject *module, PyObject *args);

#endif
