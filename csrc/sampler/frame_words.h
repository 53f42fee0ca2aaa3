/* Words of CPython's structs, in copies of these and in memory. */
#ifndef GILX_SAMPLER_FRAME_WORDS_H
#define GILX_SAMPLER_FRAME_WORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "layouts.h"
#include "safe_memory.h"
#include "stack_reader.h"

/* Return the word at an offset of a struct that was copied. */
static inline uintptr_t gilx_word_at(const unsigned char *copy, int offset) {
    uintptr_t word;
    memcpy(&word, copy + offset, sizeof(word));
    return word;
}

/* Return the frame at an address by a copy of its header. */
static inline gilx_frame gilx_frame_in(const gilx_stack_layout *layout, uintptr_t address,
                                       const unsigned char *copy) {
    return (gilx_frame){
        .address = address,
        .code = gilx_word_at(copy, layout->code) & ~(uintptr_t)layout->tag,
        .instruction = gilx_word_at(copy, layout->instr),
        .previous = gilx_word_at(copy, layout->previous),
        .owner = copy[layout->owner],
        .entered = layout->entry >= 0 && copy[layout->entry] != 0,
    };
}

/* Read the word at an offset of a struct; whether it could be read. */
static inline bool gilx_read_word(gilx_memory *memory, uintptr_t address, int64_t offset,
                                  uintptr_t *word) {
    const void *from = (const void *)(address + (uintptr_t)offset);
    return address != 0 && gilx_memory_read(memory, from, word, sizeof(*word));
}

#endif
