/* Python.h as every file of the glue wants it. */
#ifndef GILX_MODULE_PYTHON_H
#define GILX_MODULE_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#endif
