/* CPython's own headers, which tell where it keeps the GIL. They are no part of its
 * interface and do not compile without warnings, hence the pragma. */
#ifndef GILX_PYTHON_CPYTHON_INTERNALS_H
#define GILX_PYTHON_CPYTHON_INTERNALS_H

#if defined(__GNUC__)
#pragma GCC system_header
#endif

#ifndef Py_BUILD_CORE
#error "Py_BUILD_CORE must be defined before Python.h is included"
#endif

#include <internal/pycore_runtime.h>
#include <internal/pycore_interp.h>

#endif
