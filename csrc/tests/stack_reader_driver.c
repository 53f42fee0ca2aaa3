/* Reads stacks of a made-up program that moves on while they are read.
 *
 *     stack_reader_driver [SAMPLES [SEED]]
 *
 * takes so many samples of each version of CPython at each of a few speeds.
 *
 * The program has threads that take turns at holding a GIL. They call and return, advance
 * by instructions, enter and leave generators, and call Python code from C code, by the
 * layout of each version of CPython; memory of frames that were left is overwritten or
 * unmapped. Between any two pieces of memory that the reader copies, the program takes
 * steps, each a single store, as often as the round's speed says.
 *
 * Exit status 0 if each stack that stood still was read exactly; if a GIL that was free
 * never counted as held, nor the other way round; if no innermost frame was wrong that
 * was read across at most one call or return, and few of those that were read across
 * many; and if the reader coped with all garbage. Prints how many were wrong.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/random.h"
#include "../sampler/safe_memory.h"

static size_t copy_while_it_runs(gilx_memory *memory, const gilx_range *ranges, int count,
                                 void *to);
static bool read_while_it_runs(gilx_memory *memory, const void *from, void *to,
                               size_t size);

#define gilx_memory_copy copy_while_it_runs
#define gilx_memory_read read_while_it_runs
#include "../sampler/stack_reader.c"
#undef gilx_memory_copy
#undef gilx_memory_read

enum {
    MOST_THREADS = 40, /* more than the reader has footprints for */
    MOST_DEPTH = 400,  /* more than the reader reads */
    GENERATORS = 100,  /* more than the reader has areas for */
    CODES = 12,        /* few, so that functions are often called again at one address */
    UNITS = 16,        /* of the instructions of each */
    CODE_SIZE = 512,

    STATE_SIZE = 1024, /* of a thread state, with its outermost cframe or frame */
    ROOT = 512,        /* the place of that */
    C_STACK_SIZE = 2 * PAGE,
    CHUNK_SIZE = 2 * PAGE,
    CHUNKS = 80,
    MOST_CHUNKS = 32, /* of one thread */
    GENERATOR_SIZE = 400,
    GENERATORS_ON_PAGE = PAGE / GENERATOR_SIZE,

    STATES_AT = PAGE, /* the GIL is on the first page */
    C_STACKS_AT = STATES_AT + MOST_THREADS * STATE_SIZE,
    CHUNKS_AT = C_STACKS_AT + MOST_THREADS * C_STACK_SIZE,
    GENERATORS_AT = CHUNKS_AT + CHUNKS * CHUNK_SIZE,
    PAGES = GENERATORS_AT / PAGE + GENERATORS / GENERATORS_ON_PAGE + 1,

    MOST_STEPS = 32,   /* of one thing that the program does */
    MOST_LOG = 200000, /* innermost frames within one sample */
    MOST_CALLS = 6000, /* of the reader to copy memory, for one sample */
};

/* ---- the program ------------------------------------------------------------------ */

/* The identity of a frame: its place, its code and its instruction. */
typedef struct {
    uintptr_t address, code, instruction;
} spot;

typedef enum { CALLED, GENERATOR, ENTRY } frame_kind;

typedef struct {
    spot spot;
    frame_kind kind;
    bool cleared;   /* it is being left, and has no code any more */
    bool new_chunk; /* it is the first one in its chunk */
    int generator;
    uintptr_t size;       /* on the thread's own stack */
    uintptr_t c_size;     /* on the C stack, of what was put there to call it */
    uintptr_t old_cframe; /* to go back to, 0 if it has no cframe of its own */
} frame;

typedef struct {
    uintptr_t state, cframe;
    uintptr_t c_top; /* the C stack grows downwards */
    int chunks[MOST_CHUNKS], chunk_count;
    uintptr_t top, limit;
    int depth;
    frame frames[MOST_DEPTH]; /* the outermost one comes first */

    /* Since the sample began: */
    uint64_t changed_in;    /* the sample in which the rest was set */
    int first_depth, least; /* depth at its beginning, and the least one since */
    spot first_spots[MOST_DEPTH];
    spot first_innermost;
} thread;

typedef enum {
    STORE,
    STORE_BYTE,
    PUSH,    /* note new frames, from then on the innermost ones */
    POP,     /* note the caller of the innermost frame as that */
    CLEAR,   /* take the innermost frame's code from it */
    ADVANCE, /* set its instruction */
    UNMAP,   /* a chunk, or a page of generators */
} step_kind;

typedef struct {
    step_kind kind;
    uintptr_t to;
    uint64_t value;
    frame new[2]; /* of a PUSH: an entry, perhaps, and a frame */
    int count;
    uintptr_t cframe; /* of a PUSH: the one that it makes the current one */
} step;

