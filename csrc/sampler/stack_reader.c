#define _POSIX_C_SOURCE 200809L

#include "stack_reader.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/clock.h"
#include "../platform/touched_memory.h"
#include "frame_words.h"

enum {
    TRIES = 4,        /* for one stack; each but the last may only locate the stack */
    FOOTPRINTS = 32,  /* threads whose stacks' places are remembered */
    MOST_AREAS = 48,  /* of memory in which the frames of one thread lie */
    MOST_CFRAMES = 4, /* 3.11 and 3.12: these move when C code calls Python code */
    GAP = 256,        /* areas that are closer together are read as one */
    PAGE = 4096,
    /* Read above the innermost frame: new frames go there. */
    ABOVE = 1024,
    HALF = GILX_MOST_COPIED / 2, /* for each of the two copies */
    /* Bytes of a frame's variables and operands that are compared. On a thread's own
     * stack what lies above a frame is the thread's as well: if it changes, Python code
     * ran. Behind a generator's frame lie other objects. */
    CONTENT = 256,
    CONTENT_OF_GENERATOR = 64,
    /* Number of frames that are enough if the whole stack does not fit. */
    LEAST_FRAMES = MOST_AREAS / 2,
};

_Static_assert(2 * (3 + MOST_CFRAMES + MOST_AREAS) <= GILX_MOST_RANGES,
               "two copies of all ranges fit into one call");
_Static_assert(sizeof(gilx_gil_struct) + (2 + MOST_CFRAMES) * sizeof(uintptr_t) <= PAGE,
               "areas may take up all of a copy but a page");

/* Owners of frames: 0 and 1 in all versions; frames between C and Python code have 3 or
 * more, which 3.11 does not use. */
enum { OWNED_BY_THREAD, OWNED_BY_GENERATOR, OWNED_BY_FRAME_OBJECT, OWNED_BY_C };

/* Memory from one address up to another. */
typedef struct {
    uintptr_t from, to;
} area;

/* Memory in which a thread's stack lay when it was last read. */
typedef struct {
    uintptr_t state; /* the thread state, 0 if this is free */
    int64_t used;    /* number of the read that used it last */
    uintptr_t cframes[MOST_CFRAMES];
    int cframe_count;
    area areas[MOST_AREAS];
    int area_count;
    bool full;         /* whether the outer frames did not fit */
    uintptr_t learned; /* the innermost frame when it was learned */
} footprint;

typedef enum {
    AT_END,     /* where a stack ends */
    TRUNCATED,  /* there are more frames than are read */
    NO_END,     /* not where a stack ends: a generator is being entered or left */
    NOT_COPIED, /* the next frame is not in the copy */
} walk_end;

typedef struct {
    int count;
    walk_end end;
    gilx_frame frames[GILX_MOST_FRAMES];
} walk;

struct gilx_stack_reader {
    uintptr_t words;       /* address of the GIL's, see gilx_gil_struct */
    const int *collecting; /* or NULL */
    gilx_gil_words holder;
    gilx_stack_layout layout;
    int64_t reads;
    footprint footprints[FOOTPRINTS];
    gilx_range ranges[GILX_MOST_RANGES];
    size_t offsets[MOST_AREAS];                  /* of the areas within one copy */
    size_t thread_start, areas_start, copy_size; /* within one copy */
    walk first, second;
    unsigned char page[PAGE];
    unsigned char copies[GILX_MOST_COPIED];
};

gilx_stack_reader *gilx_stack_reader_new(const gilx_gil_words *words,
                                         const gilx_stack_layout *layout,
                                         const int *collecting) {
    gilx_stack_reader *reader = gilx_allocate_touched(sizeof(*reader), sizeof(*reader));
    if (reader != NULL) {
        reader->words = gilx_original_words(words);
        reader->collecting = collecting;
        reader->holder = *words;
        reader->layout = *layout;
    }
    return reader;
}

void gilx_stack_reader_free(gilx_stack_reader *reader) {
    free(reader);
}

/* ---- where a stack lies ----------------------------------------------------------- */

/* Return the footprint of a thread, which replaces the one that was not used for the
 * longest time if it is new. */
