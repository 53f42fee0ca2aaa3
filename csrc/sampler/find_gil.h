/* Finding the GIL of an interpreter, so that it can be watched without being taken.
 *
 * The one interface; find_gil.c alone knows how the versions of Python differ.
 */
#ifndef GILX_SAMPLER_FIND_GIL_H
#define GILX_SAMPLER_FIND_GIL_H

#include <Python.h>

#include "sampler.h"
#include "gil_words.h"

typedef enum {
    GILX_GIL_FOUND,
    GILX_GIL_NONE,        /* a free-threaded build that runs without one */
    GILX_GIL_UNAVAILABLE, /* it can't be found, or what was found can't be trusted */
} gilx_gil_status;

typedef struct {
    gilx_gil_words words;
    gilx_thread_state_layout states;
    const char *backend; /* how it was found */
    char trouble[200];   /* where it was not: why, in plain words */
} gilx_gil;

/* Find the GIL of the calling thread's interpreter; the caller holds it. The words are
 * valid as long as the interpreter is. */
gilx_gil_status gilx_gil_find(gilx_gil *gil);

/* Look whether the words say what is known to be so: held by the caller, and then, with
 * the GIL released for a moment, not held by the caller. Memory is read in a way that
 * can't crash. */
gilx_gil_status gilx_gil_certify(gilx_gil *gil);

#endif