typedef struct {
    spot spot;
    int thread;
} log_entry;

static struct {
    gilx_stack_layout layout;
    int version; /* minor */
    bool garbage;
    thread threads[MOST_THREADS];
    int thread_count, running; /* the thread that holds the GIL or held it last */
    int aim;                   /* depth that the threads are near to */
    bool chunk_used[CHUNKS];
    struct {
        bool running;
        uintptr_t code, instruction;
    } generators[GENERATORS];
    step steps[MOST_STEPS];
    int step_count, next_step;
    bool changes_stack; /* whether these steps do */
} world;

static struct {
    uint64_t number, calls;
    bool begun;
    int locked;  /* the word, when it was copied first */
    int changes; /* calls and returns that took a step meanwhile */
    int logged;
} sample;

static log_entry sample_log[MOST_LOG];
static uint64_t steps_per_256; /* steps that are taken in 256 pieces of memory */
static uint64_t seed, random_state;
static bool unreadable; /* whether nothing can be copied */
static bool mapped[PAGES];
static alignas(PAGE) unsigned char arena[PAGES * PAGE];

static uint64_t draw(uint64_t below) {
    return gilx_split_mix(&random_state) % below;
}

static bool one_in(uint64_t count) {
    return draw(count) == 0;
}

static void expect(bool truth, const char *what) {
    if (!truth) {
        (void)fprintf(stderr,
                      "stack_reader_driver: sample %llu of seed %llu, 3.%d, not so: %s\n",
                      (unsigned long long)sample.number, (unsigned long long)seed,
                      world.version, what);
        exit(1);
    }
}

static gilx_gil_struct *gil(void) {
    return (gilx_gil_struct *)arena;
}

/* Return the address of a place in the program's memory: the same one in each run, so
 * that all runs are alike. */
static uintptr_t arena_at(uintptr_t place) {
    return 0x7e0000000000 + place;
}

static void store(uintptr_t to, uint64_t value) {
    expect(to >= arena_at(0) && to + sizeof(value) <= arena_at(sizeof(arena)),
           "the program stays within its memory");
    memcpy(arena + (to - arena_at(0)), &value, sizeof(value));
}

static void map(uintptr_t from, uintptr_t size, bool there) {
    for (uintptr_t at = from; at < from + size; at += PAGE) {
        mapped[(at - arena_at(0)) / PAGE] = there;
    }
}

static uintptr_t code_at(uint64_t number) {
    return 0x500000000000 + number * CODE_SIZE;
}

static uintptr_t instruction_in(uintptr_t code) {
    return code + (uintptr_t)world.layout.instructions + 2 * draw(UNITS);
}

static uintptr_t any_word(void) {
    return one_in(3)   ? gilx_split_mix(&random_state)
           : one_in(4) ? code_at(draw(CODES))
           : one_in(2) ? arena_at(draw(sizeof(arena)))
                       : arena_at(draw(sizeof(arena) / 8) * 8);
}

static uintptr_t generator_at(int number) {
    return arena_at((uintptr_t)(GENERATORS_AT + number / GENERATORS_ON_PAGE * PAGE +
                                number % GENERATORS_ON_PAGE * GENERATOR_SIZE));
}

/* ---- what is true ----------------------------------------------------------------- */

static bool same_spot(const spot *one, const spot *other) {
    return one->address == other->address && one->code == other->code &&
           one->instruction == other->instruction;
}

/* Return the innermost frame that runs Python code, all 0 if there is none. */
static spot innermost_of(const thread *any) {
    for (int i = any->depth - 1; i >= 0; --i) {
        if (any->frames[i].kind != ENTRY && !any->frames[i].cleared) {
            return any->frames[i].spot;
        }
    }
    return (spot){0};
}

static thread *running(void) {
    return &world.threads[world.running];
}

/* Keep what a thread's stack was when the sample began. */
static void before_change(thread *any) {
    if (any->changed_in == sample.number) {
        return;
    }
    any->changed_in = sample.number;
    any->first_depth = any->least = any->depth;
    for (int i = 0; i < any->depth; ++i) {
        any->first_spots[i] = any->frames[i].spot;
    }
    any->first_innermost = innermost_of(any);
}

static void after_change(thread *any) {
    any->least = any->depth < any->least ? any->depth : any->least;
    expect(sample.logged < MOST_LOG, "the log is long enough");
    sample_log[sample.logged++] =
        (log_entry){innermost_of(any), (int)(any - world.threads)};
}

static bool was_innermost(thread *any, const spot *wanted) {
    before_change(any);
    bool was = same_spot(&any->first_innermost, wanted);
    for (int i = 0; i < sample.logged && !was; ++i) {
        was = &world.threads[sample_log[i].thread] == any &&
              same_spot(&sample_log[i].spot, wanted);
    }
    return was;
}

