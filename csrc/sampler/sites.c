#define _POSIX_C_SOURCE 200809L

#include "sites.h"

#include <stdlib.h>
#include <string.h>

#include "../platform/clock.h"
#include "../platform/touched_memory.h"
#include "sleep_watch.h"
#include "thread_table.h"
#include "waiting_frame.h"

enum { NOWHERE = -1, WATCHED = 0, CALLS_FROM_C = 256, CALLS_TOGETHER = 4 };

/* A stretch that goes on. */
typedef struct {
    bool active;
    uintptr_t holder, frame, instruction;
    bool complete;
    uint64_t path, content, outer;
    int content_size, outer_size;
    unsigned long switches;
    int site, place;
    int64_t before_ns; /* the last time at which it had not begun */
    /* Samples since its thread last slept, and the longest time before. */
    int64_t first_ns, last_ns, run;
    int64_t longest_ns, longest_run;
} open_stretch;

/* Where a collection of garbage began. */
typedef struct {
    uintptr_t holder; /* 0: none goes on, or it is not known */
    uintptr_t frame;
} collection;

/* The stack of the last sample in which no garbage was collected. */
typedef struct {
    uintptr_t holder;
    unsigned long switches;
    int count;
    gilx_frame frames[GILX_MOST_FRAMES];
} calm_stack;

struct gilx_sites {
    int64_t process; /* see gilx_gil_words */
    const gilx_stack_layout *layout;
    gilx_stack_reader *reader;
    gilx_code_table *codes;
    gilx_call_tree *calls; /* NULL if they are not kept */
    gilx_stack stack;      /* of the last sample, */
    int caller; /* and the first of its frames that is outside of the sample's site */
    double counted, squares;
    int last;            /* site of the sample before, */
    double last_waiters; /* and how many threads waited then */
    open_stretch open;
    gilx_sleep_watch sleep; /* of its thread */
    collection collection;
    calm_stack calm;
    /* Hashes of calls from C code that were seen while no garbage was collected, the
     * latest first of those that share a place. */
    uint64_t calls_from_c[CALLS_FROM_C][CALLS_TOGETHER];
    int64_t outside_ns; /* the last time that belongs to no open stretch */
    gilx_stretches stretches[2];
    /* First those that are not lines, by their kinds, then a site for each spot. */
    gilx_site all[GILX_SITE_KINDS + GILX_SPOTS];
    gilx_waits waits[GILX_SITE_KINDS + GILX_SPOTS]; /* likewise */
};

gilx_sites *gilx_sites_new(const gilx_gil_words *words, const gilx_stack_layout *layout,
                           uintptr_t code_type, const int *collecting, bool calls) {
    gilx_sites *sites = gilx_allocate_touched(sizeof(*sites), sizeof(*sites));
    if (sites == NULL) {
        return NULL;
    }
    sites->process = words->process;
    sites->layout = layout;
    sites->last = NOWHERE;
    sites->sleep = GILX_NO_SLEEP_WATCH;
    sites->reader = gilx_stack_reader_new(words, layout, collecting);
    sites->codes = gilx_code_table_new(layout, code_type);
    sites->calls = calls ? gilx_call_tree_new() : NULL;
    if (sites->reader == NULL || sites->codes == NULL ||
        (calls && sites->calls == NULL)) {
        gilx_sites_free(sites);
        return NULL;
    }
    return sites;
}

void gilx_sites_close_files(gilx_sites *sites) {
    gilx_sleep_watch_end(&sites->sleep);
}

void gilx_sites_forget_files(gilx_sites *sites) {
    sites->sleep = GILX_NO_SLEEP_WATCH;
}

void gilx_sites_free(gilx_sites *sites) {
    if (sites != NULL) {
        gilx_sites_close_files(sites);
        gilx_stack_reader_free(sites->reader);
        gilx_code_table_free(sites->codes);
        gilx_call_tree_free(sites->calls);
        free(sites);
    }
}

/* ---- samples ---------------------------------------------------------------------- */

/* Return the site of a frame, by the number of its spot. */
static int site_of(gilx_sites *sites, gilx_memory *memory, const gilx_frame *frame) {
    const int spot =
        gilx_code_spot(sites->codes, memory, frame->code, frame->instruction);
    return spot == GILX_SPOT_UNKNOWN ? GILX_SITE_UNKNOWN
           : spot == GILX_SPOT_OTHER ? GILX_SITE_OTHER
                                     : GILX_SITE_KINDS + spot;
}

