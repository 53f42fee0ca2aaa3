/* Looks for GILs in made-up interpreters, among words that only look like one.
 *
 *     find_gil_driver [PLACEMENTS [SEED]]
 *
 * Each round lays out the memory of an interpreter of some version, with or without a
 * real GIL, and places up to 41 decoys in it. Some follow the switch interval for a
 * while, in part or too late; others do all that a GIL does but for one thing. Between
 * any two reads they may be moved, torn, unmapped or freed, and so may the GIL. Exit
 * status 0 if no decoy was ever believed, and each GIL was found that nothing had been
 * done to.
 */
#define _GNU_SOURCE

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "../sampler/safe_memory.h"

static bool read_after_change(gilx_memory *memory, const void *from, void *to,
                              size_t size);

static void do_not_sleep(int64_t nanoseconds) {
    (void)nanoseconds;
}

/* Memory changes between reads, and no other thread is waited for. */
#define gilx_memory_read read_after_change
#define gilx_sleep_ns do_not_sleep
#include "../sampler/find_gil.c"
#undef gilx_memory_read
#undef gilx_sleep_ns

enum {
    MOST_DECOYS = 40, /* and one that is a lookalike of the real one */
    RESERVED = 512,   /* bytes at the start of either region that no decoy is moved to */
    RUNTIME_PAGES = 3,
    INTERPRETER_PAGES = 2,
    LEAST_CALLS = 7, /* of the interpreter, before anything is believed; */
    LEAST_CALLS_UNDYED = 6,
};

/* Kinds before HELD never follow the interval to the end, the others do. */
typedef enum {
    STILL,     /* does nothing */
    NOISE,     /* is random but for the holder */
    LATE,      /* has the interval that was set before */
    STOPS,     /* follows a few intervals */
    MIXED,     /* has some bytes of the new interval, some of the old one */
    UNDYED,    /* is a GIL, but for the interval */
    HELD,      /* says that it is held also when it is released */
    OTHERS,    /* says that another thread holds it, once it was released */
    BACKWARDS, /* counts backwards */
    FREEZES,   /* is a GIL, but for the last few things that happen */
    LOOKALIKE, /* can't be distinguished from a GIL */
} conduct;

typedef struct {
    gilx_gil_struct *words;
    conduct conduct;
    int calls; /* of the interpreter, to which it still reacts */
} decoy;

typedef struct {
    char *start, *end;
    char *heap; /* NULL if it is mapped */
} region;

static struct {
    gilx_interpreter base;
    region runtime, interpreter;
    gilx_gil_struct *real; /* NULL if there is none */
    bool moves;            /* whether the real one may be moved and unmapped */
    int calls, moved; /* calls of the interpreter; how many of them before it moved */
    decoy decoys[MOST_DECOYS + 1];
    int count;
    uint64_t rarity;        /* of changes, in reads; 0: none */
    unsigned long interval; /* that is set now */
    uint64_t state[MOST_OF_A_STATE / sizeof(uint64_t)];
} world;

static uint64_t seed, round_number, placements, random_state;
static size_t page_size;
static char *arena;

static uint64_t draw(uint64_t below) {
    return gilx_split_mix(&random_state) % below;
}

static bool one_in(uint64_t count) {
    return draw(count) == 0;
}

static void expect(bool truth, const char *what, const gilx_gil *gil) {
    if (!truth) {
        (void)fprintf(stderr,
                      "find_gil_driver: round %llu of seed %llu, not so: %s (%s; %s)\n",
                      (unsigned long long)round_number, (unsigned long long)seed, what,
                      gil->backend == NULL ? "not found" : gil->backend, gil->trouble);
        exit(1);
    }
}

/* ---- what happens to memory ------------------------------------------------------- */

static bool lies_in(const void *words, const char *start, const char *end) {
    const char *place = words;
    return place + sizeof(gilx_gil_struct) > start && place < end;
}

/* Return a place for a GIL, apart from all others: two of them in one place might do,
 * each in part, all that a GIL does. */
