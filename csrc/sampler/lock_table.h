/* Locks that threads waited for. All memory is reserved from the start. */
#ifndef GILX_SAMPLER_LOCK_TABLE_H
#define GILX_SAMPLER_LOCK_TABLE_H

#include <stdint.h>

#include "free_threads.h"

enum { GILX_LOCKS = 256 };

typedef enum {
    GILX_LOCK_OBJECT,  /* the lock of an object, or an object that is one */
    GILX_LOCK_MUTEX,   /* one of the interpreter or of an extension module */
    GILX_LOCK_EVENT,   /* an event */
    GILX_LOCK_SPINS,   /* locks of objects, by threads that had not gone to sleep */
    GILX_LOCK_UNKNOWN, /* not CPython's, or for which there was no capacity */
} gilx_lock_kind;

typedef struct {
    uintptr_t address; /* 0 if there are several */
    gilx_lock_kind kind;
    char type[GILX_TYPE_NAME_SIZE]; /* of the object; empty if it is none */
    double time, squares; /* for how long threads waited, in ns, and the sum of squares */
    int64_t samples;
} gilx_lock_wait;

typedef struct {
    int count;
    gilx_lock_wait all[GILX_LOCKS];
} gilx_lock_table;

/* Set up a table with the locks that have no address. */
void gilx_lock_table_begin(gilx_lock_table *table);

/* Return the number of a lock, which is added if it is new and there is capacity. The
 * type is read once for each address: it may be that of an object which had it first. */
int gilx_lock_number(gilx_lock_table *table, const gilx_free_threads *threads,
                     gilx_memory *memory, gilx_wait wait);

/* Return the number of the entry for threads that spin, and for other locks. */
int gilx_lock_of_spins(void);
int gilx_lock_unknown(void);

void gilx_lock_add(gilx_lock_table *table, int number, double time);

#endif