static footprint *footprint_of(gilx_stack_reader *reader, uintptr_t state) {
    footprint *oldest = &reader->footprints[0];
    for (int i = 0; i < FOOTPRINTS; ++i) {
        footprint *one = &reader->footprints[i];
        if (one->state == state) {
            one->used = reader->reads;
            return one;
        }
        if (one->used < oldest->used) {
            oldest = one;
        }
    }
    *oldest = (footprint){.state = state, .used = reader->reads};
    return oldest;
}

static size_t size_of(const footprint *thread) {
    size_t size = 0;
    for (int i = 0; i < thread->area_count; ++i) {
        size += thread->areas[i].to - thread->areas[i].from;
    }
    return size;
}

/* Remember an area. Returns false if the table is full. */
static bool add_area(footprint *thread, uintptr_t from, uintptr_t to) {
    for (int i = 0; i < thread->area_count; ++i) {
        area *one = &thread->areas[i];
        if (from <= one->to + GAP && one->from <= to + GAP) {
            const uintptr_t low = from < one->from ? from : one->from;
            const uintptr_t high = to > one->to ? to : one->to;
            const size_t growth = (high - low) - (one->to - one->from);
            if (size_of(thread) + growth > HALF - PAGE) {
                return false;
            }
            *one = (area){low, high};
            return true;
        }
    }
    if (thread->area_count == MOST_AREAS || size_of(thread) + (to - from) > HALF - PAGE) {
        return false;
    }
    thread->areas[thread->area_count++] = (area){from, to};
    return true;
}

static bool may_be_frame(uintptr_t address) {
    return address != 0 && address % sizeof(uintptr_t) == 0;
}

/* Return the end of what may be read from an innermost frame on. */
static uintptr_t end_above(uintptr_t frame, uintptr_t from, uintptr_t chunk,
                           uintptr_t limit) {
    const uintptr_t wanted = from + ABOVE;
    const bool on_stack = chunk != 0 && frame > chunk && frame < limit;
    /* The next page may not be there, not even if this one ends just here. */
    const uintptr_t page_end = ((from - 1) | (PAGE - 1)) + 1;
    const uintptr_t end = on_stack ? limit : page_end;
    return wanted < end ? wanted : end;
}

/* Note the latest address of a thread's cframe, which comes first. */
static void add_cframe(footprint *thread, uintptr_t cframe) {
    int last = 0; /* the place of the one that is overwritten */
    while (last < thread->cframe_count && thread->cframes[last] != cframe) {
        ++last;
    }
    if (last == thread->cframe_count && last < MOST_CFRAMES) {
        ++thread->cframe_count;
    }
    last = last < MOST_CFRAMES ? last : MOST_CFRAMES - 1;
    for (; last > 0; --last) {
        thread->cframes[last] = thread->cframes[last - 1];
    }
    thread->cframes[0] = cframe;
}

/* Add the areas of frames, innermost first. Returns false if the table is full. */
static bool add_frames(gilx_stack_reader *reader, gilx_memory *memory, footprint *thread,
                       uintptr_t frame) {
    const gilx_stack_layout *layout = &reader->layout;
    const size_t header = (size_t)layout->locals;
    uintptr_t page = 0, page_end = 0, chunk = 0, limit = 0;
    (void)gilx_read_word(memory, thread->state, layout->chunk, &chunk);
    (void)gilx_read_word(memory, thread->state, layout->limit, &limit);
    for (int depth = 0; depth < GILX_MOST_FRAMES && may_be_frame(frame); ++depth) {
        if (page == 0 || frame < page || frame + header > page_end) {
            /* Callers are often on the same page. */
            page = frame;
            page_end = (frame | (PAGE - 1)) + 1;
            page_end = page_end < frame + header ? frame + header : page_end;
            if (!gilx_memory_read(memory, (const void *)page, reader->page,
                                  page_end - page)) {
                return true;
            }
        }
        const gilx_frame one =
            gilx_frame_in(layout, frame, reader->page + (frame - page));
        const uintptr_t end = frame + header;
        if (!add_area(thread, frame,
                      depth == 0 ? end_above(frame, end, chunk, limit) : end)) {
            return false;
        }
        frame = one.previous;
    }
    return true;
}