static bool was_on_stack(thread *any, const spot *wanted) {
    bool was = was_innermost(any, wanted);
    for (int i = 0; i < any->first_depth && !was; ++i) {
        was = same_spot(&any->first_spots[i], wanted);
    }
    return was;
}

static bool was_there_throughout(thread *any, const spot *wanted) {
    before_change(any);
    bool was = false;
    for (int i = 0; i < any->least && !was; ++i) {
        was = any->first_spots[i].address == wanted->address &&
              any->first_spots[i].code == wanted->code;
    }
    return was;
}

/* ---- what it does ----------------------------------------------------------------- */

static step *add_step(step_kind kind, uintptr_t to, uint64_t value) {
    expect(world.step_count < MOST_STEPS, "there is capacity for all steps");
    step *new = &world.steps[world.step_count++];
    *new = (step){.kind = kind, .to = to, .value = value};
    return new;
}

/* Return where a thread's innermost frame is noted. */
static uintptr_t pointer_of(const thread *any) {
    return world.layout.cframe_frame < 0
               ? any->state + (uintptr_t)world.layout.state_frame
               : any->cframe + (uintptr_t)world.layout.cframe_frame;
}

/* Return the value that is noted there while no Python code runs. */
static uintptr_t outermost_of(const thread *any) {
    return world.version >= 15 ? any->state + ROOT : 0;
}

static uintptr_t current_of(const thread *any) {
    return any->depth > 0 ? any->frames[any->depth - 1].spot.address : outermost_of(any);
}

static void fill_frame(const frame *new, uintptr_t previous, uint8_t owner) {
    const gilx_stack_layout *layout = &world.layout;
    const uintptr_t address = new->spot.address;
    add_step(STORE, address + (uintptr_t)layout->code,
             new->spot.code | (draw(4) & (uint64_t)layout->tag));
    add_step(STORE, address + (uintptr_t)layout->previous, previous);
    add_step(STORE, address + (uintptr_t)layout->instr, new->spot.instruction);
    add_step(STORE_BYTE, address + (uintptr_t)layout->owner, owner);
    add_step(STORE, address + (uintptr_t)layout->locals, any_word());
}

static spot any_function(uintptr_t address) {
    const uintptr_t code = code_at(draw(CODES));
    return (spot){address, code, instruction_in(code)};
}

static void note_chunk(const thread *any) {
    const gilx_stack_layout *layout = &world.layout;
    const int last = any->chunk_count - 1;
    const uintptr_t start =
        last < 0 ? 0 : arena_at((uintptr_t)(CHUNKS_AT + any->chunks[last] * CHUNK_SIZE));
    add_step(STORE, any->state + (uintptr_t)layout->chunk, start);
    add_step(STORE, any->state + (uintptr_t)layout->limit, any->limit);
}

/* Place a frame on a thread's own stack. Returns false if memory runs out. */
static bool place_frame(thread *any, frame *new) {
    new->size = (uintptr_t)world.layout.locals + 8 * (1 + draw(one_in(10) ? 100 : 12));
    new->new_chunk = any->top + new->size > any->limit;
    if (new->new_chunk) {
        int chunk = 0;
        while (chunk < CHUNKS && world.chunk_used[chunk]) {
            ++chunk;
        }
        if (chunk == CHUNKS || any->chunk_count == MOST_CHUNKS) {
            return false;
        }
        world.chunk_used[chunk] = true;
        any->chunks[any->chunk_count++] = chunk;
        const uintptr_t start = arena_at((uintptr_t)(CHUNKS_AT + chunk * CHUNK_SIZE));
        map(start, CHUNK_SIZE, true);
        any->top = start + 3 * sizeof(uintptr_t);
        any->limit = start + CHUNK_SIZE;
        note_chunk(any);
    }
    new->spot = any_function(any->top);
    new->kind = CALLED;
    any->top += new->size;
    add_step(STORE, any->state + (uintptr_t)world.layout.top, any->top);
    return true;
}

static bool place_generator(frame *new) {
    const int number = (int)draw(GENERATORS);
    if (world.generators[number].running) {
        return false;
    }
    const uintptr_t address = generator_at(number);
    world.generators[number].running = true;
    if (world.generators[number].code == 0) {
        map(address & ~(uintptr_t)(PAGE - 1), PAGE, true);
        const spot function = any_function(address);
        world.generators[number].code = function.code;
        world.generators[number].instruction = function.instruction;
    }
    *new = (frame){.spot = {address, world.generators[number].code,
                            world.generators[number].instruction},
                   .kind = GENERATOR,
                   .generator = number};
    return true;
}