static gilx_gil_struct *any_place(const region *within) {
    const size_t length = (size_t)(within->end - within->start) - RESERVED - 64;
    for (;;) {
        char *place = within->start + RESERVED + 16 + draw(length / 8) * 8;
        const char *end = place + sizeof(gilx_gil_struct);
        bool apart = world.real == NULL || !lies_in(world.real, place - 32, end + 32);
        for (int i = 0; i < world.count; ++i) {
            apart = apart && !lies_in(world.decoys[i].words, place, end);
        }
        if (apart) {
            return (gilx_gil_struct *)place;
        }
    }
}

static const region *any_region(void) {
    return one_in(2) || world.interpreter.start == NULL ? &world.runtime
                                                        : &world.interpreter;
}

/* Forget all that is in memory which is about to go. */
static void forget(const char *start, const char *end) {
    int left = 0;
    for (int i = 0; i < world.count; ++i) {
        if (!lies_in(world.decoys[i].words, start, end)) {
            world.decoys[left++] = world.decoys[i];
        }
    }
    world.count = left;
    if (world.real != NULL && lies_in(world.real, start, end)) {
        world.real = NULL;
        world.moved = world.calls;
    }
}

/* Unmap a page that the search for the real GIL does not need, unless the GIL may go. */
static void unmap(void) {
    const region *where = any_region();
    const size_t pages =
        ((size_t)(where->end - where->start) + page_size - 1) / page_size;
    char *page = where->end - (1 + draw(pages)) * page_size;
    if (where->heap == NULL &&
        (world.moves || world.real == NULL || !lies_in(world.real, page, where->end))) {
        forget(page, page + page_size);
        (void)mprotect(page, page_size, PROT_NONE);
    }
}

static void free_interpreter(void) {
    if (world.interpreter.heap != NULL) {
        forget(world.interpreter.start, world.interpreter.end);
        free(world.interpreter.heap);
        world.interpreter = (region){.start = NULL};
    }
}

/* Whether words can be written to a place. Its own reads change nothing. */
static bool is_mapped(const void *place) {
    static gilx_memory memory = {.way = GILX_MEMORY_WAYS};
    char copy[sizeof(gilx_gil_struct)];
    if (memory.way == GILX_MEMORY_WAYS && !gilx_memory_open(&memory, NULL)) {
        abort();
    }
    return gilx_memory_read(&memory, place, copy, sizeof(copy));
}

/* Move words elsewhere; a copy of them stays, or zeros. */
static void move(gilx_gil_struct **words) {
    gilx_gil_struct *place = any_place(any_region());
    if (is_mapped(place)) {
        *place = **words;
        if (one_in(2)) {
            memset(*words, 0, sizeof(**words));
        }
        *words = place;
    }
}

/* Overwrite some bytes, but not the count of one that counts backwards: that might end
 * higher than it began. */
static void tear(const decoy *one) {
    const size_t size = one->conduct == BACKWARDS ? offsetof(gilx_gil_struct, switches)
                                                  : sizeof(*one->words);
    const size_t first = draw(size), last = first + draw(8);
    for (size_t i = first; i < size && i <= last; ++i) {
        ((unsigned char *)one->words)[i] = (unsigned char)draw(256);
    }
}

static bool read_after_change(gilx_memory *memory, const void *from, void *to,
                              size_t size) {
    if (world.rarity != 0 && one_in(world.rarity)) {
        decoy *any = world.count == 0 ? NULL : &world.decoys[draw((uint64_t)world.count)];
        switch (draw(5)) {
        case 0:
            unmap();
            break;
        case 1:
            free_interpreter();
            break;
        case 2:
            if (world.moves && world.real != NULL) {
                move(&world.real);
                world.moved = world.calls;
            }
            break;
        case 3:
            if (any != NULL) {
                move(&any->words);
            }
            break;
        default:
            if (any != NULL) {
                tear(any);
            }
        }
    }
    return gilx_memory_read(memory, from, to, size);
}

/* ---- what the interpreter does ---------------------------------------------------- */

static const uintptr_t OTHER_THREAD = 0x7654321000;

static void take_words(gilx_gil_struct *words) {
    words->holder = (uintptr_t)world.base.state;
    words->locked = 1;
    words->switches += draw(2);
}

