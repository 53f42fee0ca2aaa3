/* Types that count how often event loops go into their selectors: LoopTable and
 * CountedSelect of gilx.sampling._sampler. */
#ifndef GILX_PYTHON_EVENT_LOOPS_H
#define GILX_PYTHON_EVENT_LOOPS_H

#include "python_api.h"

#include "../sampler/loop_table.h"

/* Add the types to the module. Returns LoopTable as a new reference, or NULL with an
 * exception set. */
PyTypeObject *gilx_loop_types(PyObject *module);

/* Return the loops of a LoopTable, which stay as long as that object. */
const gilx_loop_table *gilx_loops_of(PyObject *table);

#endif
