#include "waiting_frame.h"

#include "frame_words.h"

enum {
    FRAME_BYTES = 128,     /* that a frame's header has at most */
    MOST_COPIES = 1 << 16, /* of the instructions of one code object */
    MOST_FRAMES = 4,       /* without Python code, before the one that is sought */
    OWNED_BY_GENERATOR = 1 /* the last kind of owner of a frame with Python code */
};

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
                       gilx_read_word(memory, frame->code, layout->copies, &copies) &&
                       gilx_read_word(memory, copies, entry, &start);
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
        (has_cframe && !gilx_read_word(memory, state, layout->state_frame, &holder)) ||
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
    if (size > FRAME_BYTES || !gilx_read_word(memory, pointer, 0, &innermost)) {
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
            gilx_word_at(copy, layout->locals) != innermost) {
            return false;
        }
        *frame = gilx_frame_in(layout, address, copy);
        const gilx_frame again =
            gilx_frame_in(layout, address, copy + size + sizeof(uintptr_t));
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
    if (size > FRAME_BYTES || !gilx_read_word(memory, pointer, 0, &address)) {
        return 0;
    }
    /* There may be a frame between C and Python code for each. */
    for (int i = 0; i < 2 * most && count < most && address != 0; ++i) {
        unsigned char copy[FRAME_BYTES];
        if (!gilx_memory_read(memory, (const void *)address, copy, size)) {
            return count;
        }
        frames[count] = gilx_frame_in(layout, address, copy);
        leave_copy(layout, memory, copy, &frames[count]);
        address = frames[count].previous;
        count += runs_python(&frames[count]);
    }
    *complete = address == 0;
    return count;
}

static bool is_same_call(const gilx_frame *a, const gilx_frame *b) {
    return a->address == b->address && a->code == b->code;
}

/* Return where a frame is among others, from the outer end; -1 if it is not there. */
static int place_of(const gilx_frame *frame, const gilx_frame *frames, int count) {
    int i = count - 1;
    while (i >= 0 && !is_same_call(frame, &frames[i])) {
        --i;
    }
    return i;
}

/* Return the place of the innermost frame that two readings have in common: its callers
 * are at the same instructions in both. -1 if there is none. */
static int innermost_common(const gilx_frame *before, int before_count,
                            const gilx_frame *frames, int count) {
    int i = count - 1;
    int j = count == 0 ? -1 : place_of(&frames[i], before, before_count);
    int innermost = -1;
    for (; i >= 0 && j >= 0 && is_same_call(&frames[i], &before[j]); --i, --j) {
        innermost = i;
        if (frames[i].instruction != before[j].instruction) {
            break; /* it runs, and what it called has changed */
        }
    }
    return innermost;
}

int gilx_steady_stack(const gilx_stack_layout *layout, gilx_memory *memory,
                      uintptr_t state, gilx_frame *frames, int most, bool *inner,
                      bool *complete) {
    enum { TRIES = 8 };
    gilx_frame before[GILX_MOST_STEADY], now[GILX_MOST_STEADY];
    const int limit = most < GILX_MOST_STEADY ? most : GILX_MOST_STEADY;
    bool ends;
    int kept = 0;
    *inner = *complete = false;
    int before_count = gilx_waiting_stack(layout, memory, state, before, limit, &ends);
    for (int i = 0; i < TRIES && (kept == 0 || *inner); ++i) {
        const int count = gilx_waiting_stack(layout, memory, state, now, limit, &ends);
        const int first = innermost_common(before, before_count, now, count);
        if (first >= 0 && count - first > kept) {
            kept = count - first;
            *inner = first > 0;
            *complete = ends;
            memcpy(frames, now + first, (size_t)kept * sizeof(*frames));
        } else if (first < 0 && count == 0 && before_count == 0) {
            *complete = ends; /* it runs no Python code */
        }
        before_count = count;
        memcpy(before, now, sizeof(before));
    }
    return kept;
}
