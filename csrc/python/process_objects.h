/* GILs of other processes, for the sampler. */
#ifndef GILX_PYTHON_PROCESS_OBJECTS_H
#define GILX_PYTHON_PROCESS_OBJECTS_H

#include "python_api.h"

#include "../sampler/process_gil.h"

/* Open a process's memory and find its GIL. Returns 0, or -1 with an exception set and
 * the memory closed: OSError if the memory can't be opened, `unavailable` if there is no
 * GIL that can be watched, `no_gil` if Python runs there without one. */
int gilx_open_process(int64_t process, gilx_process_gil *found, gilx_memory *memory,
                      PyObject *unavailable, PyObject *no_gil);

/* Return what was found, as Sampler.process() does. */
PyObject *gilx_process_object(const gilx_process_gil *found, const char *reader);

#endif