static void release_words(gilx_gil_struct *words) {
    words->locked = 0;
    if (one_in(2)) { /* another thread takes it at once */
        words->holder = OTHER_THREAD;
        words->locked = 1;
        ++words->switches;
    }
}

/* Return whether a decoy reacts to this call of the interpreter. */
static bool reacts(decoy *one) {
    return (one->conduct != STOPS && one->conduct != FREEZES) || one->calls-- > 0;
}

static bool set_interval(gilx_interpreter *interpreter, unsigned long microseconds) {
    (void)interpreter;
    ++world.calls;
    for (int i = 0; i < world.count; ++i) {
        decoy *one = &world.decoys[i];
        if (one->conduct == LATE) {
            one->words->interval = world.interval;
        } else if (one->conduct == MIXED) {
            const unsigned long old = ~microseconds;
            const unsigned long mask = 0xffUL << draw(3) * 8;
            one->words->interval = (microseconds & ~mask) | (old & mask);
        } else if ((one->conduct == STOPS || one->conduct >= HELD) && reacts(one)) {
            one->words->interval = microseconds;
        }
    }
    if (world.real != NULL) {
        world.real->interval = microseconds;
    }
    world.interval = microseconds;
    return true;
}

/* Whether a decoy does what the GIL does when it is released and taken. */
static bool follows_holds(decoy *one) {
    return one->conduct >= UNDYED && one->conduct != HELD && reacts(one);
}

static void release(gilx_interpreter *interpreter) {
    (void)interpreter;
    ++world.calls;
    for (int i = 0; i < world.count; ++i) {
        decoy *one = &world.decoys[i];
        if (follows_holds(one)) {
            release_words(one->words);
        }
    }
    if (world.real != NULL) {
        release_words(world.real);
    }
}

static void take(gilx_interpreter *interpreter) {
    (void)interpreter;
    ++world.calls;
    for (int i = 0; i < world.count; ++i) {
        decoy *one = &world.decoys[i];
        if (follows_holds(one)) {
            const unsigned long before = one->words->switches;
            take_words(one->words);
            if (one->conduct == OTHERS) {
                one->words->holder = OTHER_THREAD;
            } else if (one->conduct == BACKWARDS) {
                one->words->switches = before - 2 - draw(100);
            }
        }
    }
    if (world.real != NULL) {
        take_words(world.real);
    }
}

/* ---- rounds ----------------------------------------------------------------------- */

static const uint64_t VERSIONS[] = {
    0x030b02f0, 0x030c0af0, 0x030d12f0, 0x030e0af0,
    0x030f02f0, 0x031000f0, 0x030f00b1, /* places that are not known */
};

/* Give back what the last round unmapped and freed, and place the regions. */
static void lay_out_regions(void) {
    free_interpreter();
    (void)mprotect(arena, RUNTIME_PAGES * page_size, PROT_READ | PROT_WRITE);
    char *second = arena + (RUNTIME_PAGES + 1) * page_size;
    (void)mprotect(second, INTERPRETER_PAGES * page_size, PROT_READ | PROT_WRITE);
    memset(arena, 0, RUNTIME_PAGES * page_size);
    memset(second, 0, INTERPRETER_PAGES * page_size);
    world.runtime = (region){.start = arena + draw(page_size / 16) * 8,
                             .end = arena + RUNTIME_PAGES * page_size};
    world.interpreter = (region){.start = second + draw(page_size / 16) * 8,
                                 .end = second + INTERPRETER_PAGES * page_size};
    if (one_in(100)) {
        char *heap = calloc(INTERPRETER_PAGES, page_size);
        if (heap == NULL) {
            abort();
        }
        world.interpreter = (region){
            .start = heap, .end = heap + INTERPRETER_PAGES * page_size, .heap = heap};
    }
}

/* Write down where a version has its GIL, as if that were at `words`. Returns whether a
 * part of it is wrong. */