/* Call a function or enter a generator, from Python code or from C code. */
static void call(bool generator, bool from_c) {
    thread *any = running();
    const gilx_stack_layout *layout = &world.layout;
    const uintptr_t least =
        arena_at((uintptr_t)(C_STACKS_AT + world.running * C_STACK_SIZE + PAGE / 4));
    frame new = {.generator = -1}, entry = {.kind = ENTRY};
    if (any->depth + 2 > MOST_DEPTH || any->c_top < least ||
        !(generator ? place_generator(&new) : place_frame(any, &new))) {
        return;
    }
    uintptr_t previous = current_of(any), cframe = any->cframe, c_top = any->c_top;
    uintptr_t old_cframe = 0;
    if (from_c && layout->cframe_frame >= 0) {
        old_cframe = cframe;
        c_top -= 8 * (3 + draw(8));
        cframe = c_top;
    }
    const bool has_entry = from_c && layout->end_owner == OWNED_BY_C;
    if (has_entry) {
        c_top -= (uintptr_t)layout->locals + 8 * (1 + draw(16));
        entry.spot = any_function(c_top);
        fill_frame(&entry, previous, OWNED_BY_C);
        previous = c_top;
    }
    fill_frame(&new, previous, generator ? OWNED_BY_GENERATOR : OWNED_BY_THREAD);
    frame *outer = has_entry ? &entry : &new;
    outer->c_size = any->c_top - c_top;
    outer->old_cframe = old_cframe;
    any->c_top = c_top;
    step *push = add_step(PUSH, 0, 0);
    if (has_entry) {
        push->new[push->count++] = entry;
    }
    push->new[push->count++] = new;
    push->cframe = cframe;
    world.changes_stack = true;
}

/* Return from the innermost function, or leave the innermost generator. */
static void leave(void) {
    thread *any = running();
    const gilx_stack_layout *layout = &world.layout;
    if (any->depth == 0) {
        return;
    }
    const frame *left = &any->frames[any->depth - 1];
    if (layout->tag != 0 && left->kind == CALLED) {
        add_step(CLEAR, left->spot.address + (uintptr_t)layout->code, draw(4));
    }
    add_step(POP, 0, 0);
    if (left->kind == GENERATOR) {
        add_step(STORE, left->spot.address + (uintptr_t)layout->previous, 0);
        world.generators[left->generator].running = false;
        world.generators[left->generator].instruction = left->spot.instruction;
    } else if (left->kind == CALLED && left->new_chunk) {
        const int chunk = any->chunks[--any->chunk_count];
        world.chunk_used[chunk] = false;
        any->limit =
            any->chunk_count == 0
                ? 0
                : arena_at((uintptr_t)(CHUNKS_AT + CHUNK_SIZE +
                                       any->chunks[any->chunk_count - 1] * CHUNK_SIZE));
        int below = any->depth - 2; /* the frame before it on the thread's own stack */
        while (below >= 0 && any->frames[below].kind != CALLED) {
            --below;
        }
        const frame *last = &any->frames[below < 0 ? 0 : below];
        any->top = below < 0 ? 0 : last->spot.address + last->size;
        note_chunk(any);
        if (one_in(2)) {
            add_step(UNMAP, arena_at((uintptr_t)(CHUNKS_AT + chunk * CHUNK_SIZE)), 0);
        }
    } else if (left->kind == CALLED) {
        any->top = left->spot.address;
    }
    add_step(STORE, any->state + (uintptr_t)layout->top, any->top);
    any->c_top += left->c_size;
    world.changes_stack = true;
}

/* Overwrite a generator that is not running; perhaps all memory around it goes. */
static void free_generator(void) {
    const int number = (int)draw(GENERATORS);
    const int first = number / GENERATORS_ON_PAGE * GENERATORS_ON_PAGE;
    if (world.generators[number].running || world.generators[number].code == 0) {
        return;
    }
    world.generators[number].code = 0;
    const uintptr_t address = generator_at(number);
    for (int i = 0; i < 8; ++i) {
        const uintptr_t to = address + 8 * draw(GENERATOR_SIZE / 8);
        add_step(STORE, to, any_word());
    }
    bool others = false;
    for (int i = first; i < first + GENERATORS_ON_PAGE && i < GENERATORS; ++i) {
        others = others || world.generators[i].code != 0;
    }
    if (!others) {
        add_step(UNMAP, address & ~(uintptr_t)(PAGE - 1), 1);
    }
}

/* Release the GIL, and have a thread take it, perhaps the same one. Nothing else happens
 * meanwhile. */
