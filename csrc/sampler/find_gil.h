/* Finding the GIL of an interpreter, so that it can be watched without being taken.
 *
 * Pure C11: the interpreter is asked for nothing but what gilx_interpreter says, so that
 * tests can put a made-up one in its place.
 */
#ifndef GILX_SAMPLER_FIND_GIL_H
#define GILX_SAMPLER_FIND_GIL_H

#include "sampler.h"
#include "gil_words.h"
#include "safe_memory.h"

/* The interpreter of the calling thread, which holds its GIL. */
typedef struct gilx_interpreter {
    uint64_t version;                  /* as in PY_VERSION_HEX */
    const void *runtime, *interpreter; /* where it keeps its state */
    const void *state;                 /* the caller's thread state, */
    unsigned long tid;                 /* its native id, */
    uint64_t id;                       /* and its number in the interpreter */
    unsigned long interval;            /* the switch interval, in microseconds */
    /* Set it; return whether that was done. NULL if it can't be set. */
    bool (*set_interval)(struct gilx_interpreter *interpreter,
                         unsigned long microseconds);
    /* Give the GIL back, and take it again. */
    void (*release)(struct gilx_interpreter *interpreter);
    void (*take)(struct gilx_interpreter *interpreter);
} gilx_interpreter;

typedef enum {
    GILX_GIL_FOUND,
    GILX_GIL_NONE,        /* a free-threaded build that runs without one */
    GILX_GIL_UNAVAILABLE, /* it can't be found */
} gilx_gil_status;

typedef struct {
    gilx_gil_words words;
    gilx_thread_state_layout states;
    const void *enabled; /* int: INT_MAX if it is on; of free-threaded builds only */
    const char *backend; /* how it was found */
    char trouble[300];   /* why it was not, in plain words */
} gilx_gil;

/* Find the GIL of an interpreter by the places of its version, without certification. Of
 * the interpreter, only its version and where it keeps its state are used. They may be
 * those of another process, whose memory this is then. */
gilx_gil_status gilx_gil_locate(gilx_gil *gil, gilx_memory *memory,
                                const gilx_interpreter *interpreter);

/* Find the GIL of the calling thread's interpreter, and certify it. The words are valid
 * as long as the interpreter is.
 *
 * The places are those of the interpreter's version (layouts.h), some of which the
 * runtime's table of offsets gives. If they can't be had or do not pass, or with
 * `search_only`, the runtime and the interpreter are searched for words that pass. To
 * pass, the words must follow the switch interval, which is set to random values and back
 * while the GIL is held; say that the caller holds it; with the GIL released for a
 * moment, say that the caller does not; and never count switches back. */
gilx_gil_status gilx_gil_find(gilx_gil *gil, gilx_memory *memory,
                              gilx_interpreter *interpreter, bool search_only);

#endif
