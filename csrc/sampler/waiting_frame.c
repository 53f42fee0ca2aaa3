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

/* Read the address of a thread's innermost frame. */
static bool read_innermost(const gilx_stack_layout *layout, gilx_memory *memory,
                           uintptr_t state, uintptr_t *frame) {
    uintptr_t cframe;
    return layout->cframe_frame < 0
               ? read_word(memory, state, layout->state_frame, frame)
               : read_word(memory, state, layout->state_frame, &cframe) &&
                     read_word(memory, cframe, layout->cframe_frame, frame);
}

static bool read_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                       uintptr_t address, gilx_frame *frame) {
    unsigned char copy[FRAME_BYTES];
    const size_t size = (size_t)layout->locals;
    if (address == 0 || size > sizeof(copy) ||
        !gilx_memory_read(memory, (const void *)address, copy, size)) {
        return false;
    }
    *frame = (gilx_frame){
        .address = address,
        .code = word_at(copy, layout->code) & ~(uintptr_t)layout->tag,
        .instruction = word_at(copy, layout->instr),
        .previous = word_at(copy, layout->previous),
        .owner = copy[layout->owner],
    };
    return true;
}

bool gilx_waiting_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                        uintptr_t state, gilx_frame *frame) {
    uintptr_t address, again;
    if (!read_innermost(layout, memory, state, &address)) {
        return false;
    }
    const uintptr_t innermost = address;
    for (int i = 0;; ++i) {
        if (i == MOST_FRAMES || !read_frame(layout, memory, address, frame)) {
            return false;
        }
        if (frame->owner <= OWNED_BY_GENERATOR && frame->code != 0) {
            break;
        }
        address = frame->previous;
    }
    gilx_frame other;
    return read_innermost(layout, memory, state, &again) && again == innermost &&
           read_frame(layout, memory, address, &other) && other.code == frame->code &&
           other.instruction == frame->instruction;
}