static void hand_over(void) {
    const uintptr_t words = arena_at(0);
    const int next = one_in(3) ? world.running : (int)draw((uint64_t)world.thread_count);
    int locked = 0;
    uint64_t word = 0; /* `locked` and what fills up the word */
    memcpy(&word, &locked, sizeof(locked));
    add_step(STORE, words + offsetof(gilx_gil_struct, locked), word);
    locked = 1;
    memcpy(&word, &locked, sizeof(locked));
    add_step(STORE, words + offsetof(gilx_gil_struct, locked), word);
    if (next != world.running) {
        add_step(STORE, words + offsetof(gilx_gil_struct, holder),
                 world.threads[next].state);
        add_step(STORE, words + offsetof(gilx_gil_struct, switches), gil()->switches + 1);
    }
    world.running = next;
}

/* Decide what the program does next. */
static void plan(void) {
    thread *any = running();
    const gilx_stack_layout *layout = &world.layout;
    world.step_count = world.next_step = 0;
    world.changes_stack = false;
    const bool top_is_entry = any->depth > 0 && any->frames[any->depth - 1].kind == ENTRY;
    if (top_is_entry) { /* it is left at once */
        leave();
    } else if (one_in(300)) {
        hand_over();
    } else if (any->depth == 0) {
        call(false, true);
    } else if (one_in(5)) {
        const spot *innermost = &any->frames[any->depth - 1].spot;
        add_step(ADVANCE, 0, instruction_in(innermost->code));
    } else if (one_in(8)) {
        add_step(STORE,
                 any->frames[any->depth - 1].spot.address + (uintptr_t)layout->locals,
                 any_word());
    } else if (one_in(30)) {
        free_generator();
    } else if (draw(100) < (any->depth < world.aim ? 60U : 40U)) {
        const bool generator = one_in(world.aim > 100 ? 20 : 6);
        call(generator, one_in(10));
    } else {
        leave();
    }
}

/* Take the next step: a single store, and what is true from then on. */
static void take_step(void) {
    if (world.next_step == world.step_count) {
        plan();
        return;
    }
    const step *now = &world.steps[world.next_step++];
    thread *any = running();
    if (world.changes_stack && world.next_step == 1) {
        ++sample.changes;
    }
    frame *innermost = any->depth > 0 ? &any->frames[any->depth - 1] : NULL;
    switch (now->kind) {
    case STORE:
        store(now->to, now->value);
        break;
    case STORE_BYTE:
        arena[now->to - arena_at(0)] = (unsigned char)now->value;
        break;
    case PUSH:
        before_change(any);
        for (int i = 0; i < now->count; ++i) {
            any->frames[any->depth++] = now->new[i];
        }
        if (any->cframe != now->cframe) {
            any->cframe = now->cframe;
            store(any->state + (uintptr_t)world.layout.state_frame, any->cframe);
        }
        store(pointer_of(any), current_of(any));
        after_change(any);
        break;
    case POP: {
        before_change(any);
        const uintptr_t cframe = innermost->old_cframe;
        --any->depth;
        store(pointer_of(any), current_of(any));
        if (cframe != 0) {
            any->cframe = cframe;
            store(any->state + (uintptr_t)world.layout.state_frame, cframe);
        }
        after_change(any);
        break;
    }
    case CLEAR:
        before_change(any);
        innermost->cleared = true;
        store(now->to, now->value);
        after_change(any);
        break;
    case ADVANCE:
        before_change(any);
        innermost->spot.instruction = now->value;
        store(innermost->spot.address + (uintptr_t)world.layout.instr, now->value);
        after_change(any);
        break;
    case UNMAP:
        map(now->to, now->value != 0 ? PAGE : CHUNK_SIZE, false);
        break;
    }
}

/* Run the program until it is between two things that it does. */
static void come_to_rest(void) {
    while (world.next_step < world.step_count) {
        take_step();
    }
}

/* ---- reading it ------------------------------------------------------------------- */

static void run_for_a_while(void) {
    uint64_t steps = steps_per_256 / 256;
    steps += draw(256) < steps_per_256 % 256;
    while (steps-- > 0) {
        if (world.garbage) {
            const uintptr_t to = arena_at(draw(sizeof(arena) / 8) * 8);
            store(to, any_word());
        } else {
            take_step();
        }
    }
}

/* Copy memory in pieces, up to one that is not there. Returns how many bytes arrived. */
static size_t copy_pieces(uintptr_t from, size_t size, unsigned char *to) {
    /* Of the GIL's words the reader has the true addresses. */
    const uintptr_t start = from == (uintptr_t)gil() ? from : arena_at(0);
    size_t done = 0;
    while (done < size) {
        const uintptr_t place = from + done - start;
        run_for_a_while();
        if (place >= sizeof(arena) || !mapped[place / PAGE]) {
            break;
        }
        size_t piece = 8 * (1 + draw(16));
        piece = piece < size - done ? piece : size - done;
        piece = piece < PAGE - place % PAGE ? piece : PAGE - place % PAGE;
        memcpy(to + done, arena + place, piece);
        done += piece;
    }
    return done;
}

