#define _POSIX_C_SOURCE 200809L

#include "nested_ids.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "linux_threads.h"

enum {
    SLOTS = 1 << 13,
    MOST = SLOTS / 2,
    PAUSE_FACTOR = 50, /* between two lists of threads: as long as the last one took */
};

typedef struct {
    int64_t inner, outer; /* 0: the slot is free */
} pair;

struct gilx_nested_ids {
    int64_t process;
    int64_t list_from; /* the time from which threads may be listed again */
    int count;
    pair pairs[SLOTS];
};

/* Return the id that a thread has in the innermost of its namespaces, 0 if it can't be
 * read; see NSpid in proc_pid_status(5). */
static int64_t innermost_id(int64_t process, int64_t tid) {
    static const char NAME[] = "\nNSpid:";
    char text[8192]; /* the groups before it may be many */
    const int status = gilx_status_open(process, tid);
    const ssize_t size = status < 0 ? -1 : pread(status, text, sizeof(text) - 1, 0);
    if (status >= 0) {
        close(status);
    }
    text[size > 0 ? size : 0] = '\0';
    const char *at = strstr(text, NAME);
    if (at == NULL) {
        return 0;
    }
    int64_t id = 0;
    at += sizeof(NAME) - 1;
    while (*at == '\t') {
        char *end;
        id = strtoll(at, &end, 10);
        at = end;
    }
    return id;
}

bool gilx_is_nested(int64_t process) {
    const int64_t id = innermost_id(process, process);
    return id != 0 && id != process;
}

/* Return the slot of an id, or the free one that it may have. */
static pair *slot_of(gilx_nested_ids *ids, int64_t inner) {
    unsigned slot = (unsigned)(((uint64_t)inner * 0x9e3779b97f4a7c15U) >> 32) % SLOTS;
    while (ids->pairs[slot].inner != 0 && ids->pairs[slot].inner != inner) {
        slot = (slot + 1) % SLOTS;
    }
    return &ids->pairs[slot];
}

void gilx_nested_ids_add(gilx_nested_ids *ids, int64_t tid) {
    const int64_t inner = innermost_id(ids->process, tid);
    if (inner == 0) {
        return; /* it has ended */
    }
    pair *slot = slot_of(ids, inner);
    if (slot->inner == 0) {
        if (ids->count == MOST) {
            return;
        }
        ++ids->count;
    }
    *slot = (pair){inner, tid}; /* the last thread that has the id */
}

static void add(void *context, int64_t tid) {
    gilx_nested_ids_add(context, tid);
}

/* List the threads, and forget those that have ended if there are many. */
static void list_threads(gilx_nested_ids *ids) {
    const int64_t begin = gilx_now_ns();
    if (ids->count == MOST) {
        ids->count = 0;
        memset(ids->pairs, 0, sizeof(ids->pairs));
    }
    (void)gilx_each_thread(ids->process, add, ids);
    const int64_t now = gilx_now_ns();
    ids->list_from = now + PAUSE_FACTOR * (now - begin);
}

gilx_nested_ids *gilx_nested_ids_new(int64_t process) {
    gilx_nested_ids *ids = calloc(1, sizeof(*ids));
    if (ids != NULL) {
        ids->process = process;
        list_threads(ids);
    }
    return ids;
}

int64_t gilx_outer_id(gilx_nested_ids *ids, int64_t inner) {
    if (inner <= 0) {
        return 0;
    }
    const pair *slot = slot_of(ids, inner);
    if (slot->inner == 0 && gilx_now_ns() >= ids->list_from) {
        list_threads(ids);
        slot = slot_of(ids, inner);
    }
    return slot->outer;
}
