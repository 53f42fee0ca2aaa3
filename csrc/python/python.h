/* Python.h with the settings that all files of the bindings share. */
#ifndef GILX_MODULE_PYTHON_H
#define GILX_MODULE_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#endif