static size_t copy_while_it_runs(gilx_memory *memory, const gilx_range *ranges, int count,
                                 void *to) {
    (void)memory;
    expect(++sample.calls < MOST_CALLS, "it comes to an end");
    expect(count <= GILX_MOST_RANGES, "there are not too many ranges");
    size_t asked = 0, done = 0;
    for (int i = 0; i < count; ++i) {
        expect(ranges[i].size <= GILX_MOST_COPIED - asked, "nor too many bytes");
        asked += ranges[i].size;
    }
    if (unreadable) {
        return 0;
    }
    for (int i = 0; i < count; ++i) {
        const size_t got =
            copy_pieces(ranges[i].from, ranges[i].size, (unsigned char *)to + done);
        if (!sample.begun) {
            sample.begun = true;
            memcpy(&sample.locked, (char *)to + offsetof(gilx_gil_struct, locked),
                   sizeof(sample.locked));
        }
        if (got < ranges[i].size) {
            /* The part of it that is there may have arrived, too. */
            return done + (one_in(2) ? got : 0);
        }
        done += got;
    }
    return done;
}

static bool read_while_it_runs(gilx_memory *memory, const void *from, void *to,
                               size_t size) {
    const gilx_range range = {(uintptr_t)from, size};
    expect(size <= GILX_MOST_READ, "it can be read at once");
    return copy_while_it_runs(memory, &range, 1, to) == size;
}

/* ---- rounds ----------------------------------------------------------------------- */

/* How a sample compares with what is true. A frame that was read is right if it was the
 * innermost one, or one that is said to have called that was on the stack, at some moment
 * of the sample. */
typedef enum {
    FREE,
    RIGHT,
    BELOW,          /* right, and on the stack throughout */
    BELOW_AT_TIMES, /* right, but not throughout */
    ODD,            /* wrong, as its code shows, so that its site will not be known */
    UNKNOWN,
    WRONG,
    NEARLY_STILL, /* also: at most one call or return came in between */
    OUTCOMES,
} outcome;

/* Return whether code that was read is not the program's. */
static bool is_odd(const spot *found) {
    const uintptr_t place = found->code - code_at(0);
    const uintptr_t unit =
        found->instruction - found->code - (uintptr_t)world.layout.instructions;
    return place >= CODES * CODE_SIZE || place % CODE_SIZE != 0 || unit % 2 != 0 ||
           unit / 2 >= UNITS;
}

static thread *thread_of(uintptr_t state) {
    for (int i = 0; i < world.thread_count; ++i) {
        if (world.threads[i].state == state) {
            return &world.threads[i];
        }
    }
    expect(false, "the holder is a thread");
    return NULL;
}

static void begin_sample(void) {
    const uint64_t number = sample.number + 1;
    memset(&sample, 0, sizeof(sample));
    sample.number = number;
    sample.changes = world.changes_stack && world.next_step < world.step_count;
}

static outcome judge(const gilx_stack *stack) {
    expect(stack->at_ns <= stack->end_ns, "it was read in between");
    expect(stack->count >= 0 && stack->count <= GILX_MOST_FRAMES, "frames are counted");
    expect((stack->state == GILX_STACK_FREE) == (sample.locked != 1),
           "it is free if it was so at first");
    if (stack->state == GILX_STACK_FREE) {
        return FREE;
    }
    thread *holder = thread_of(stack->holder);
    if (stack->state == GILX_STACK_UNKNOWN) {
        return UNKNOWN;
    }
    spot found = {0};
    expect((stack->count == 0) == (stack->state == GILX_STACK_EMPTY),
           "there are frames unless it is empty");
    if (stack->count > 0) {
        const gilx_frame *innermost = &stack->frames[0];
        found = (spot){innermost->address, innermost->code, innermost->instruction};
        if (is_odd(&found)) {
            return ODD;
        }
    }
    if (stack->state != GILX_STACK_BELOW) {
        return was_innermost(holder, &found) ? RIGHT : WRONG;
    }
    return !was_on_stack(holder, &found)          ? WRONG
           : was_there_throughout(holder, &found) ? BELOW
                                                  : BELOW_AT_TIMES;
}

