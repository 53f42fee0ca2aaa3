/* Getting memory from Python objects. */
#ifndef GILX_PYTHON_BUFFERS_H
#define GILX_PYTHON_BUFFERS_H

#include "python_api.h"

/* Get the buffer of `given`, called `name` in messages, in the form that `flags` ask for.
 *
 *   expected, detail  what would be right, in two parts: "a buffer of ", "bytes"
 *
 * Returns 0 and a view to release, or -1 with TypeError or BufferError set, or with what
 * else the object raises. */
int gilx_get_buffer(PyObject *given, Py_buffer *view, int flags, const char *name,
                    const char *expected, const char *detail);

/* Get memory of `given` to write whatever bytes to: a writable, C-contiguous buffer that
 * holds no references to Python objects and no pointers, as far as its format says: they
 * would then point anywhere.
 *
 *   name, detail  as above, such as " or None"
 *   size          how many bytes there must be at least
 *   alignment     what the address must be a multiple of
 *
 * Returns 0 and a view to release, or -1 with an exception: also ValueError. */
int gilx_get_plain_memory(PyObject *given, Py_buffer *view, const char *name,
                          const char *detail, size_t size, size_t alignment);

#endif
