/* Places of the program where the GIL was held: for how long, and how long at a stretch.
 *
 * All memory is reserved from the start.
 */
#ifndef GILX_SAMPLER_SITES_H
#define GILX_SAMPLER_SITES_H

#include <stdbool.h>
#include <stdint.h>

#include "call_tree.h"
#include "code_table.h"
#include "gil_words.h"
#include "safe_memory.h"
#include "stack_reader.h"

typedef enum {
    GILX_SITE_LINE,      /* a line of Python code */
    GILX_SITE_EMPTY,     /* a thread that ran no Python code */
    GILX_SITE_UNKNOWN,   /* the stack could not be read, or changed too quickly */
    GILX_SITE_OTHER,     /* the tables were full */
    GILX_SITE_COLLECTOR, /* the garbage collector, wherever it began */
    GILX_SITE_KINDS,
} gilx_site_kind;

/* Sums over the samples that found the GIL held at one site. Durations are in ns. */
typedef struct {
    double held;    /* sum of the samples' weights, each of which is a length of time, */
    double squares; /* and of their squares; */
    double steps;  /* of the squares where the sample before, or this one, is not at it */
    double below;  /* part of `held`: the line is that line or one that it called */
    double waited; /* sum of the weights times the number of threads that waited, */
    double waited_squares, waited_steps; /* and of squares, as above */
    int64_t samples;
    int place;         /* of the thread that held it there, see gilx_thread_table */
    bool several;      /* whether other threads did, too */
    int64_t low, high; /* bounds of the longest stretch, */
    int64_t run;       /* and the number of its samples */
} gilx_site;

/* Time for which a thread stayed at one instruction of one frame without a sign that it
 * let go of the GIL, or that Python code ran. It is between low and high, in ns. */
typedef struct {
    int place, site;
    int64_t low, high;
    int64_t run; /* number of samples */
} gilx_stretch;

enum { GILX_STRETCHES = 16 };

/* Longest stretches, the longest one first. */
typedef struct {
    int count;
    gilx_stretch longest[GILX_STRETCHES];
} gilx_stretches;

/* Sums over the times for which threads waited at one site, in ns: for the GIL, and for
 * another lock. */
typedef struct {
    double time[2], squares[2]; /* sum of these times, and of their squares */
    int64_t samples;
} gilx_waits;

/* Result of one sample. */
typedef struct {
    bool held;          /* whether the GIL was held */
    int site;           /* where, an index of gilx_sites_site(); -1 if it was not held */
    bool below;         /* see gilx_site */
    bool unbroken;      /* whether its thread held the GIL in all reads just before */
    bool intact;        /* whether nothing had changed when the sample ended; */
    int64_t checked_ns; /* when that had been found out, 0 if it was not asked */
} gilx_site_sample;

typedef struct gilx_sites gilx_sites;

/* Return empty tables, or NULL if memory runs out. `code_type`: address of
 * the type of code objects; `collecting`: see gilx_stack_reader_new(); `calls`: whether
 * the calls that led to sites are kept. */
gilx_sites *gilx_sites_new(const gilx_gil_words *words, const gilx_stack_layout *layout,
                           uintptr_t code_type, const int *collecting, bool calls);

/* Read where the GIL is held now. */
void gilx_sites_sample(gilx_sites *sites, gilx_memory *memory, gilx_site_sample *sample);

/* Return the thread state that held the GIL in the last sample. */
uintptr_t gilx_sites_holder(const gilx_sites *sites);

/* Find out, at the end of the last sample, whether it is still held at the same place. */
void gilx_sites_check(gilx_sites *sites, gilx_memory *memory, gilx_site_sample *sample);

/* Add the last sample, which stands for `weight` ns, and ended at the time `end_ns`. So
 * many other threads waited for the GIL then. Its
 * holder is the thread at a place of the table of threads, with a native id, 0 if it is
 * not known. `begin_ns`: of the watch. */
void gilx_sites_count(gilx_sites *sites, gilx_memory *memory,
                      const gilx_site_sample *sample, double weight, uint32_t waiters,
                      int place, int64_t tid, int64_t begin_ns, int64_t end_ns);

/* Return the site where a thread waits by its thread state, 0 if that is not known. Call
 * after the sample was counted. */
int gilx_sites_of_wait(gilx_sites *sites, gilx_memory *memory, uintptr_t state);

/* Add the time for which a thread waited there for the GIL, or for another lock. */
void gilx_sites_wait(gilx_sites *sites, int site, bool gil, double time);

/* End the last stretch, at the end of a watch. */
void gilx_sites_finish(gilx_sites *sites, int64_t end_ns);

/* Return the sums of all samples' weights, and of their squares. */
double gilx_sites_counted(const gilx_sites *sites);
double gilx_sites_squares(const gilx_sites *sites);

/* Return the number of sites, and one of them with its kind and its spot, NULL if it is
 * not a line. Some may have no samples. */
int gilx_sites_number(const gilx_sites *sites);
const gilx_site *gilx_sites_site(const gilx_sites *sites, int number,
                                 gilx_site_kind *kind, const gilx_spot **spot,
                                 const gilx_function **function);

/* Return what threads waited for at the site of a number. */
const gilx_waits *gilx_sites_waits(const gilx_sites *sites, int number);

/* Return the calls that led to sites, NULL if they are not kept, and the spot in one of
 * them by its label, which is not negative. */
const gilx_call_tree *gilx_sites_calls(const gilx_sites *sites);
const gilx_spot *gilx_sites_spot(const gilx_sites *sites, int label,
                                 const gilx_function **function);

/* Return the longest stretches: those of the watched thread, and of all others. */
const gilx_stretches *gilx_sites_stretches(const gilx_sites *sites, bool watched);

/* Close the files of the thread that holds the GIL, or forget their numbers. */
void gilx_sites_close_files(gilx_sites *sites);
void gilx_sites_forget_files(gilx_sites *sites);

void gilx_sites_free(gilx_sites *sites);

#endif
