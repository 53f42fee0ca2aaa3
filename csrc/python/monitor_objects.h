/* What a sampler that is a monitor has counted so far, as Python objects. */
#ifndef GILX_PYTHON_MONITOR_OBJECTS_H
#define GILX_PYTHON_MONITOR_OBJECTS_H

#include "python_api.h"

#include "../sampler/monitor.h"

/* Return what is known of threads in a reading, as Sampler.read() does. */
PyObject *gilx_reading_threads(const gilx_reading *reading);

/* Return the sums of the threads that are no longer listed, as Sampler.read() does. */
PyObject *gilx_reading_ended(const gilx_reading *reading);

/* Return the stalls that were reported last, as Sampler.stalls() does. */
PyObject *gilx_stalls_list(gilx_sampler *sampler);

/* Function of the module that notes the name of a thread, and its documentation. */
PyObject *gilx_note_name(PyObject *module, PyObject *args);
extern const char gilx_note_name_doc[];

#endif