/* Read a stack that stands still: it must be exactly right. */
static void read_at_rest(gilx_stack_reader *reader) {
    static gilx_stack stack;
    const uint64_t speed = steps_per_256;
    come_to_rest();
    steps_per_256 = 0;
    begin_sample();
    gilx_stack_read(reader, NULL, &stack);
    thread *holder = running();
    spot innermost = innermost_of(holder);
    expect(stack.holder == holder->state && stack.switches == gil()->switches,
           "the holder is right");
    if (innermost.address == 0) {
        expect(stack.state == GILX_STACK_EMPTY, "it is empty");
        steps_per_256 = speed;
        return;
    }
    expect(stack.state == GILX_STACK_KNOWN, "the stack is known");
    int count = 0;
    for (int i = holder->depth - 1; i >= 0 && count < stack.count; --i) {
        const frame *one = &holder->frames[i];
        if (one->kind != ENTRY) {
            const gilx_frame *read = &stack.frames[count++];
            const spot found = {read->address, read->code, read->instruction};
            expect(same_spot(&found, &one->spot), "each frame is as it is");
            expect(read->owner == (one->kind == GENERATOR), "and has its owner");
        }
    }
    expect(count == stack.count, "there are no others");
    int all = 0;
    for (int i = 0; i < holder->depth; ++i) {
        all += holder->frames[i].kind != ENTRY;
    }
    expect(stack.complete ? count == all : count >= LEAST_FRAMES / 2,
           "and none is missing, unless there are too many");

    /* It stands until something changes, and again when that is as it was. */
    expect(gilx_stack_stands(reader, NULL, &stack), "it stands");
    const gilx_stack_layout *layout = &world.layout;
    const uintptr_t places[] = {
        innermost.address + (uintptr_t)layout->instr,
        innermost.address + (uintptr_t)layout->locals,
        arena_at(offsetof(gilx_gil_struct, locked)),
        arena_at(offsetof(gilx_gil_struct, switches)),
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); ++i) {
        uint64_t word;
        memcpy(&word, arena + (places[i] - arena_at(0)), sizeof(word));
        store(places[i], word ^ 2);
        expect((i == 1 && stack.content_size == 0) ||
                   !gilx_stack_stands(reader, NULL, &stack),
               "it does not once something has changed");
        store(places[i], word);
    }
    expect(gilx_stack_stands(reader, NULL, &stack), "it stands again");

    unreadable = true;
    gilx_stack_read(reader, NULL, &stack);
    expect(stack.state == GILX_STACK_UNKNOWN && stack.holder == holder->state,
           "it is held where nothing can be read");
    expect(!gilx_stack_stands(reader, NULL, &stack), "and does not stand");
    gil()->locked = 0;
    gilx_stack_read(reader, NULL, &stack);
    expect(stack.state == GILX_STACK_FREE, "and free if it is free");
    gil()->locked = 1;
    unreadable = false;
    steps_per_256 = speed;
}

static void lay_out(int version, uint64_t speed) {
    memset(&world, 0, sizeof(world));
    memset(mapped, 0, sizeof(mapped));
    memset(mapped, 1, CHUNKS_AT / PAGE);
    steps_per_256 = speed;
    world.version = version;
    world.layout = *gilx_stack_layout_of(
        gilx_layout_of(0x03000000U | (uint64_t)version << 16 | 0xf0), false);
    world.thread_count = one_in(4) ? MOST_THREADS : 1 + (int)draw(4);
    world.aim = one_in(4) ? 350 : one_in(3) ? 60 : 2 + (int)draw(12);
    for (uintptr_t at = 0; at < sizeof(arena); at += 8) {
        store(arena_at(at), any_word());
    }
    for (int i = 0; i < world.thread_count; ++i) {
        thread *any = &world.threads[i];
        any->state = arena_at((uintptr_t)(STATES_AT + i * STATE_SIZE));
        any->c_top = arena_at((uintptr_t)(C_STACKS_AT + (i + 1) * C_STACK_SIZE));
        store(any->state + (uintptr_t)world.layout.chunk, 0);
        store(any->state + (uintptr_t)world.layout.limit, 0);
        if (world.layout.cframe_frame >= 0) {
            any->cframe = any->state + ROOT;
            store(any->state + (uintptr_t)world.layout.state_frame, any->cframe);
        }
        store(pointer_of(any), outermost_of(any));
        if (outermost_of(any) != 0) {
            const frame root = {.spot = any_function(outermost_of(any))};
            fill_frame(&root, 0, OWNED_BY_C);
            come_to_rest();
            world.step_count = world.next_step = 0;
        }
    }
    *gil() = (gilx_gil_struct){.interval = 5000,
                               .holder = world.threads[0].state,
                               .locked = 1,
                               .switches = draw(1000)};
}

static gilx_stack_reader *new_reader(void) {
    const gilx_gil_words words = {.interval = &gil()->interval,
                                  .holder = &gil()->holder,
                                  .locked = &gil()->locked,
                                  .switches = &gil()->switches};
    gilx_stack_reader *reader = gilx_stack_reader_new(&words, &world.layout, NULL);
    expect(reader != NULL, "there is memory for a reader");
    return reader;
}

enum {
    FIRST_VERSION = 11,
    LAST_VERSION = 15,
    SAMPLES_OF_A_ROUND = 100,
    /* Of the samples at one speed, so many may be wrong, in percent. */
    MOST_WRONG = 1,
    /* And so many are known at the least speed, at which few of them change. */
    LEAST_KNOWN = 95,
};

