/* Philox4x32-10: four random words from a counter and a key, without any state.
 *
 * Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC'11.
 */
#ifndef GILX_KERNELS_PHILOX_H
#define GILX_KERNELS_PHILOX_H

#include <stdint.h>

/* Ten rounds on the four words c with a key of two words. Each makes two products of 32
 * by 32 bits and crosses their halves over. */
static inline void gilx_philox(uint32_t *c, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t first = (uint64_t)0xD2511F53 * c[0];
        const uint64_t second = (uint64_t)0xCD9E8D57 * c[2];
        c[0] = (uint32_t)(second >> 32) ^ c[1] ^ key0;
        c[2] = (uint32_t)(first >> 32) ^ c[3] ^ key1;
        c[1] = (uint32_t)second;
        c[3] = (uint32_t)first;
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
}

#endif