/* Read which code objects the callers of the site run, while they are likely there. */
static void read_callers(gilx_sites *sites, gilx_memory *memory) {
    const gilx_stack *stack = &sites->stack;
    uintptr_t codes[GILX_MOST_FRAMES];
    int count = 0;
    for (int i = stack->count - 1; i >= sites->caller; --i) {
        codes[count++] = stack->frames[i].code;
    }
    gilx_codes_read(sites->codes, memory, codes, count);
}

/* Return a hash of the call from C code that made a frame: of its code, and of the code
 * and the instruction of the caller. */
static uint64_t call_from_c(const gilx_stack *stack, int frame) {
    const gilx_frame none = {0};
    const gilx_frame *caller =
        frame + 1 < stack->count ? &stack->frames[frame + 1] : &none;
    const uint64_t words[] = {stack->frames[frame].code, caller->code,
                              caller->instruction};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); ++i) {
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 32;
    }
    return hash;
}

static bool was_called_from_c(const gilx_sites *sites, uint64_t call) {
    const uint64_t *together = sites->calls_from_c[call % CALLS_FROM_C];
    for (int i = 0; i < CALLS_TOGETHER; ++i) {
        if (together[i] == call) {
            return true;
        }
    }
    return false;
}

/* Remember a call; the oldest one of its place is forgotten. */
static void remember_call(gilx_sites *sites, uint64_t call) {
    if (!was_called_from_c(sites, call)) {
        uint64_t *together = sites->calls_from_c[call % CALLS_FROM_C];
        memmove(&together[1], together, (CALLS_TOGETHER - 1) * sizeof(*together));
        together[0] = call;
    }
}

/* Note that no garbage is collected. */
static void note_calm(gilx_sites *sites) {
    const gilx_stack *stack = &sites->stack;
    calm_stack *calm = &sites->calm;
    sites->collection.holder = 0;
    calm->holder = stack->holder;
    calm->switches = stack->switches;
    calm->count = stack->count;
    memcpy(calm->frames, stack->frames, (size_t)stack->count * sizeof(*stack->frames));
    for (int i = 0; i < stack->count; ++i) {
        if (stack->frames[i].entered) {
            remember_call(sites, call_from_c(stack, i));
        }
    }
}

static bool was_there(const calm_stack *calm, const gilx_frame *frame) {
    for (int i = 0; i < calm->count; ++i) {
        const gilx_frame *one = &calm->frames[i];
        if (one->address == frame->address && one->code == frame->code &&
            one->previous == frame->previous) {
            return true;
        }
    }
    return false;
}

/* Return whether the collection that goes on began in the innermost frame. If another
 * thread had the GIL since, that one may have begun it, and if C code called a frame
 * since, that may be a finalizer, unless that call was seen outside of collections. */
static bool began_here(const gilx_sites *sites) {
    const gilx_stack *stack = &sites->stack;
    const calm_stack *calm = &sites->calm;
    if (calm->holder != stack->holder || calm->switches != stack->switches) {
        return false;
    }
    for (int i = 0; i < stack->count; ++i) {
        if (was_there(calm, &stack->frames[i])) {
            return true;
        }
        if (stack->frames[i].entered &&
            !was_called_from_c(sites, call_from_c(stack, i))) {
            return false;
        }
    }
    return false;
}

/* Return whether it is certain that the thread which holds the GIL collects garbage, and
 * does not run a finalizer, nor anything else while a finalizer of another thread has
 * released the GIL. */
static bool is_collecting(gilx_sites *sites) {
    const gilx_stack *stack = &sites->stack;
    collection *begun = &sites->collection;
    if (stack->state == GILX_STACK_FREE || stack->state == GILX_STACK_UNKNOWN) {
        return false; /* whether garbage is collected was not read */
    }
    if (!stack->collecting) {
        note_calm(sites);
        return false;
    }
    if (stack->state != GILX_STACK_KNOWN) {
        return false;
    }
    if (begun->holder == 0 && began_here(sites)) {
        *begun = (collection){stack->holder, stack->frames[0].address};
    }
    return begun->holder == stack->holder && begun->frame == stack->frames[0].address;
}

