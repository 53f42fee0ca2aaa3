/* Stacks and sites of the sampler, as Python objects. */
#ifndef GILX_PYTHON_STACK_OBJECTS_H
#define GILX_PYTHON_STACK_OBJECTS_H

#include "python_api.h"

#include "../sampler/find_gil.h"
#include "../sampler/sampler.h"

/* Read the calling thread's Python stack as the sampler does. The caller holds the GIL.
 *
 * Takes over the memory. Returns a list of tuples (function, file, first line, line, end
 * line, column, end column), the innermost frame first, or NULL with an exception set:
 * `unavailable` if the stack can't be read. */
PyObject *gilx_own_stack(const gilx_gil_words *words, const gilx_stack_layout *layout,
                         gilx_memory *memory, PyObject *unavailable);

/* Read the calling thread's innermost frame with Python code as the sampler does that of
 * a thread that waits, see waiting_frame.h, and return such a tuple. Takes over the
 * memory. */
PyObject *gilx_own_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                         PyObject *unavailable);

/* Read the calling thread's Python stack as the sampler does that of a thread without a
 * GIL, and return a list as gilx_own_stack() does. Takes over the memory. */
PyObject *gilx_own_free_stack(const gilx_stack_layout *layout, gilx_memory *memory,
                              PyObject *unavailable);

/* Return the sites that have samples, as Sampler.sites() does. `sites` may be NULL. */
PyObject *gilx_sites_list(const gilx_sites *sites);

/* Return the first eight members of a site as Sampler.sites() has it, as a tuple. */
PyObject *gilx_place_object(const gilx_sites *sites, int number);

/* Return the sites at which threads waited, as Sampler.waits() does. `sites` may be NULL.
 */
PyObject *gilx_waits_list(const gilx_sites *sites);

/* Return the calls that led to the sites, as Sampler.calls() does. `sites` may be NULL.
 */
PyObject *gilx_calls_list(const gilx_sites *sites);

/* Return the longest stretches, as Sampler.longest_holds() does. `sites` may be NULL. */
PyObject *gilx_longest_holds_list(const gilx_sites *sites);

#endif
