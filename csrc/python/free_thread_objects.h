/* Threads that ran without a GIL, as Python objects. */
#ifndef GILX_PYTHON_FREE_THREAD_OBJECTS_H
#define GILX_PYTHON_FREE_THREAD_OBJECTS_H

#include "python_api.h"

#include "../sampler/sampler.h"

/* Return what was seen of them after the stop, as Sampler.free_threads() does. */
PyObject *gilx_free_threads_object(const gilx_sampler *sampler);

/* Return the words of a GIL that nobody holds. */
const gilx_gil_words *gilx_free_words(void);

#endif
