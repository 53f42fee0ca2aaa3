#include "waiting_frame.h"

#include <string.h>

enum {
    FRAME_BYTES = 128,     /* that a frame's header has at most */
    MOST_COPIES = 1 << 16, /* of the instructions of one code object */
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

static bool runs_python(const gilx_frame *frame) {
    return frame->owner <= OWNED_BY_GENERATOR && frame->code != 0;
}

/* In free-threaded builds threads run copies of the instructions: put the place of the
 * same instruction in the code object itself in its place, or 0 if that is not known. */
static void leave_copy(const gilx_stack_layout *layout, gilx_memory *memory,
                       const unsigned char *copy, gilx_frame *frame) {
    int32_t number;
    uintptr_t copies, start;
    if (layout->copies == 0 || !runs_python(frame)) {
        return;
    }
    memcpy(&number, copy + layout->copy_number, sizeof(number));
    if (number == 0) {
        return;
    }
    const int entry = layout->first_copy + number * (int)sizeof(uintptr_t);
    const bool known = number > 0 && number < MOST_COPIES &&
                       read_word(memory, frame->code, layout->copies, &copies) &&
                       read_word(memory, copies, entry, &start);
    frame->instruction =
        known ? frame->instruction - start + frame->code + (uintptr_t)layout->instructions
              : 0;
}

/* Find the pointer to a thread's innermost frame. Returns its address, 0 if it can't be
 * read. */
static uintptr_t pointer_to_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                                  uintptr_t state) {
    const bool has_cframe = layout->cframe_frame >= 0;
    uintptr_t holder = state;
    if (state == 0 ||
        (has_cframe && !read_word(memory, state, layout->state_frame, &holder)) ||
        holder == 0) {
        return 0;
    }
    return holder + (uintptr_t)(has_cframe ? layout->cframe_frame : layout->state_frame);
}

bool gilx_waiting_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                        uintptr_t state, gilx_frame *frame) {
    const uintptr_t pointer = pointer_to_frame(layout, memory, state);
    const size_t size = (size_t)layout->locals;
    uintptr_t innermost;
    if (size > FRAME_BYTES || !read_word(memory, pointer, 0, &innermost)) {
        return false;
    }
    uintptr_t address = innermost;
    for (int i = 0; i < MOST_FRAMES && address != 0; ++i) {
        /* In this order, in one system call. */
        const gilx_range ranges[] = {
            {.from = address, .size = size},
            {.from = pointer, .size = sizeof(uintptr_t)},
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
        if (runs_python(frame)) {
            leave_copy(layout, memory, copy, frame);
            return true;
        }
        address = frame->previous;
    }
    return false;
}

int gilx_waiting_stack(const gilx_stack_layout *layout, gilx_memory *memory,
                       uintptr_t state, gilx_frame *frames, int most, bool *complete) {
    const uintptr_t pointer = pointer_to_frame(layout, memory, state);
    const size_t size = (size_t)layout->locals;
    uintptr_t address;
    int count = 0;
    *complete = false;
    if (size > FRAME_BYTES || !read_word(memory, pointer, 0, &address)) {
        return 0;
    }
    /* There may be a frame between C and Python code for each. */
    for (int i = 0; i < 2 * most && count < most && address != 0; ++i) {
        unsigned char copy[FRAME_BYTES];
        if (!gilx_memory_read(memory, (const void *)address, copy, size)) {
            return count;
        }
        frames[count] = frame_in(layout, address, copy);
        leave_copy(layout, memory, copy, &frames[count]);
        address = frames[count].previous;
        count += runs_python(&frames[count]);
    }
    *complete = address == 0;
    return count;
}