/* Locate the frames of a thread by following them from the innermost one. Frames may
 * change meanwhile and then not form a stack, so only their addresses are used. */
static void learn(gilx_stack_reader *reader, gilx_memory *memory, footprint *thread) {
    const gilx_stack_layout *layout = &reader->layout;
    uintptr_t frame;
    if (!gilx_read_word(memory, thread->state, layout->state_frame, &frame)) {
        return;
    }
    if (layout->cframe_frame >= 0) {
        add_cframe(thread, frame);
        if (!gilx_read_word(memory, frame, layout->cframe_frame, &frame)) {
            return;
        }
    }
    thread->learned = frame;
    thread->full = false;
    if (size_of(thread) > HALF / 2) {
        thread->area_count = 0;
    }
    if (!add_frames(reader, memory, thread, frame)) {
        thread->area_count = 0;
        thread->full = !add_frames(reader, memory, thread, frame);
    }
}

/* ---- copies ----------------------------------------------------------------------- */

/* Copy the GIL's words, that of the garbage collector, the thread state and its stack,
 * twice. Returns how many bytes
 * arrived. */
static size_t copy_twice(gilx_stack_reader *reader, gilx_memory *memory,
                         const footprint *thread) {
    const gilx_stack_layout *layout = &reader->layout;
    gilx_range *ranges = reader->ranges;
    int count = 0;
    ranges[count++] = (gilx_range){reader->words, sizeof(gilx_gil_struct)};
    reader->thread_start = sizeof(gilx_gil_struct);
    if (reader->collecting != NULL) {
        ranges[count++] = (gilx_range){(uintptr_t)reader->collecting, sizeof(int)};
        reader->thread_start += sizeof(int);
    }
    reader->areas_start = reader->thread_start;
    if (thread != NULL) {
        ranges[count++] = (gilx_range){thread->state + (uintptr_t)layout->state_frame,
                                       sizeof(uintptr_t)};
        for (int i = 0; i < thread->cframe_count; ++i) {
            ranges[count++] = (gilx_range){
                thread->cframes[i] + (uintptr_t)layout->cframe_frame, sizeof(uintptr_t)};
        }
        reader->areas_start += (size_t)(1 + thread->cframe_count) * sizeof(uintptr_t);
        size_t offset = reader->areas_start;
        for (int i = 0; i < thread->area_count; ++i) {
            const area *one = &thread->areas[i];
            ranges[count++] = (gilx_range){one->from, one->to - one->from};
            reader->offsets[i] = offset;
            offset += one->to - one->from;
        }
        reader->copy_size = offset;
    } else {
        reader->copy_size = reader->areas_start;
    }
    for (int i = 0; i < count; ++i) {
        ranges[count + i] = ranges[i];
    }
    return gilx_memory_copy(memory, ranges, 2 * count, reader->copies);
}

/* Return where a copy has memory of this size, NULL if it has not. */
static const unsigned char *find_in_copy(const gilx_stack_reader *reader,
                                         const footprint *thread, int copy,
                                         uintptr_t address, size_t size, int *hint) {
    for (int i = 0; i < thread->area_count; ++i) {
        const int number = (*hint + i) % thread->area_count;
        const area *one = &thread->areas[number];
        if (address >= one->from && address < one->to && one->to - address >= size) {
            *hint = number;
            return reader->copies + (size_t)copy * reader->copy_size +
                   reader->offsets[number] + (address - one->from);
        }
    }
    return NULL;
}

