/* The calling thread's interpreter, as the search for its GIL knows it. */
#ifndef GILX_PYTHON_OWN_INTERPRETER_H
#define GILX_PYTHON_OWN_INTERPRETER_H

#include "../sampler/find_gil.h"
#include "../sampler/free_threads.h"
#include "../sampler/layouts.h"

/* Find the GIL of the calling thread's interpreter, and certify it, as gilx_gil_find()
 * does. The caller holds it; it is released meanwhile. */
gilx_gil_status gilx_find_own_gil(gilx_gil *gil, gilx_memory *memory, bool search_only);

/* Find out where the calling thread's interpreter, which runs without a GIL, keeps what
 * is read of its threads, and certify it, as gilx_free_threads_find() does. The caller is
 * attached; it is detached meanwhile, and stops all other threads for a moment. */
bool gilx_find_own_free_threads(gilx_free_threads *threads, gilx_memory *memory,
                                char trouble[300]);

/* Stop all other threads of the caller's interpreter, which runs without a GIL, for a
 * moment. Returns false if that can't be done. */
bool gilx_stop_all_threads(void);

/* Return the offset of the words on stops in the caller's interpreter. */
int64_t gilx_own_offset(const gilx_free_threads *threads);

/* Return the places of Python stacks in this interpreter, or NULL if they are not known:
 * in a free-threaded build, or if strings are not stored as they are known to be. */
const gilx_stack_layout *gilx_own_stack_layout(void);

/* Return those of a free-threaded build that runs without a GIL, or NULL likewise. They
 * are for single frames of threads, see waiting_frame.h. */
const gilx_stack_layout *gilx_own_free_stack_layout(void);

/* Return the address of the word that says whether this interpreter's garbage collector
 * runs, or NULL if it is not known, which it is not where stacks are not. */
const int *gilx_own_collecting(void);

#endif
