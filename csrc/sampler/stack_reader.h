/* Python stack of the thread that holds the GIL, read from another thread.
 *
 * The GIL's words and the stack are read in one system call, twice. What differs between
 * the two copies moved while it was read, and is not believed. All memory is reserved
 * from the start.
 *
 * Pure C11: places of CPython's structs are data, see layouts.h.
 */
#ifndef GILX_SAMPLER_STACK_READER_H
#define GILX_SAMPLER_STACK_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "gil_words.h"
#include "layouts.h"
#include "safe_memory.h"

enum { GILX_MOST_FRAMES = 256 }; /* of a deeper stack, the innermost ones are read */

/* One frame, as it was when it was read. */
typedef struct {
    uintptr_t address, code, instruction, previous;
    uint8_t owner;
    bool entered; /* whether C code called it */
} gilx_frame;

typedef enum {
    GILX_STACK_FREE,    /* no thread held the GIL */
    GILX_STACK_KNOWN,   /* the innermost frame is known */
    GILX_STACK_BELOW,   /* a frame is known that ran, or had called the one that ran */
    GILX_STACK_EMPTY,   /* the thread that held the GIL ran no Python code */
    GILX_STACK_UNKNOWN, /* the stack changed too quickly, or could not be read */
} gilx_stack_state;

typedef struct {
    gilx_stack_state state;
    uintptr_t holder;       /* thread state that held the GIL when it was first read */
    unsigned long switches; /* how often the GIL went to another thread state before */
    int64_t at_ns, end_ns;  /* just before and after it was read */
    bool complete;          /* whether the frames reach to the outer end of the stack */
    bool collecting;        /* whether an interpreter collected garbage all the time */
    uint64_t content;       /* hash of the innermost frame's variables and operands, */
    int content_size;       /* of so many bytes, */
    uint64_t outer;         /* that of its callers', */
    int outer_size;
    uint64_t path; /* and that of where the callers are and of their instructions */
    int count;
    gilx_frame frames[GILX_MOST_FRAMES]; /* that run Python code; the innermost known one
                                            comes first */
} gilx_stack;

typedef struct gilx_stack_reader gilx_stack_reader;

/* Return a reader, or NULL if memory runs out. The GIL's words must lie as in
 * gilx_gil_struct. `collecting`: the word of an interpreter that says whether garbage is
 * collected, NULL if it is not known. */
gilx_stack_reader *gilx_stack_reader_new(const gilx_gil_words *words,
                                         const gilx_stack_layout *layout,
                                         const int *collecting);

/* Read whether the GIL is held, and if so, the stack of the thread that holds it. */
void gilx_stack_read(gilx_stack_reader *reader, gilx_memory *memory, gilx_stack *stack);

/* Return whether a stack's innermost frame is still at the same instruction, with the
 * same variables and operands. */
bool gilx_stack_stands(gilx_stack_reader *reader, gilx_memory *memory,
                       const gilx_stack *stack);

void gilx_stack_reader_free(gilx_stack_reader *reader);

#endif
