/* Reading a whole number in a known range from a Python object. */
#ifndef GILX_PYTHON_INTEGER_ARGUMENT_H
#define GILX_PYTHON_INTEGER_ARGUMENT_H

#include "python_api.h"

/* Read `given`, called `name` in messages, into *value.
 *
 *   least, greatest  the range that is right
 *   range_error      what a number outside it raises
 *   note             said after the range in that message, such as " (the rows)", or ""
 *
 * Returns 0, or -1 with TypeError or range_error set. */
int gilx_read_integer(PyObject *given, const char *name, int64_t least, int64_t greatest,
                      PyObject *range_error, const char *note, int64_t *value);

#endif
