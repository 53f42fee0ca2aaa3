#include "waiting_frame.h"

#include <string.h>

enum {
    FRAME_BYTES = 128,     /* that a frame's header has at most */
    MOST_FRAMES = 4,       /* without Python code, before the one that is sought */
    OWNED_BY_GENERATOR = 1 /* the last kind of owner of a frame with Python code */
};

static uintptr_t word_at(const unsigned char *copy, int offset) {
    uintptr_t word;
    memcpy(&word, copy + offset, sizeof(word));
    return word;
}

static bool read_word(gilx_memory *memory, uintptr_t object, int offset,
                      uintptr_t *word) {
    const void *from = (const void *)(object + (uintptr_t)offset);
    return object != 0 && gilx_memory_read(memory, from, word, sizeof(*word));
}

static gilx_frame frame_in(const gilx_stack_layout *layout, uintptr_t address,
                           const unsigned char *copy) {
    return (gilx_frame){
        .address = address,
        .code = word_at(copy, layout->code) & ~(uintptr_t)layout->tag,
        .instruction = word_at(copy, layout->instr),
        .previous = word_at(copy, layout->previous),
        .owner = copy[layout->owner],
    };
}

bool gilx_waiting_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                        uintptr_t state, gilx_frame *frame) {
    const bool has_cframe = layout->cframe_frame >= 0;
    uintptr_t holder = state; /* of the pointer to the innermost frame */
    if (has_cframe && !read_word(memory, state, layout->state_frame, &holder)) {
        return false;
    }
    const int offset = has_cframe ? layout->cframe_frame : layout->state_frame;
    const size_t size = (size_t)layout->locals;
    uintptr_t innermost;
    if (size > FRAME_BYTES || !read_word(memory, holder, offset, &innermost)) {
        return false;
    }
    uintptr_t address = innermost;
    for (int i = 0; i < MOST_FRAMES && address != 0; ++i) {
        /* In this order, in one system call. */
        const gilx_range ranges[] = {
            {.from = address, .size = size},
            {.from = holder + (uintptr_t)offset, .size = sizeof(uintptr_t)},
            {.from = address, .size = size},
        };
        unsigned char copy[2 * FRAME_BYTES + sizeof(uintptr_t)];
        const size_t whole = 2 * size + sizeof(uintptr_t);
        if (gilx_memory_copy(memory, ranges, 3, copy) != whole ||
            word_at(copy, layout->locals) != innermost) {
            return false;
        }
        *frame = frame_in(layout, address, copy);
        const gilx_frame again =
            frame_in(layout, address, copy + size + sizeof(uintptr_t));
        if (again.code != frame->code || again.instruction != frame->instruction) {
            return false;
        }
        if (frame->owner <= OWNED_BY_GENERATOR && frame->code != 0) {
            return true;
        }
        address = frame->previous;
    }
    return false;
}