void gilx_sites_sample(gilx_sites *sites, gilx_memory *memory, gilx_site_sample *sample) {
    gilx_stack *stack = &sites->stack;
    gilx_stack_read(sites->reader, memory, stack);
    sites->caller = 1;
    *sample = (gilx_site_sample){
        .held = stack->state != GILX_STACK_FREE,
        .below = stack->state == GILX_STACK_BELOW,
    };
    switch (stack->state) {
    case GILX_STACK_FREE:
        sample->site = NOWHERE;
        break;
    case GILX_STACK_EMPTY:
        sample->site = GILX_SITE_EMPTY;
        break;
    case GILX_STACK_UNKNOWN:
        sample->site = GILX_SITE_UNKNOWN;
        break;
    case GILX_STACK_KNOWN:
    case GILX_STACK_BELOW:
        sample->site = site_of(sites, memory, &stack->frames[0]);
        if (sample->site == GILX_SITE_UNKNOWN && stack->count > 1) {
            /* The innermost frame was being made or left: its caller is as certain as
             * before. */
            sample->site = site_of(sites, memory, &stack->frames[1]);
            sample->below = true;
            sites->caller = 2;
        }
        break;
    }
    if (is_collecting(sites)) {
        sample->site = GILX_SITE_COLLECTOR;
        sample->below = false;
        sites->caller = 0;
    }
    if (sites->calls != NULL) {
        read_callers(sites, memory);
    }
}

uintptr_t gilx_sites_holder(const gilx_sites *sites) {
    return sites->stack.holder;
}

/* Return whether the frame that ran is known. Its line need not be. */
static bool has_frame(const gilx_site_sample *sample) {
    return sample->site >= GILX_SITE_OTHER && !sample->below;
}

void gilx_sites_check(gilx_sites *sites, gilx_memory *memory, gilx_site_sample *sample) {
    sample->intact =
        has_frame(sample) && gilx_stack_stands(sites->reader, memory, &sites->stack);
    sample->checked_ns = gilx_now_ns();
}

/* ---- stretches -------------------------------------------------------------------- */

static void insert(gilx_stretches *stretches, gilx_stretch new) {
    int place = stretches->count;
    if (place == GILX_STRETCHES) {
        if (stretches->longest[--place].low >= new.low) {
            return;
        }
    } else {
        ++stretches->count;
    }
    for (; place > 0 && stretches->longest[place - 1].low < new.low; --place) {
        stretches->longest[place] = stretches->longest[place - 1];
    }
    stretches->longest[place] = new;
}

/* Note that from here on an open stretch may be another one like it. */
static void doubt_stretch(open_stretch *open) {
    const int64_t seen = open->last_ns - open->first_ns;
    if (seen >= open->longest_ns) {
        open->longest_ns = seen;
        open->longest_run = open->run;
    }
    open->run = 0;
}

/* End the stretch that goes on: at this time it had ended. */
static void end_stretch(gilx_sites *sites, int64_t now) {
    open_stretch *open = &sites->open;
    if (!open->active) {
        return;
    }
    open->active = false;
    doubt_stretch(open);
    const gilx_stretch new = {
        .place = open->place,
        .site = open->site,
        .low = open->longest_ns,
        .high = now - open->before_ns,
        .run = open->longest_run,
    };
    insert(&sites->stretches[open->place == WATCHED], new);
    gilx_site *site = &sites->all[open->site];
    if (new.low > site->low || (new.low == site->low && new.high > site->high)) {
        site->low = new.low;
        site->high = new.high;
        site->run = new.run;
    }
}

static bool same_hold(const open_stretch *open, const gilx_stack *stack) {
    return stack->state != GILX_STACK_FREE && open->holder == stack->holder &&
           open->switches == stack->switches;
}

/* Return whether a stack may be one that is open, with the same values in it, as far as
 * the same parts of both were read. */
static bool same_call(const open_stretch *open, const gilx_stack *stack) {
    const gilx_frame *frame = &stack->frames[0];
    return same_hold(open, stack) && open->frame == frame->address &&
           open->instruction == frame->instruction &&
           (open->path == stack->path || open->complete != stack->complete) &&
           (open->content == stack->content ||
            open->content_size != stack->content_size) &&
           (open->outer == stack->outer || open->outer_size != stack->outer_size);
}

