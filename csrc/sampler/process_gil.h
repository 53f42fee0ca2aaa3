/* Finding the GIL of another process, which is neither stopped nor asked for anything. */
#ifndef GILX_SAMPLER_PROCESS_GIL_H
#define GILX_SAMPLER_PROCESS_GIL_H

#include "find_gil.h"
#include "free_threads.h"
#include "layouts.h"

typedef struct {
    gilx_gil gil;     /* of the main interpreter; its words are for a sampler alone */
    uint64_t version; /* of CPython, as in PY_VERSION_HEX; 0 if it was not found */
    unsigned long interval;          /* the switch interval, in microseconds */
    bool lock_known;                 /* see gilx_sampler_options */
    const gilx_stack_layout *stacks; /* NULL if stacks can't be read */
    uintptr_t code_type;             /* address of the type of code objects */
    gilx_free_threads free;          /* if there is no GIL: where its threads are read, */
    const void *interpreter;         /* and the interpreter */
    const int *collecting; /* address of the word that says whether the garbage collector
                              runs; NULL if it is not known */
} gilx_process_gil;

/* Find the GIL of a process by its open memory.
 *
 * The runtime is found as the symbol that the program or a library exports, and the
 * places in it are those of its version, which need not be that of the Python that runs
 * here. No hold can be forced, so that less is certified than of this process: in many
 * readings, the words must have values that a GIL's can have, the holder must be in the
 * interpreter's list of thread states, and switches must not count back; thread states
 * must be of that interpreter, and name threads of the process.
 *
 * Without a GIL, GILX_GIL_NONE is returned, and found->free.places.state is not 0 if its
 * threads can be read: their states must have values that there are. gil.trouble says why
 * if they can't. The words on stops are read where the very release is known to have
 * them.
 */
gilx_gil_status gilx_process_gil_find(gilx_process_gil *found, gilx_memory *memory);

/* Take an offset in the interpreter for that of the words on stops of the world, if these
 * look like such words in many readings; without it, the reason is in
 * found->free.world_missing. For a process that runs without a GIL. */
void gilx_process_world_find(gilx_process_gil *found, gilx_memory *memory,
                             int64_t offset);

#endif
