#include "thread_names.h"

#include <stdatomic.h>
#include <string.h>

#include "linux_threads.h"

enum { PLACES = 1 << 10, WORDS = GILX_PYTHON_NAME_SIZE / (int)sizeof(uint64_t) };

typedef struct {
    _Atomic uint64_t version; /* odd while the rest is written */
    _Atomic int64_t tid, started;
    _Atomic uint64_t words[WORDS]; /* the name */
} place;

/* In the child of a fork it is as it was in the parent: no thread there is one of these.
 * A place that was written meanwhile stays unused. */
static place places[PLACES];

static place *place_of(int64_t tid) {
    return &places[(uint64_t)tid % PLACES]; /* threads are numbered one after another */
}

bool gilx_note_thread_name(int64_t tid, const char *name) {
    place *one = place_of(tid);
    const int64_t started = gilx_start_of(0, tid);
    uint64_t version = atomic_load(&one->version);
    if (started == 0 || version % 2 != 0 ||
        !atomic_compare_exchange_strong(&one->version, &version, version + 1)) {
        return false;
    }
    uint64_t words[WORDS] = {0};
    strncpy((char *)words, name, GILX_PYTHON_NAME_SIZE - 1);
    atomic_store(&one->tid, tid);
    atomic_store(&one->started, started);
    for (int i = 0; i < WORDS; ++i) {
        atomic_store(&one->words[i], words[i]);
    }
    atomic_store(&one->version, version + 2);
    return true;
}

bool gilx_find_thread_name(int64_t tid, char name[GILX_PYTHON_NAME_SIZE]) {
    const place *one = place_of(tid);
    const uint64_t version = atomic_load(&one->version);
    const int64_t found = atomic_load(&one->tid), started = atomic_load(&one->started);
    uint64_t words[WORDS];
    for (int i = 0; i < WORDS; ++i) {
        words[i] = atomic_load(&one->words[i]);
    }
    memcpy(name, words, sizeof(words));
    return version != 0 && version % 2 == 0 && atomic_load(&one->version) == version &&
           found == tid && started != 0 && started == gilx_start_of(0, tid);
}
