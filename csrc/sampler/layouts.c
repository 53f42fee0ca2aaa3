#include "layouts.h"

#include <stddef.h>

#define MEMBER(name, place) .name = (place),

static const gilx_layout LAYOUTS[] = {
    {.version = 0x030b07f0, GILX_PLACES_11(MEMBER)},
    {.version = 0x030c01f0, GILX_PLACES_12(MEMBER)},
    {.version = 0x030d00f0, GILX_PLACES_13(MEMBER)},
    {.version = 0x030e07f0, GILX_PLACES_14(MEMBER)},
    {.version = 0x030f02f0, GILX_PLACES_15(MEMBER)},
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
