/* Threads and samples of the sampler, as Python objects. */
#ifndef GILX_PYTHON_THREAD_OBJECTS_H
#define GILX_PYTHON_THREAD_OBJECTS_H

#include "python_api.h"

#include "../sampler/sampler.h"

/* Return what is known of threads after the stop, as Sampler.threads() does. */
PyObject *gilx_threads_list(const gilx_sampler *sampler);

/* Return the samples that were kept, as Sampler.samples() does. */
PyObject *gilx_samples_list(const gilx_sampler *sampler);

#endif
