/* CPython's own headers, which tell where it keeps the GIL and Python stacks. They are no
 * part of its interface and do not compile without warnings, hence the pragma. */
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
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interpframe_structs.h>
#include <internal/pycore_stackref.h>
#else
#include <internal/pycore_frame.h>
#endif

#endif
