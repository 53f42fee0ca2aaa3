/* Python stacks, made up in memory by the layout of a version of CPython.
 *
 * A stack is written by one thread, and read by the sampler from addresses alone.
 */
#ifndef GILX_TESTS_FAKE_STACK_H
#define GILX_TESTS_FAKE_STACK_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../sampler/layouts.h"

enum {
    FAKE_UNITS = 8,     /* instructions of a function: each of its two lines has half */
    FAKE_STATE = 512,   /* size of a thread state, */
    FAKE_OBJECT = 320,  /* of a code object, or of what it refers to, */
    FAKE_FRAME = 256,   /* and of a frame */
    FAKE_FUNCTIONS = 4, /* of each thread */
    FAKE_FRAMES = 3,
};

static const char FAKE_FILE[] = "fake.py";

/* Objects of one function. */
typedef struct {
    alignas(16) unsigned char code[FAKE_OBJECT], name[FAKE_OBJECT], file[FAKE_OBJECT],
        line_table[FAKE_OBJECT];
} fake_function;

typedef struct {
    alignas(16) unsigned char state[FAKE_STATE];
    const gilx_stack_layout *layout;
    alignas(16) unsigned char cframe[64];
    alignas(16) unsigned char frames[FAKE_FRAMES][FAKE_FRAME]; /* outermost first */
    fake_function functions[FAKE_FUNCTIONS];
    int depth;
} fake_stack;

/* Its address is that of the type of code objects. */
static unsigned char fake_code_type[16];

/* Write a word as CPython does, in one piece. */
static inline void fake_store(unsigned char *object, int place, uintptr_t word) {
    atomic_store_explicit((_Atomic uintptr_t *)(void *)(object + place), word,
                          memory_order_relaxed);
}

static inline void fake_string(const gilx_stack_layout *layout, unsigned char *object,
                               const char *characters) {
    const uint32_t state = 1U << layout->string_kind | 1U << layout->string_is_compact |
                           1U << layout->string_is_ascii;
    const uint64_t length = strlen(characters);
    memcpy(object + layout->string_length, &length, sizeof(length));
    memcpy(object + layout->string_state, &state, sizeof(state));
    memcpy(object + layout->string_ascii, characters, length);
}

static inline void fake_make_function(const gilx_stack_layout *layout,
                                      fake_function *function, const char *name,
                                      int32_t first_line) {
    /* Two entries for half of the units each: one line further on, without columns. */
    static const unsigned char table[] = {0x80 | 13 << 3 | 3, 2, 0x80 | 13 << 3 | 3, 2};
    memset(function, 0, sizeof(*function));
    fake_string(layout, function->name, name);
    fake_string(layout, function->file, FAKE_FILE);
    fake_store(function->line_table, layout->size, sizeof(table));
    memcpy(function->line_table + layout->bytes, table, sizeof(table));
    fake_store(function->code, 0, 1); /* its count of references */
    fake_store(function->code, layout->type, (uintptr_t)fake_code_type);
    fake_store(function->code, layout->size, FAKE_UNITS);
    fake_store(function->code, layout->name, (uintptr_t)function->name);
    fake_store(function->code, layout->file, (uintptr_t)function->file);
    fake_store(function->code, layout->line_table, (uintptr_t)function->line_table);
    memcpy(function->code + layout->first_line, &first_line, sizeof(first_line));
}

/* Make a thread state without frames, and functions whose names are the thread's number
 * and theirs, and whose first lines are 100 apart. */
static inline void fake_stack_make(fake_stack *stack, const gilx_stack_layout *layout,
                                   int number) {
    memset(stack, 0, sizeof(*stack));
    stack->layout = layout;
    for (int i = 0; i < FAKE_FUNCTIONS; ++i) {
        char name[48];
        (void)snprintf(name, sizeof(name), "thread%d.function%d", number, i);
        fake_make_function(layout, &stack->functions[i], name, 100 * i);
    }
    fake_store(stack->state, layout->chunk, (uintptr_t)stack->frames);
    fake_store(stack->state, layout->limit, (uintptr_t)(stack->frames + FAKE_FRAMES));
    if (layout->cframe_frame >= 0) {
        fake_store(stack->state, layout->state_frame, (uintptr_t)stack->cframe);
    }
}

/* Note the innermost frame. */
static inline void fake_publish(fake_stack *stack) {
    const gilx_stack_layout *layout = stack->layout;
    const uintptr_t frame =
        stack->depth == 0 ? 0 : (uintptr_t)stack->frames[stack->depth - 1];
    if (layout->cframe_frame >= 0) {
        fake_store(stack->cframe, layout->cframe_frame, frame);
    } else {
        fake_store(stack->state, layout->state_frame, frame);
    }
}

/* Set the innermost frame's instruction, and its first variable. */
static inline void fake_advance(fake_stack *stack, int function, int unit,
                                uintptr_t variable) {
    const gilx_stack_layout *layout = stack->layout;
    unsigned char *frame = stack->frames[stack->depth - 1];
    fake_store(frame, layout->locals, variable);
    fake_store(frame, layout->instr,
               (uintptr_t)stack->functions[function].code +
                   (uintptr_t)layout->instructions + 2 * (uintptr_t)unit);
}

static inline void fake_push(fake_stack *stack, int function, int unit,
                             uintptr_t variable, bool from_c) {
    const gilx_stack_layout *layout = stack->layout;
    const bool has_entry = layout->end_owner != 0;
    for (bool entry = from_c && has_entry;; entry = false) {
        unsigned char *frame = stack->frames[stack->depth];
        const uintptr_t code = entry ? 0 : (uintptr_t)stack->functions[function].code;
        fake_store(frame, layout->code, code);
        fake_store(frame, layout->previous,
                   stack->depth == 0 ? 0 : (uintptr_t)stack->frames[stack->depth - 1]);
        frame[layout->owner] = entry ? (unsigned char)layout->end_owner : 0;
        if (layout->entry >= 0) {
            frame[layout->entry] = from_c;
        }
        ++stack->depth;
        if (!entry) {
            fake_advance(stack, function, unit, variable);
            fake_publish(stack);
            return;
        }
    }
}

/* Call a function from C code. Under it lies a frame between C and Python, in versions
 * that have these. */
static inline void fake_call_from_c(fake_stack *stack, int function, int unit,
                                    uintptr_t variable) {
    fake_push(stack, function, unit, variable, true);
}

/* Call a function from Python code, the first one from C code. */
static inline void fake_call(fake_stack *stack, int function, int unit,
                             uintptr_t variable) {
    fake_push(stack, function, unit, variable, stack->depth == 0);
}

/* Return from the innermost function. */
static inline void fake_return(fake_stack *stack) {
    const int end_owner = stack->layout->end_owner;
    --stack->depth;
    if (stack->depth > 0 && end_owner != 0 &&
        stack->frames[stack->depth - 1][stack->layout->owner] == end_owner) {
        --stack->depth;
    }
    fake_publish(stack);
}

#endif
