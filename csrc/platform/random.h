/* Random numbers for instruments (SplitMix64: Steele, Lea and Flood, Fast Splittable
 * Pseudorandom Number Generators, OOPSLA 2014). */
#ifndef GILX_PLATFORM_RANDOM_H
#define GILX_PLATFORM_RANDOM_H

#include <stdint.h>

static inline uint64_t gilx_split_mix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1): 53 random bits. */
static inline double gilx_uniform(uint64_t *state) {
    return (double)(gilx_split_mix(state) >> 11) * 0x1p-53;
}

#endif
