/* One call of a kernel from Python: check its arguments, run it, return its result.
 *
 * Both compiled modules go through here, which is why their errors use the same words.
 */
#ifndef GILX_PYTHON_KERNEL_CALL_H
#define GILX_PYTHON_KERNEL_CALL_H

#include "counter_type.h"
#include "signals.h"
#include "signatures.h"

/* Parts of the calling module that calls need. */
typedef struct {
    PyTypeObject *counter_type; /* gilx.ckernels.Counter */
    gilx_main_thread main_thread;
} gilx_support;

/* After the parameters of every kernel come start, stop and take. */
enum { GILX_MAX_VALUES = GILX_MAX_PARAMETERS + 3 };

typedef struct {
    gilx_argument arguments[GILX_MAX_PARAMETERS];
    gilx_share share;
    gilx_interrupt interrupt;
    Py_buffer views[GILX_MAX_PARAMETERS]; /* held until the end, so memory stays put */
    bool viewed[GILX_MAX_PARAMETERS];
    PyObject *take; /* a strong reference, or NULL */
} gilx_call;

/* Check the arguments of a call.
 *
 *   call       to be filled in; end it with gilx_call_end() if this returns 0
 *   support    of the calling module
 *   signature  the kernel
 *   values     signature->count borrowed references, then start, stop and take, any of
 *              these three NULL for its default
 *   released   whether the kernel will run without the GIL
 *
 * Returns 0, or -1 with TypeError, ValueError, BufferError or IndexError set (or what
 * an argument's own methods raised); then nothing is held. */
int gilx_call_begin(gilx_call *call, gilx_support *support,
                    const gilx_signature *signature, PyObject *const *values,
                    bool released);

/* Describe the memory of an array as it was checked, for PyMemoryView_FromBuffer(): the
 * exporter's own description may differ, and not every consumer understands it.
 *
 *   parameter, index  the parameter, and its place among those of the signature
 *   view              to be filled in; it is not to be released */
void gilx_call_view(gilx_call *call, const gilx_parameter *parameter, int index,
                    Py_buffer *view);

/* Release the arguments. `status` is what the kernel's body returned.
 *
 * Returns the number of items computed as an int, or NULL with an exception set: the one
 * that was set before, if any. */
PyObject *gilx_call_end(gilx_call *call, int status);

#endif
