#include "thread_table.h"

#include <string.h>

enum { SLOTS = 2 * GILX_THREADS };

/* Return the slot of a thread, or the empty one where it would go. The table is at most
 * half full, so that there is always one. */
static unsigned slot_of(const gilx_thread_table *table, int64_t tid) {
    /* Fibonacci hashing: Knuth, The Art of Computer Programming, vol. 3, 6.4. */
    unsigned slot = (unsigned)(((uint64_t)tid * 0x9e3779b97f4a7c15U) >> 32) % SLOTS;
    while (table->slots[slot] != 0 && table->threads[table->slots[slot] - 1].tid != tid) {
        slot = (slot + 1) % SLOTS;
    }
    return slot;
}

int gilx_thread_place(const gilx_thread_table *table, int64_t tid) {
    const unsigned slot = slot_of(table, tid);
    return table->slots[slot] == 0 || table->forgotten[slot] ? GILX_UNKNOWN_THREAD
                                                             : table->slots[slot] - 1;
}

void gilx_thread_forget(gilx_thread_table *table, int64_t tid) {
    const unsigned slot = slot_of(table, tid);
    if (table->slots[slot] != 0) {
        /* The slot stays taken, so that those after it are found. */
        table->threads[table->slots[slot] - 1].ended = true;
        table->forgotten[slot] = true;
    }
}

int gilx_thread_add(gilx_thread_table *table, int64_t tid, bool holds) {
    const unsigned slot = slot_of(table, tid);
    if (table->slots[slot] != 0 && !table->forgotten[slot]) {
        return table->slots[slot] - 1;
    }
    if (table->count == GILX_THREADS ||
        (!holds && table->listed == GILX_THREADS_LISTED)) {
        return GILX_UNKNOWN_THREAD;
    }
    table->listed += !holds;
    table->threads[table->count] = (gilx_watched_thread){
        .number = table->added++,
        .tid = tid,
        .does = gilx_no_activities(0),
        .syscall = -1,
        .schedstat = -1,
    };
    table->slots[slot] = (uint16_t)(table->count + 1);
    table->forgotten[slot] = false;
    return table->count++;
}

void gilx_thread_table_shrink(gilx_thread_table *table, uint16_t places[GILX_THREADS]) {
    const int count = table->count;
    table->count = 0;
    memset(table->slots, 0, sizeof(table->slots));
    memset(table->forgotten, 0, sizeof(table->forgotten));
    for (int i = 0; i < count; ++i) {
        if (places[i] == GILX_UNKNOWN_THREAD) {
            continue;
        }
        const int place = table->count++;
        table->threads[place] = table->threads[i];
        places[i] = (uint16_t)place;
        const unsigned slot = slot_of(table, table->threads[place].tid);
        if (table->slots[slot] == 0 || table->forgotten[slot]) {
            table->slots[slot] = (uint16_t)(place + 1);
            table->forgotten[slot] = table->threads[place].ended;
        }
    }
    table->listed = table->count;
    if (table->listed > GILX_THREADS_LISTED) {
        table->listed = GILX_THREADS_LISTED;
    }
}
