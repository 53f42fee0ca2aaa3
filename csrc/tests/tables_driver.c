/* Tests the sampler's tables: threads, and places of CPython's structs. */
#define _GNU_SOURCE
#define DRIVER "tables_driver"

#include "../sampler/thread_table.h"
#include "fake_gil.h"

static void tables_hold_what_they_say(void) {
    gilx_thread_table *table = calloc(1, sizeof(*table));
    expect(table != NULL, "there is memory for a table");
    for (int64_t tid = 1; tid <= GILX_THREADS_LISTED; ++tid) {
        expect(gilx_thread_add(table, 7 * tid, false) == tid - 1, "threads are added");
    }
    expect(gilx_thread_add(table, 1, false) == GILX_UNKNOWN_THREAD,
           "so many did not hold");
    for (int64_t tid = GILX_THREADS_LISTED + 1; tid <= GILX_THREADS; ++tid) {
        expect(gilx_thread_add(table, 7 * tid, true) == tid - 1, "holders are added");
    }
    expect(gilx_thread_add(table, 1, true) == GILX_UNKNOWN_THREAD, "it is full");
    for (int64_t tid = 1; tid <= GILX_THREADS; ++tid) {
        expect(gilx_thread_place(table, 7 * tid) == tid - 1, "each has its place");
        expect(gilx_thread_add(table, 7 * tid, true) == tid - 1, "and keeps it");
    }
    expect(gilx_thread_place(table, 1) == GILX_UNKNOWN_THREAD, "others have none");
    table->count = 2;
    gilx_thread_forget(table, 7);
    expect(gilx_thread_place(table, 7) == GILX_UNKNOWN_THREAD, "it is forgotten");
    expect(gilx_thread_add(table, 7, true) == 2, "another one with its id is new");
    expect(gilx_thread_place(table, 7) == 2, "and has the new place");
    expect(gilx_thread_place(table, 14) == 1, "others keep theirs");
    free(table);
}

static void places_agree_between_final_releases_only(void) {
    expect(gilx_same_places(0x030e07f0, 0x030e0af0), "3.14.7 and 3.14.10 agree");
    expect(!gilx_same_places(0x030e07f0, 0x030f00f0), "3.14 and 3.15 do not");
    expect(gilx_same_places(0x030f00b2, 0x030f00b2), "a beta agrees with itself");
    expect(!gilx_same_places(0x030f00b2, 0x030f00b3), "but not with the next one");
    expect(!gilx_same_places(0x030f00c1, 0x030f00f0), "nor a candidate with a release");
    expect(!gilx_same_places(0x030f00f0, 0x030f01a0), "nor a release with a later alpha");
}

static void stacks_have_places_in_builds_with_a_gil_only(void) {
    for (uint64_t minor = 11; minor <= 15; ++minor) {
        const gilx_layout *layout = gilx_layout_of(0x030000f0 | minor << 16);
        expect(layout != NULL, "the version is known");
        const gilx_stack_layout *stack = gilx_stack_layout_of(layout, false);
        expect(stack == &layout->stack && stack->instructions > 0, "its stacks are");
        expect((stack->version < 0) == (minor == 11), "code is numbered since 3.12");
        expect((stack->cframe_frame < 0) == (minor >= 13), "3.13 needs no cframe");
        expect(gilx_stack_layout_of(layout, true) == NULL, "other builds are unknown");
    }
    expect(gilx_stack_layout_of(gilx_layout_of(0x030a00f0), false) == NULL,
           "3.10 is unknown");
}

int main(void) {
    tables_hold_what_they_say();
    places_agree_between_final_releases_only();
    stacks_have_places_in_builds_with_a_gil_only();
    puts(DRIVER ": fine");
    return 0;
}
