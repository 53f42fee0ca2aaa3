/* Threads that ran without a GIL, as Python objects. */
#ifndef GILX_PYTHON_FREE_THREAD_OBJECTS_H
#define GILX_PYTHON_FREE_THREAD_OBJECTS_H

#include "python_api.h"

#include "../sampler/monitor.h"
#include "../sampler/sampler.h"

/* Return what was seen of them after the stop, as Sampler.free_threads() does. */
PyObject *gilx_free_threads_object(const gilx_sampler *sampler);

/* Return the sums of a thread of a monitor, as Sampler.read() does. `since`: time since
 * its clocks were read, in ns. */
PyObject *gilx_clocked_object(const gilx_thread_activities *does, int64_t since);

/* Return what is known of stops of the world in a reading, as Sampler.read() does. */
PyObject *gilx_reading_world(const gilx_reading *reading);

/* Return the words of a GIL that nobody holds. */
const gilx_gil_words *gilx_free_words(void);

#endif