/* Return whether a sample may belong to a stretch: while C code runs, which may call the
 * garbage collector, it is at one site, and at the collector. */
static bool same_site(const open_stretch *open, const gilx_site_sample *sample) {
    return open->site == sample->site || open->site == GILX_SITE_COLLECTOR ||
           sample->site == GILX_SITE_COLLECTOR;
}

/* The stack was read at some moment between its at_ns and end_ns. */
static void follow_stretch(gilx_sites *sites, const gilx_site_sample *sample, int place,
                           int64_t tid, int64_t end_ns) {
    open_stretch *open = &sites->open;
    const gilx_stack *stack = &sites->stack;
    const gilx_frame *frame = &stack->frames[0];
    const bool known = has_frame(sample);
    const bool unknown = stack->state == GILX_STACK_UNKNOWN;
    const bool goes_on =
        sample->unbroken && (known ? same_site(open, sample) && same_call(open, stack)
                                   : unknown && same_hold(open, stack));
    if (open->active && !goes_on) {
        /* The next one may have begun as soon as this one ended. */
        sites->outside_ns = open->last_ns;
        end_stretch(sites, stack->end_ns);
    }
    if (!known) {
        /* A stretch may go on, or have begun, while the stack can't be read. */
        if (!unknown) {
            sites->outside_ns = stack->at_ns;
        }
        return;
    }
    if (!open->active) {
        *open = (open_stretch){
            .active = true,
            .holder = stack->holder,
            .frame = frame->address,
            .instruction = frame->instruction,
            .switches = stack->switches,
            .site = sample->site,
            .place = place,
            .before_ns = sites->outside_ns,
            .first_ns = stack->end_ns,
        };
        gilx_sleep_watch_begin(&sites->sleep, sites->process, tid);
    } else if (gilx_slept(&sites->sleep)) {
        /* It may have released the GIL while it slept. */
        doubt_stretch(open);
        open->first_ns = stack->end_ns;
    }
    open->site = open->site == GILX_SITE_COLLECTOR ? sample->site : open->site;
    ++open->run;
    open->complete = stack->complete;
    open->path = stack->path;
    open->content = stack->content;
    open->content_size = stack->content_size;
    open->outer = stack->outer;
    open->outer_size = stack->outer_size;
    open->last_ns = sample->intact ? end_ns : stack->at_ns;
    if (!sample->intact) {
        end_stretch(sites, sample->checked_ns > end_ns ? sample->checked_ns : end_ns);
        sites->outside_ns = stack->at_ns;
    }
}

void gilx_sites_finish(gilx_sites *sites, int64_t end_ns) {
    end_stretch(sites, end_ns > sites->open.last_ns ? end_ns : sites->open.last_ns);
}

/* ---- sums ------------------------------------------------------------------------- */

/* Return the label of a site in the tree of calls. */
static int label_of(int site) {
    return site == GILX_SITE_EMPTY       ? GILX_CALL_EMPTY
           : site == GILX_SITE_UNKNOWN   ? GILX_SPOT_UNKNOWN
           : site == GILX_SITE_OTHER     ? GILX_SPOT_OTHER
           : site == GILX_SITE_COLLECTOR ? GILX_CALL_COLLECTOR
                                         : site - GILX_SITE_KINDS;
}

/* Add the last sample to the tree of calls. Its spots are looked up only now, since new
 * ones take their time, in which the sampler could not read the GIL's words. */
static void count_calls(gilx_sites *sites, gilx_memory *memory,
                        const gilx_site_sample *sample, double weight, int place) {
    const gilx_stack *stack = &sites->stack;
    int labels[GILX_MOST_FRAMES + 2];
    int count = 0;
    if (stack->count > 0 && !stack->complete) {
        labels[count++] = GILX_CALL_TRUNCATED;
    }
    for (int i = stack->count - 1; i >= sites->caller; --i) {
        labels[count++] = gilx_codes_spot(sites->codes, memory, stack->count - 1 - i,
                                          stack->frames[i].instruction);
    }
    labels[count++] = label_of(sample->site);
    if (sample->below && sample->site != GILX_SITE_UNKNOWN) {
        labels[count++] = GILX_CALL_BELOW;
    }
    gilx_call_tree_add(sites->calls, place, labels, count, weight);
}