/* Follow the frames in a copy, from the innermost one. */
static void follow(const gilx_stack_reader *reader, const footprint *thread, int copy,
                   walk *stack) {
    const gilx_stack_layout *layout = &reader->layout;
    const unsigned char *start =
        reader->copies + (size_t)copy * reader->copy_size + reader->thread_start;
    uintptr_t frame = gilx_word_at(start, 0);
    stack->count = 0;
    stack->end = NOT_COPIED;
    if (layout->cframe_frame >= 0) {
        int found = -1;
        for (int i = 0; i < thread->cframe_count && found < 0; ++i) {
            found = thread->cframes[i] == frame ? i : -1;
        }
        if (found < 0) {
            return;
        }
        frame = gilx_word_at(start, (found + 1) * (int)sizeof(uintptr_t));
    }
    int hint = 0, owner = layout->end_owner;
    while (frame != 0) {
        if (stack->count == GILX_MOST_FRAMES) {
            stack->end = TRUNCATED;
            return;
        }
        const unsigned char *place =
            may_be_frame(frame)
                ? find_in_copy(reader, thread, copy, frame, (size_t)layout->locals, &hint)
                : NULL;
        if (place == NULL) {
            stack->end =
                thread->full && stack->count >= LEAST_FRAMES ? TRUNCATED : NOT_COPIED;
            return;
        }
        const gilx_frame one = gilx_frame_in(layout, frame, place);
        stack->frames[stack->count++] = one;
        frame = one.previous;
        owner = one.owner;
    }
    const bool ends = layout->end_owner == OWNED_BY_THREAD ? owner == OWNED_BY_THREAD
                                                           : owner >= layout->end_owner;
    stack->end = ends ? AT_END : NO_END;
}

/* ---- what is certain -------------------------------------------------------------- */

/* Return whether two frames are the same; an innermost one's instruction moves on. */
static bool same_frame(const gilx_frame *one, const gilx_frame *other, bool innermost) {
    return one->address == other->address && one->code == other->code &&
           one->previous == other->previous &&
           (innermost || one->instruction == other->instruction);
}

/* Return how much deeper the second stack is than the first, in *deeper. False if the
 * two have nothing in common. */
static bool compare_depths(const walk *first, const walk *second, int *deeper) {
    if (first->end == AT_END && second->end == AT_END) {
        *deeper = second->count - first->count;
        return true;
    }
    /* Not both reach to the outer end: look for a frame that both have. */
    for (int i = first->count / 2; i < first->count; ++i) {
        for (int j = 0; j < second->count; ++j) {
            if (same_frame(&first->frames[i], &second->frames[j], i == 0 || j == 0)) {
                *deeper = j - i;
                return true;
            }
        }
    }
    return false;
}

/* Return the place of the innermost frame of the first stack that is certain, -1 if
 * there is none.
 *
 * If both copies agree, or only calls or only returns came between them, or one frame has
 * changed, the first copy shows the stack at one moment. Otherwise it is used from the
 * outermost of the frames that only the first copy has: a frame that both copies have
 * called that frame, and later calls may have changed while they were copied. */
static int certain_from(const walk *first, const walk *second, bool *below) {
    int deeper;
    *below = false;
    if (!compare_depths(first, second, &deeper)) {
        return -1;
    }
    /* Frames that both have are the same up to the outer end: a frame further out that
     * differs was left meanwhile, with all frames that it had called. */
    const int in_both =
        first->count < second->count - deeper ? first->count : second->count - deeper;
    int changed = in_both; /* frames of the first that the second does not have, and */
    while (changed > 0 && changed - 1 + deeper >= 0 &&
           same_frame(&first->frames[changed - 1], &second->frames[changed - 1 + deeper],
                      changed == 1 || changed - 1 + deeper == 0)) {
        --changed;
    }
    const int new = changed + deeper; /* the other way round */
    if (changed <= 1 || new <= 0) {
        return 0;
    }
    if (changed == in_both) { /* not even the outermost one is the same */
        return -1;
    }
    *below = true;
    return changed - 1;
}

static const uint64_t NO_HASH = 0xcbf29ce484222325U;

/* Add a word to a hash, by FNV-1a in steps of eight bytes (Fowler, Noll, Vo). */
static uint64_t with_word(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x100000001b3U;
    return hash ^ hash >> 32;
}

/* Add words to a hash. */
static uint64_t with_words(uint64_t hash, const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof(word));
        hash = with_word(hash, word);
    }
    return hash;
}

/* Return how many bytes of a frame's variables and operands are to be compared. */
static size_t most_content(const gilx_frame *frame) {
    return frame->owner == OWNED_BY_THREAD ? CONTENT : CONTENT_OF_GENERATOR;
}

/* Hash what the first copy has of the variables and operands of a stack's innermost
 * frame. */
