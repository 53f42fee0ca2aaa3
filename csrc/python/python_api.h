/* Python.h with the settings that all files of the bindings share. */
#ifndef GILX_PYTHON_PYTHON_API_H
#define GILX_PYTHON_PYTHON_API_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#endif
