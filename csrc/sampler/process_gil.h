/* Finding the GIL of another process, which is neither stopped nor asked for anything. */
#ifndef GILX_SAMPLER_PROCESS_GIL_H
#define GILX_SAMPLER_PROCESS_GIL_H

#include "find_gil.h"
#include "layouts.h"

typedef struct {
    gilx_gil gil;     /* of the main interpreter; its words are for a sampler alone */
    uint64_t version; /* of CPython, as in PY_VERSION_HEX; 0 if it was not found */
    unsigned long interval;          /* the switch interval, in microseconds */
    bool lock_known;                 /* see gilx_sampler_options */
    const gilx_stack_layout *stacks; /* NULL if stacks can't be read */
    uintptr_t code_type;             /* address of the type of code objects */
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
 * must be of that interpreter, and name threads of the process. */
gilx_gil_status gilx_process_gil_find(gilx_process_gil *found, gilx_memory *memory);

#endif
