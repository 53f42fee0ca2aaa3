#include "layouts.h"

#include <stddef.h>

#define MEMBER(name, place) .name = (place),
/* clang-format off */
#define PLACES(release, minor)                                                   \
    {.version = (release), GILX_PLACES_##minor(MEMBER)                           \
     .stack = {GILX_STACK_PLACES_##minor(MEMBER) GILX_STRING_BITS(MEMBER)}}
#define FREE_PLACES(release, minor)                                              \
    {.version = (release), GILX_PLACES_##minor(MEMBER)                           \
     .stack = {GILX_STACK_PLACES_##minor(MEMBER) GILX_STRING_BITS(MEMBER)},      \
     .free_stack = {GILX_FREE_STACK_PLACES_##minor(MEMBER)                       \
                    GILX_FREE_STRING_BITS(MEMBER)},                                   \
     .free = {GILX_FREE_PLACES_##minor(MEMBER)}}
/* clang-format on */

static const gilx_layout LAYOUTS[] = {
    PLACES(0x030b07f0, 11),      PLACES(0x030c01f0, 12), PLACES(0x030d00f0, 13),
    FREE_PLACES(0x030e07f0, 14), PLACES(0x030f02f0, 15),
};

bool gilx_same_places(uint64_t one, uint64_t other) {
    enum { MINOR_SHIFT = 16, LEVEL_SHIFT = 4, LEVEL_MASK = 0xf, FINAL = 0xf };
    const bool final = (one >> LEVEL_SHIFT & LEVEL_MASK) == FINAL &&
                       (other >> LEVEL_SHIFT & LEVEL_MASK) == FINAL;
    return final ? one >> MINOR_SHIFT == other >> MINOR_SHIFT : one == other;
}

const gilx_layout *gilx_layout_of(uint64_t version) {
    for (size_t i = 0; i < sizeof(LAYOUTS) / sizeof(*LAYOUTS); ++i) {
        if (sizeof(void *) == sizeof(uint64_t) &&
            gilx_same_places(LAYOUTS[i].version, version)) {
            return &LAYOUTS[i];
        }
    }
    return NULL;
}

const gilx_stack_layout *gilx_stack_layout_of(const gilx_layout *layout,
                                              bool free_threaded) {
    return layout == NULL || free_threaded ? NULL : &layout->stack;
}

const gilx_free_layout *gilx_free_layout_of(const gilx_layout *layout) {
    return layout == NULL || layout->free.state == 0 ? NULL : &layout->free;
}

const gilx_stack_layout *gilx_free_stack_layout_of(const gilx_layout *layout) {
    return layout == NULL || layout->free_stack.copies == 0 ? NULL : &layout->free_stack;
}
