/* Places of the words that the sampler reads, in each version of CPython.
 *
 * They are data, chosen by the version of the interpreter that is read, which need not be
 * the one that gilx was built for. The places are those of 64-bit systems; they are the
 * same in all final releases of a minor version.
 */
#ifndef GILX_SAMPLER_LAYOUTS_H
#define GILX_SAMPLER_LAYOUTS_H

#include <stdbool.h>
#include <stdint.h>

/* Offsets in bytes. 3.11 has one GIL, in the runtime; 3.12 has a pointer in each
 * interpreter. csrc/python/own_interpreter.c compares all of these with the headers that
 * gilx is built with. */
#define GILX_PLACES_11(PLACE) PLACE(runtime_gil, 360) PLACE(tid, 160) PLACE(id, 240)
#define GILX_PLACES_12(PLACE) PLACE(interpreter_gil, 384) PLACE(tid, 144) PLACE(id, 224)

/* From 3.13 on, the runtime begins with a table of offsets, each a 64-bit word. These are
 * the numbers of its words, and the offset of the one place that it does not have. */
/* clang-format off */
#define GILX_PLACES_13(PLACE)                                                         \
    PLACE(table_threads, 9) PLACE(table_gil, 14) PLACE(table_own_gil, 15)             \
    PLACE(table_enabled, 16) PLACE(table_locked, 17) PLACE(table_holder, 18)          \
    PLACE(table_next, 21) PLACE(table_tid, 25) PLACE(id, 224)
#define GILX_PLACES_14(PLACE)                                                         \
    PLACE(table_threads, 9) PLACE(table_gil, 15) PLACE(table_own_gil, 16)             \
    PLACE(table_enabled, 17) PLACE(table_locked, 18) PLACE(table_holder, 19)          \
    PLACE(table_next, 24) PLACE(table_tid, 28) PLACE(id, 224)
#define GILX_PLACES_15(PLACE)                                                         \
    PLACE(table_threads, 9) PLACE(table_gil, 15) PLACE(table_own_gil, 16)             \
    PLACE(table_enabled, 17) PLACE(table_locked, 18) PLACE(table_holder, 19)          \
    PLACE(table_next, 24) PLACE(table_tid, 31) PLACE(table_waits, 35) PLACE(id, 248)
/* clang-format on */

enum {
    /* Words of every table of offsets. */
    GILX_TABLE_COOKIE = 0,
    GILX_TABLE_VERSION = 1,
    GILX_TABLE_FREE_THREADED = 2,
    GILX_TABLE_WORDS = 36, /* no word that is used comes later */
};

/* The GIL's words, which lie side by side in this order in all versions so far. Those
 * that do not are not believed: the order binds all of them to the one that follows the
 * switch interval. */
typedef struct {
    unsigned long interval;
    uintptr_t holder;
    int locked;
    unsigned long switches;
} gilx_gil_struct;

/* Places in one minor version, 0 where there is none. */
typedef struct {
    uint64_t version;    /* a release with these places, as in PY_VERSION_HEX */
    int runtime_gil;     /* the GIL in the runtime */
    int interpreter_gil; /* the pointer to the GIL in an interpreter */
    int tid, id;         /* a thread state's native id, and its number */
    int table_threads;   /* words of the table of offsets: an interpreter's first thread
                            state, */
    int table_gil;       /* its pointer to its GIL, */
    int table_own_gil;   /* and the GIL that it contains, used or not; */
    int table_enabled;   /* within a GIL, whether it is on; */
    int table_locked;    /* within the GIL that an interpreter contains, but counted */
    int table_holder;    /* from the interpreter; */
    int table_next;      /* of a thread state the next one, */
    int table_tid;       /* its native id, */
    int table_waits;     /* and whether it wants the GIL */
} gilx_layout;

/* Return the places in a version, as in PY_VERSION_HEX, or NULL if they are not known. */
const gilx_layout *gilx_layout_of(uint64_t version);

/* Return whether places are the same in two versions. They stay as they are within a
 * minor version once it is final: between pre-releases, and from the last of these to the
 * final release, they may change. */
bool gilx_same_places(uint64_t one, uint64_t other);

#endif
