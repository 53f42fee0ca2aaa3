/* Text of reports, made while the program is stuck: without malloc, stdio or a lock. */
#ifndef GILX_SAMPLER_REPORT_TEXT_H
#define GILX_SAMPLER_REPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GILX_REPORT_BYTES = 1 << 14 };

/* Text of limited length. What does not fit is left out, and the last line says so. */
typedef struct {
    char bytes[GILX_REPORT_BYTES];
    size_t size;
    bool cut;
} gilx_text;

void gilx_text_clear(gilx_text *text);

/* Begin a text anew with the words that each report of a process begins with. */
void gilx_text_begin(gilx_text *text, int64_t process);

/* Add words of gilx's own. */
void gilx_text_add(gilx_text *text, const char *words);

/* Add UTF-8 of the program: names of files, functions and threads. What Python calls not
 * printable is escaped, as gilx.formatting.escaped() does: it could make a terminal do
 * things, or show words in another order. What is not UTF-8 is shown as U+FFFD. */
void gilx_text_add_name(gilx_text *text, const char *name);

void gilx_text_add_number(gilx_text *text, int64_t number);

/* Add a time in seconds, with two digits after the point. */
void gilx_text_add_seconds(gilx_text *text, int64_t nanoseconds);

/* Add the date and the time of day in UTC of a time in seconds since 1970. */
void gilx_text_add_date(gilx_text *text, int64_t seconds);

/* End a line with the time of now. */
void gilx_text_end_line(gilx_text *text);

#endif
