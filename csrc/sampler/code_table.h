/* Functions and spots in them, found from addresses of code objects and instructions.
 *
 * Code objects die, and others are made at their addresses: what is known of one is
 * looked up by its address and by a fingerprint that is read each time. Texts are copied
 * when they are first met, and no address is followed later.
 *
 * All memory is reserved from the start. A table is for one thread at a time.
 */
#ifndef GILX_SAMPLER_CODE_TABLE_H
#define GILX_SAMPLER_CODE_TABLE_H

#include <stdint.h>

#include "layouts.h"
#include "safe_memory.h"

enum {
    GILX_FUNCTIONS = 1 << 12,          /* capacity of the table */
    GILX_SPOTS = 1 << 13,              /* likewise */
    GILX_TEXT_BYTES = 1 << 19,         /* of all names of functions and files together */
    GILX_KNOWN_CODES = 1 << 13,        /* instructions whose spots are remembered */
    GILX_LONGEST_NAME = 300,           /* bytes; longer ones lose their end, */
    GILX_LONGEST_FILE = 1000,          /* and files' names their beginning */
    GILX_LONGEST_LINE_TABLE = 1 << 20, /* bytes; no lines are found in longer ones */

    GILX_SPOT_UNKNOWN = -1, /* no code object is there, or the instruction isn't its */
    GILX_SPOT_OTHER = -2,   /* the table is full */
};

typedef struct {
    const char *name, *file; /* UTF-8; lone surrogates are three bytes each, and U+2400
                                stands for NUL. Cut ones end, or begin, with U+2026 */
    int32_t first_line;
} gilx_function;

typedef struct {
    int32_t function;       /* number of the function */
    int32_t line, end_line; /* from 1; 0 if not known */
    int32_t column;         /* bytes of UTF-8 from 0; -1 if not known */
    int32_t end_column;
} gilx_spot;

typedef struct gilx_code_table gilx_code_table;

/* Return a new table, which gilx_code_table_free() gives back, or NULL with errno set.
 * `layout` must outlive it; `code_type` is the address of the type of code objects. */
gilx_code_table *gilx_code_table_new(const gilx_stack_layout *layout,
                                     uintptr_t code_type);
void gilx_code_table_free(gilx_code_table *table);

/* Forget all spots and functions. */
void gilx_code_table_clear(gilx_code_table *table);

/* Return the number of the spot of an instruction, GILX_SPOT_UNKNOWN or GILX_SPOT_OTHER.
 * `code` and `instr` are words of a frame, as they are; the code object may have died
 * since. It is read before and after what it refers to: if it has changed, nothing is
 * kept. That takes one system call if the spot is remembered, else three, and another one
 * for each further 16 KiB of a line table. */
int gilx_code_spot(gilx_code_table *table, gilx_memory *memory, uintptr_t code,
                   uintptr_t instr);

/* Read what tells each code object from others that are at its address before or after,
 * at most GILX_MOST_RANGES of them: in one system call if all are there. */
void gilx_codes_read(gilx_code_table *table, gilx_memory *memory, const uintptr_t *codes,
                     int count);

/* Return the spot of an instruction as gilx_code_spot() does, by the number of its code
 * object among those that were read last. It is GILX_SPOT_UNKNOWN if that has changed
 * since, unless the spot is remembered, which takes no system call. */
int gilx_codes_spot(gilx_code_table *table, gilx_memory *memory, int number,
                    uintptr_t instr);

/* Return how many spots and functions there are. Their numbers count from 0 and stay. */
int gilx_spot_count(const gilx_code_table *table);
int gilx_function_count(const gilx_code_table *table);

/* Return the spot or function of a number, until the table is freed. */
const gilx_spot *gilx_spot_at(const gilx_code_table *table, int number);
const gilx_function *gilx_function_at(const gilx_code_table *table, int number);

#endif