/* Add the steps in the number of waiting threads that a site causes, to this sample from
 * the one before. */
static void add_waiting_steps(gilx_sites *sites, int site, double waiters,
                              double square) {
    const double last = sites->last_waiters;
    if (site == sites->last && site != NOWHERE) {
        sites->all[site].waited_steps += square * (waiters - last) * (waiters - last);
        return;
    }
    if (site != NOWHERE) {
        sites->all[site].waited_steps += square * waiters * waiters;
    }
    if (sites->last != NOWHERE) {
        sites->all[sites->last].waited_steps += square * last * last;
    }
}

void gilx_sites_count(gilx_sites *sites, gilx_memory *memory,
                      const gilx_site_sample *sample, double weight, uint32_t waiters,
                      int place, int64_t tid, int64_t begin_ns, int64_t end_ns) {
    const double square = weight * weight, waiting = (double)waiters;
    if (sites->counted > 0) {
        add_waiting_steps(sites, sample->site, waiting, square);
    }
    sites->last_waiters = waiting;
    if (sites->counted == 0) {
        sites->outside_ns = begin_ns;
    } else if (sample->site != sites->last) {
        if (sample->site != NOWHERE) {
            sites->all[sample->site].steps += square;
        }
        if (sites->last != NOWHERE) {
            sites->all[sites->last].steps += square;
        }
    }
    sites->last = sample->site;
    sites->counted += weight;
    sites->squares += square;
    if (sample->site != NOWHERE) {
        gilx_site *site = &sites->all[sample->site];
        site->held += weight;
        site->squares += square;
        site->below += sample->below ? weight : 0;
        site->waited += weight * waiting;
        site->waited_squares += square * waiting * waiting;
        if (site->samples++ == 0) {
            site->place = place;
        }
        site->several = site->several || site->place != place;
        if (sites->calls != NULL) {
            count_calls(sites, memory, sample, weight, place);
        }
    }
    follow_stretch(sites, sample, place, tid, end_ns);
}

int gilx_sites_of_wait(gilx_sites *sites, gilx_memory *memory, uintptr_t state) {
    gilx_frame frame;
    return state != 0 && gilx_waiting_frame(sites->layout, memory, state, &frame)
               ? site_of(sites, memory, &frame)
               : GILX_SITE_UNKNOWN;
}

void gilx_sites_wait(gilx_sites *sites, int site, bool gil, double time) {
    gilx_waits *waits = &sites->waits[site];
    waits->time[gil ? 0 : 1] += time;
    waits->squares[gil ? 0 : 1] += time * time;
    ++waits->samples;
}

const gilx_waits *gilx_sites_waits(const gilx_sites *sites, int number) {
    return &sites->waits[number];
}

double gilx_sites_counted(const gilx_sites *sites) {
    return sites->counted;
}

double gilx_sites_squares(const gilx_sites *sites) {
    return sites->squares;
}

int gilx_sites_number(const gilx_sites *sites) {
    return GILX_SITE_KINDS + gilx_spot_count(sites->codes);
}

const gilx_site *gilx_sites_site(const gilx_sites *sites, int number,
                                 gilx_site_kind *kind, const gilx_spot **spot,
                                 const gilx_function **function) {
    *kind = number < GILX_SITE_KINDS ? (gilx_site_kind)number : GILX_SITE_LINE;
    *spot = NULL;
    *function = NULL;
    if (number >= GILX_SITE_KINDS) {
        *spot = gilx_sites_spot(sites, number - GILX_SITE_KINDS, function);
    }
    return &sites->all[number];
}

const gilx_call_tree *gilx_sites_calls(const gilx_sites *sites) {
    return sites->calls;
}

const gilx_spot *gilx_sites_spot(const gilx_sites *sites, int label,
                                 const gilx_function **function) {
    const gilx_spot *spot = gilx_spot_at(sites->codes, label);
    *function = gilx_function_at(sites->codes, spot->function);
    return spot;
}

const gilx_stretches *gilx_sites_stretches(const gilx_sites *sites, bool watched) {
    return &sites->stretches[watched];
}