static void hash_content(const gilx_stack_reader *reader, const footprint *thread,
                         gilx_stack *stack) {
    const gilx_frame *innermost = &stack->frames[0];
    const uintptr_t start = innermost->address + (uintptr_t)reader->layout.locals;
    int hint = 0;
    /* Less of it may be there, at the end of a page or of the thread's own stack. */
    for (size_t size = most_content(innermost); size >= sizeof(uintptr_t); size /= 2) {
        const unsigned char *content =
            find_in_copy(reader, thread, 0, start, size, &hint);
        if (content != NULL) {
            stack->content = with_words(NO_HASH, content, size);
            stack->content_size = (int)size;
            return;
        }
    }
}

/* Hash where the callers of the innermost frame are, and what the first copy has of their
 * variables and operands: these lie between a frame's header and the frame that it
 * called, if both are on the thread's own stack. */
static void hash_callers(const gilx_stack_reader *reader, const footprint *thread,
                         gilx_stack *stack) {
    const uintptr_t header = (uintptr_t)reader->layout.locals;
    int hint = 0;
    for (int i = 1; i < stack->count; ++i) {
        const gilx_frame *frame = &stack->frames[i], *called = frame - 1;
        stack->path = with_word(stack->path, frame->address);
        stack->path = with_word(stack->path, frame->instruction);
        const uintptr_t start = frame->address + header;
        size_t size = most_content(frame);
        if (frame->owner == OWNED_BY_THREAD && called->owner == OWNED_BY_THREAD &&
            called->address >= start && called->address - start < size) {
            size = called->address - start;
        }
        const unsigned char *content =
            size == 0 ? NULL : find_in_copy(reader, thread, 0, start, size, &hint);
        if (content != NULL) {
            stack->outer = with_words(stack->outer, content, size);
            stack->outer_size += (int)size;
        }
    }
}

/* Keep the frames of the first copy that run Python code, from one of them on. */
static void keep_frames(const gilx_stack_reader *reader, const footprint *thread,
                        int from, bool below, gilx_stack *stack) {
    const walk *first = &reader->first;
    stack->complete = first->end == AT_END;
    for (int i = from; i < first->count; ++i) {
        const gilx_frame *one = &first->frames[i];
        /* One that is just being left has no code any more, from 3.14 on. */
        if (one->owner < OWNED_BY_C && one->code != 0) {
            stack->frames[stack->count++] = *one;
        } else if (one->owner >= OWNED_BY_C && stack->count > 0) {
            stack->frames[stack->count - 1].entered = true;
        }
    }
    if (stack->count == 0) {
        stack->state =
            first->end == AT_END && !below ? GILX_STACK_EMPTY : GILX_STACK_UNKNOWN;
    } else if (stack->frames[0].owner > OWNED_BY_GENERATOR) {
        stack->count = 0;
    } else {
        stack->state = below ? GILX_STACK_BELOW : GILX_STACK_KNOWN;
        hash_content(reader, thread, stack);
        hash_callers(reader, thread, stack);
    }
}

/* ---- the two together ------------------------------------------------------------- */

static bool same_hold(const gilx_gil_struct *words, const gilx_stack *stack) {
    return words->locked == 1 && words->holder == stack->holder &&
           words->switches == stack->switches;
}

/* Note whether the GIL is held, and by which thread, for the rest of the read. */
static void note_hold(const gilx_gil_struct *words, gilx_stack *stack) {
    stack->holder = words->holder;
    stack->switches = words->switches;
    stack->state = words->locked == 1 ? GILX_STACK_UNKNOWN : GILX_STACK_FREE;
}

/* Return whether the hold went on until the second copy. */
static bool holds_on(const gilx_stack_reader *reader, const gilx_stack *stack) {
    gilx_gil_struct words;
    memcpy(&words, reader->copies + reader->copy_size, sizeof(words));
    return same_hold(&words, stack);
}

/* Return whether garbage was collected in both copies. */
static bool is_collecting(const gilx_stack_reader *reader) {
    int first = 0, second = 0;
    if (reader->collecting != NULL) {
        const unsigned char *word = reader->copies + sizeof(gilx_gil_struct);
        memcpy(&first, word, sizeof(first));
        memcpy(&second, word + reader->copy_size, sizeof(second));
    }
    return first != 0 && second != 0;
}

/* Return whether both copies have the same innermost frame. If the GIL was released in
 * between, it was held there just before. */
