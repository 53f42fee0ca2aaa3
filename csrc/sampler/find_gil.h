/* Finding the GIL of an interpreter, so that it can be watched without being taken.
 *
 * The one interface; find_gil.c alone knows how the versions of Python differ.
 */
#ifndef GILX_SAMPLER_FIND_GIL_H
#define GILX_SAMPLER_FIND_GIL_H

#include <Python.h>

#include "sampler.h"
#include "gil_words.h"
#include "safe_memory.h"

typedef enum {
    GILX_GIL_FOUND,
    GILX_GIL_NONE,        /* a free-threaded build that runs without one */
    GILX_GIL_UNAVAILABLE, /* it can't be found */
} gilx_gil_status;

typedef struct {
    gilx_gil_words words;
    gilx_thread_state_layout states;
    const char *backend; /* how it was found */
    char trouble[300];   /* why it was not, in plain words */
} gilx_gil;

/* Find the GIL of the calling thread's interpreter, and certify it; the caller holds it.
 * The words are valid as long as the interpreter is.
 *
 * The places are those of CPython's headers or of its table of offsets. If they can't be
 * had or do not pass, or with `search_only`, the runtime and the interpreter are searched
 * for words that pass. To pass, the words must follow the switch interval, which is set
 * to random values and back while the GIL is held; say that the caller holds it, and
 * then, with the GIL released for a moment, that it does not; and never count switches
 * back. */
gilx_gil_status gilx_gil_find(gilx_gil *gil, gilx_memory *memory, bool search_only);

#endif
