#include "lock_table.h"

enum { SPINS, UNKNOWN, FIXED };

void gilx_lock_table_begin(gilx_lock_table *table) {
    table->count = FIXED;
    table->all[SPINS] = (gilx_lock_wait){.kind = GILX_LOCK_SPINS};
    table->all[UNKNOWN] = (gilx_lock_wait){.kind = GILX_LOCK_UNKNOWN};
}

int gilx_lock_of_spins(void) {
    return SPINS;
}

int gilx_lock_unknown(void) {
    return UNKNOWN;
}

int gilx_lock_number(gilx_lock_table *table, const gilx_free_threads *threads,
                     gilx_memory *memory, gilx_wait wait) {
    if (wait.kind != GILX_WAIT_MUTEX && wait.kind != GILX_WAIT_EVENT) {
        return UNKNOWN;
    }
    for (int i = FIXED; i < table->count; ++i) {
        if (table->all[i].address == wait.address) {
            return i;
        }
    }
    if (table->count == GILX_LOCKS) {
        return UNKNOWN;
    }
    gilx_lock_wait *new = &table->all[table->count];
    *new = (gilx_lock_wait){.address = wait.address, .kind = GILX_LOCK_EVENT};
    if (wait.kind == GILX_WAIT_MUTEX) {
        const bool object = gilx_free_type_of(threads, memory, wait.address, new->type);
        new->kind = object ? GILX_LOCK_OBJECT : GILX_LOCK_MUTEX;
        if (!object) {
            new->type[0] = '\0';
        }
    }
    return table->count++;
}

void gilx_lock_add(gilx_lock_table *table, int number, double time) {
    gilx_lock_wait *one = &table->all[number];
    one->time += time;
    one->squares += time * time;
    ++one->samples;
}
