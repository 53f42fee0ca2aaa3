/* Reading a real number that a caller gave. */
#ifndef GILX_PYTHON_REAL_ARGUMENT_H
#define GILX_PYTHON_REAL_ARGUMENT_H

#include "python_api.h"

/* Read a real number.
 *
 *   given  any object with __float__ or __index__
 *   name   what to call it in messages
 *   value  where to put it
 *
 * Returns 0, or -1 with TypeError or ValueError set (or what the object's own methods
 * raised). */
int gilx_read_real(PyObject *given, const char *name, double *value);

#endif
