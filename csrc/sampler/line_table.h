/* Decoder of co_linetable, the table of CPython 3.11 and later that says which part of
 * the source each instruction of a code object comes from. It works on copies of the
 * bytes and never reads beyond them, whatever they hold.
 *
 * The format is described in CPython's InternalDocs/code_objects.md.
 */
#ifndef GILX_SAMPLER_LINE_TABLE_H
#define GILX_SAMPLER_LINE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GILX_LONGEST_ENTRY = 25 }; /* bytes of an entry of the table, at most */

/* Part of a source file: lines from 1, 0 if not known; columns in bytes of UTF-8 from 0,
 * -1 if not known. Line 0 with known columns is what CPython gives the first instruction
 * of a module. */
typedef struct {
    int32_t line, end_line, column, end_column;
} gilx_position;

/* A search for the position of an instruction, over a table that comes in pieces. Start
 * with {.line = co_firstlineno, .unit = the instruction's}; an instruction is counted in
 * code units of two bytes from the first one of its code object. */
typedef struct {
    int64_t line; /* of the entry before the next one */
    int64_t unit; /* units from the next entry to the instruction */
} gilx_line_search;

typedef enum {
    GILX_LINE_FOUND,  /* the position was set; it may still be unknown */
    GILX_LINE_ABSENT, /* the table ends before the instruction, or is malformed */
    GILX_LINE_BEYOND, /* the search is to go on with the next piece */
} gilx_line_status;

/* Search the next piece of a table, of `size` bytes; `last` says whether the table ends
 * with it. Sets `position`, if it is found, else to unknown. Sets `used` to the bytes
 * that the next piece does not have to begin with; more than 0 if this piece is not the
 * last and has at least GILX_LONGEST_ENTRY bytes. */
gilx_line_status gilx_line_find(gilx_line_search *search, const unsigned char *piece,
                                size_t size, bool last, size_t *used,
                                gilx_position *position);

#endif