static bool stands_still(const gilx_stack_reader *reader) {
    const walk *first = &reader->first, *second = &reader->second;
    return first->count > 0 && second->count > 0 &&
           same_frame(&first->frames[0], &second->frames[0], true);
}

/* Read a stack into *stack; its end_ns is left as it is. */
static void read_stack(gilx_stack_reader *reader, gilx_memory *memory,
                       gilx_stack *stack) {
    /* Most likely the holder is the last one. */
    uintptr_t state = gilx_gil_holder(&reader->holder);
    for (int i = 0; i < TRIES; ++i) {
        footprint *thread = state == 0 ? NULL : footprint_of(reader, state);
        if (i == 0) {
            stack->at_ns = gilx_now_ns();
        }
        const size_t arrived = copy_twice(reader, memory, thread);
        gilx_gil_struct words;
        if (arrived < sizeof(words)) {
            /* Nothing can be copied at all, but the words can be read. */
            words = (gilx_gil_struct){.locked = gilx_gil_locked(&reader->holder),
                                      .holder = gilx_gil_holder(&reader->holder),
                                      .switches = gilx_gil_switches(&reader->holder)};
        } else {
            memcpy(&words, reader->copies, sizeof(words));
        }
        if (i == 0) {
            note_hold(&words, stack);
        }
        if (!same_hold(&words, stack) || arrived < sizeof(words)) {
            return;
        }
        if (words.holder != state) {
            state = words.holder;
            continue;
        }
        if (thread == NULL) {
            return;
        }
        if (arrived < 2 * reader->copy_size) {
            /* Some memory is not there any more, and likely other memory near it. */
            *thread = (footprint){.state = state, .used = reader->reads};
            learn(reader, memory, thread);
            continue;
        }
        stack->collecting = is_collecting(reader);
        follow(reader, thread, 0, &reader->first);
        follow(reader, thread, 1, &reader->second);
        const walk_end end = reader->first.end, second_end = reader->second.end;
        if (end == NOT_COPIED || second_end == NOT_COPIED) {
            learn(reader, memory, thread);
            continue;
        }
        if ((end == NO_END || second_end == NO_END) && i + 1 < TRIES) {
            continue;
        }
        bool below;
        const int from = certain_from(&reader->first, &reader->second, &below);
        if (from >= 0 && (holds_on(reader, stack) || stands_still(reader))) {
            keep_frames(reader, thread, from, below, stack);
        }
        if (stack->count > 0 && !below &&
            (size_t)stack->content_size < most_content(&stack->frames[0]) &&
            thread->learned != reader->first.frames[0].address) {
            /* More of the frame's variables may be there: note that for the next read. */
            learn(reader, memory, thread);
        }
        return;
    }
}

void gilx_stack_read(gilx_stack_reader *reader, gilx_memory *memory, gilx_stack *stack) {
    ++reader->reads;
    stack->state = GILX_STACK_UNKNOWN;
    stack->count = stack->content_size = stack->outer_size = 0;
    stack->complete = stack->collecting = false;
    stack->content = stack->outer = stack->path = NO_HASH;
    read_stack(reader, memory, stack);
    stack->end_ns = gilx_now_ns();
}

bool gilx_stack_stands(gilx_stack_reader *reader, gilx_memory *memory,
                       const gilx_stack *stack) {
    const gilx_stack_layout *layout = &reader->layout;
    if (stack->count == 0) {
        return false;
    }
    const gilx_frame *innermost = &stack->frames[0];
    const size_t size = (size_t)stack->content_size, header = (size_t)layout->locals;
    const gilx_range ranges[] = {
        {reader->words, sizeof(gilx_gil_struct)},
        {innermost->address, header + size},
    };
    unsigned char *copy = reader->copies;
    if (gilx_memory_copy(memory, ranges, 2, copy) != ranges[0].size + ranges[1].size) {
        return false;
    }
    gilx_gil_struct words;
    memcpy(&words, copy, sizeof(words));
    copy += sizeof(words);
    const gilx_frame now = gilx_frame_in(layout, innermost->address, copy);
    return same_hold(&words, stack) && same_frame(&now, innermost, false) &&
           (size == 0 || with_words(NO_HASH, copy + header, size) == stack->content);
}