static bool write_places(const gilx_layout *layout, gilx_gil_struct *words) {
    enum { POINTER = 16, OWN = 7752, TID = 160 };
    char *runtime = world.runtime.start, *interpreter = world.interpreter.start;
    const int tid = layout->tid != 0 ? layout->tid : TID;
    memcpy((char *)world.state + tid, &world.base.tid, sizeof(world.base.tid));
    memcpy((char *)world.state + layout->id, &world.base.id, sizeof(world.base.id));
    if (layout->runtime_gil != 0) {
        return false;
    }
    const bool free_threaded = layout->table_gil != 0 && one_in(4);
    const uint64_t before = free_threaded ? sizeof(uint64_t) : 0;
    char *gil = (char *)words - before;
    bool wrong = one_in(20);
    if (wrong) {
        gil += (draw(64) - 32) * 8;
    }
    memcpy(interpreter + (layout->table_gil != 0 ? POINTER : layout->interpreter_gil),
           &gil, sizeof(gil));
    if (layout->table_gil == 0) {
        return wrong;
    }
    uint64_t table[GILX_TABLE_WORDS] = {0};
    memcpy(&table[GILX_TABLE_COOKIE], "xdebugpy", sizeof(*table));
    table[GILX_TABLE_VERSION] = world.base.version;
    table[GILX_TABLE_FREE_THREADED] = free_threaded;
    table[layout->table_gil] = POINTER;
    table[layout->table_own_gil] = OWN;
    table[layout->table_locked] = OWN + before + offsetof(gilx_gil_struct, locked);
    table[layout->table_holder] = OWN + before + offsetof(gilx_gil_struct, holder);
    table[layout->table_tid] = TID;
    if (free_threaded) {
        const int enabled = INT_MAX; /* it is on for good */
        memcpy((char *)words - before, &enabled, sizeof(enabled));
    }
    const uint64_t changes = one_in(4) ? 1 + draw(4) : 0;
    for (uint64_t i = 0; i < changes; ++i) {
        uint64_t *word = &table[draw(GILX_TABLE_WORDS)];
        *word = one_in(2) ? gilx_split_mix(&random_state) : *word + (draw(9) - 4) * 8;
    }
    memcpy(runtime, table, sizeof(table));
    return wrong || changes > 0;
}

/* Return how a decoy is to behave, one that follows the interval or one that does not. */
static conduct any_conduct(bool follows) {
    /* Without the interval, nothing is wrong with one that does not follow it. */
    const uint64_t others = world.base.set_interval != NULL ? HELD : UNDYED;
    return (conduct)(follows ? HELD + draw(LOOKALIKE - HELD) : draw(others));
}

static void add_decoy(gilx_gil_struct *words, conduct conduct) {
    const bool dyed = world.base.set_interval != NULL;
    decoy *new = &world.decoys[world.count++];
    *new = (decoy){.words = words, .conduct = conduct};
    new->calls = (int)draw(new->conduct == STOPS ? DYES
                           : dyed                ? LEAST_CALLS
                                                 : LEAST_CALLS_UNDYED);
    *words = (gilx_gil_struct){.interval = world.interval,
                               .holder = (uintptr_t)world.base.state,
                               .locked = 1,
                               .switches = 1000 + draw(1000)};
    if (new->conduct == NOISE) {
        words->interval = gilx_split_mix(&random_state);
        words->locked = (int)draw(3);
    }
    ++placements;
}

