/* Whether two releases of CPython lay out their runtime alike. */
#ifndef GILX_SAMPLER_CPYTHON_VERSIONS_H
#define GILX_SAMPLER_CPYTHON_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

/* Return whether the tables of offsets of two versions, as in PY_VERSION_HEX, agree. They
 * stay as they are within a minor version once it is final: between pre-releases, and
 * from the last of these to the final release, they may change. */
static inline bool gilx_same_offsets(uint64_t built, uint64_t running) {
    enum { MINOR_SHIFT = 16, LEVEL_SHIFT = 4, LEVEL_MASK = 0xf, FINAL = 0xf };
    const bool final = (built >> LEVEL_SHIFT & LEVEL_MASK) == FINAL &&
                       (running >> LEVEL_SHIFT & LEVEL_MASK) == FINAL;
    return final ? built >> MINOR_SHIFT == running >> MINOR_SHIFT : built == running;
}

#endif