/* Read a program that moves at some speed, in many rounds. */
static void read_program(int version, uint64_t speed, uint64_t samples,
                         uint64_t outcomes[OUTCOMES]) {
    static gilx_stack stack;
    while (samples > 0) {
        lay_out(version, speed);
        gilx_stack_reader *reader = new_reader();
        for (int i = 0; i < SAMPLES_OF_A_ROUND && samples > 0; ++i, --samples) {
            for (uint64_t steps = draw(one_in(10) ? 5000 : 200); steps > 0; --steps) {
                take_step();
            }
            if (one_in(5)) {
                read_at_rest(reader);
            }
            begin_sample();
            gilx_stack_read(reader, NULL, &stack);
            const outcome found = judge(&stack);
            ++outcomes[found];
            outcomes[NEARLY_STILL] += sample.changes <= 1;
            expect(found != WRONG || sample.changes > 1,
                   "nothing is wrong if at most one call or return came in between");
        }
        gilx_stack_reader_free(reader);
    }
}

static void read_programs(uint64_t speed, uint64_t samples) {
    uint64_t of[OUTCOMES] = {0};
    for (int version = FIRST_VERSION; version <= LAST_VERSION; ++version) {
        read_program(version, speed, samples, of);
    }
    (void)printf("%8.3f steps a piece: right %llu, below %llu and %llu, odd %llu, "
                 "unknown %llu, free %llu, wrong %llu; at most one change in %llu\n",
                 (double)speed / 256, (unsigned long long)of[RIGHT],
                 (unsigned long long)of[BELOW], (unsigned long long)of[BELOW_AT_TIMES],
                 (unsigned long long)of[ODD], (unsigned long long)of[UNKNOWN],
                 (unsigned long long)of[FREE], (unsigned long long)of[WRONG],
                 (unsigned long long)of[NEARLY_STILL]);
    const uint64_t all = samples * (LAST_VERSION + 1 - FIRST_VERSION);
    expect(of[WRONG] * 100 <= all * MOST_WRONG, "few are wrong");
    expect(speed > 1 || (of[RIGHT] + of[FREE]) * 100 >= all * LEAST_KNOWN,
           "nearly all are known if few change");
}

/* Read random memory: nothing but an answer is asked for. */
static void read_garbage(int version, uint64_t speed) {
    static gilx_stack stack;
    lay_out(version, speed);
    world.garbage = true;
    gilx_stack_reader *reader = new_reader();
    for (int i = 0; i < 200; ++i) {
        begin_sample();
        for (size_t page = 1; page < PAGES; ++page) {
            mapped[page] = !one_in(8);
        }
        gil()->locked = !one_in(8);
        gil()->holder = one_in(8)   ? 0
                        : one_in(2) ? world.threads[0].state
                        : one_in(2) ? arena_at(draw(sizeof(arena)))
                                    : any_word();
        const uintptr_t state = world.threads[0].state;
        if (one_in(2)) { /* frames may well lie there, and call each other in a ring */
            for (int j = 0; j < 40; ++j) {
                const uintptr_t place = (uintptr_t)(CHUNKS_AT + j * 3 * 56);
                const uintptr_t next = (uintptr_t)(CHUNKS_AT + draw(40) * 3 * 56);
                store(arena_at(place) + (uintptr_t)world.layout.previous, arena_at(next));
            }
            const uintptr_t first = arena_at(CHUNKS_AT + draw(40) * 3 * 56);
            store(world.layout.cframe_frame >= 0
                      ? state + ROOT + (uintptr_t)world.layout.cframe_frame
                      : state + (uintptr_t)world.layout.state_frame,
                  first);
        }
        gilx_stack_read(reader, NULL, &stack);
        expect(stack.count >= 0 && stack.count <= GILX_MOST_FRAMES, "frames are counted");
        expect((stack.state == GILX_STACK_FREE) == (sample.locked != 1),
               "it is free if it was so at first");
        (void)gilx_stack_stands(reader, NULL, &stack);
    }
    gilx_stack_reader_free(reader);
}

int main(int count, char **words) {
    const uint64_t samples = count > 1 ? strtoull(words[1], NULL, 10) : 150;
    seed = count > 2 ? strtoull(words[2], NULL, 10) : 1;
    static const uint64_t speeds[] = {1, 16, 64, 256, 1024};
    random_state = seed;
    for (size_t i = 0; i < sizeof(speeds) / sizeof(*speeds); ++i) {
        read_programs(speeds[i], samples);
        for (int version = FIRST_VERSION; version <= LAST_VERSION; ++version) {
            read_garbage(version, i == 0 ? 0 : speeds[i]);
        }
    }
    (void)puts("stack_reader_driver: fine");
    return 0;
}