static void play_round(gilx_memory *memory) {
    memset(&world.state, 0, sizeof(world.state));
    world.base = (gilx_interpreter){
        .version = VERSIONS[draw(sizeof(VERSIONS) / sizeof(*VERSIONS))],
        .state = world.state,
        .tid = 1000 + draw(1000000),
        .id = draw(100),
        .interval = 5000,
        .set_interval = one_in(50) ? NULL : set_interval,
        .release = release,
        .take = take,
    };
    world.interval = world.base.interval;
    world.real = NULL;
    world.count = world.calls = 0;
    world.moved = -1;
    world.rarity = 0;
    lay_out_regions();
    world.base.runtime = world.runtime.start;
    world.base.interpreter = world.interpreter.start;
    world.rarity = one_in(3) ? 0 : 4 + draw(60);
    world.moves = one_in(4);

    /* What is where the version has its GIL is the real one, or else a decoy. */
    const gilx_layout *layout = gilx_layout_of(world.base.version);
    const bool alone = one_in(2), follows = one_in(8);
    bool known = false, wrong = false;
    const region *mapped = world.interpreter.heap != NULL ? &world.runtime : any_region();
    gilx_gil_struct *there = any_place(mapped);
    if (layout != NULL && layout->runtime_gil != 0) {
        there = (gilx_gil_struct *)(world.runtime.start + layout->runtime_gil);
    }
    if (!alone) {
        known = layout != NULL && one_in(2);
        world.real = known ? there : any_place(mapped);
        *world.real = (gilx_gil_struct){.interval = world.interval,
                                        .holder = (uintptr_t)world.base.state,
                                        .locked = 1,
                                        .switches = 1000 + draw(1000)};
    }
    const int decoys = (int)(1 + draw(MOST_DECOYS));
    if (layout == NULL) {
        memcpy((char *)world.state + 8 + draw(63) * 8, &world.base.tid, sizeof(uint64_t));
    } else if (known || lies_in(there, (char *)world.real, (char *)(world.real + 1))) {
        wrong = write_places(layout, world.real);
    } else {
        wrong = write_places(layout, there);
        add_decoy(there, any_conduct(follows));
    }
    while (world.count < decoys) {
        add_decoy(any_place(any_region()), any_conduct(follows && one_in(4)));
    }
    bool searchable = true; /* the native id is in one place alone */
    if (one_in(50)) {
        world.state[63] = world.base.tid;
        searchable = false;
    }

    const bool search_only = one_in(2);
    const bool lookalikes = !alone && search_only && world.rarity == 0 && one_in(20);
    if (lookalikes) {
        add_decoy(any_place(mapped), LOOKALIKE);
    }
    gilx_gil gil;
    const gilx_gil_status status = gilx_gil_find(&gil, memory, &world.base, search_only);
    expect(world.base.set_interval == NULL || world.interval == world.base.interval,
           "the interval is as it was", &gil);
    if (status == GILX_GIL_FOUND && world.moved != world.calls) {
        expect(world.real != NULL, "a decoy is not believed", &gil);
        expect(gil.words.interval == &world.real->interval &&
                   gil.words.holder == &world.real->holder &&
                   gil.words.locked == &world.real->locked &&
                   gil.words.switches == &world.real->switches,
               "the words are those of the real one", &gil);
        const int64_t tid = gil.states.tid, id = gil.states.id;
        expect(tid > 0 && memcmp((char *)world.state + tid, &world.base.tid, 8) == 0 &&
                   (id == 0 || memcmp((char *)world.state + id, &world.base.id, 8) == 0),
               "the thread state names the caller", &gil);
        expect(!lookalikes, "none of two that both may be it is believed", &gil);
    }
    if (!alone && !world.moves && !follows && !lookalikes && !wrong && searchable &&
        world.base.set_interval != NULL) {
        /* Words that are not those of its GIL may say that it is off. */
        expect(status == GILX_GIL_FOUND || (status == GILX_GIL_NONE && !known),
               "the real one is found", &gil);
        if (known && world.rarity == 0) {
            expect((strcmp(gil.backend, "search") == 0) == search_only,
                   "it is where its version has it", &gil);
        }
    }
}

int main(int count, char **words) {
    const uint64_t wanted = count > 1 ? strtoull(words[1], NULL, 10) : 40000;
    seed = count > 2 ? strtoull(words[2], NULL, 10) : 1;
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    const size_t pages = RUNTIME_PAGES + 1 + INTERPRETER_PAGES + 1;
    void *mapped =
        mmap(NULL, pages * page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    gilx_memory memory;
    if (mapped == MAP_FAILED || !gilx_memory_open(&memory, NULL)) {
        perror("find_gil_driver");
        return 1;
    }
    arena = mapped;
    while (placements < wanted) {
        random_state = seed * 0x100000001 + round_number;
        play_round(&memory);
        ++round_number;
    }
    world.rarity = 0;
    free_interpreter();
    gilx_memory_close(&memory);
    (void)printf("find_gil_driver: fine, %llu placements in %llu rounds\n",
                 (unsigned long long)placements, (unsigned long long)round_number);
    return 0;
}
