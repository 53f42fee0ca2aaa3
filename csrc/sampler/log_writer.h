/* Text that is written to a file while the program may be stuck: without malloc, stdio or
 * any lock, and without waiting for a reader that does not come.
 */
#ifndef GILX_SAMPLER_LOG_WRITER_H
#define GILX_SAMPLER_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int file; /* -1 if it is closed */
    bool socket;
    bool may_block;  /* it could not be opened anew, without blocking */
    bool cut;        /* the last text was not written to its end */
    int64_t dropped; /* bytes that could not be written */
} gilx_log;

/* Open a log that writes to where `descriptor` does, by a descriptor of its own, so that
 * the program may close or replace that one. Returns 0 or an errno. */
int gilx_log_open(gilx_log *log, int descriptor);

/* Write a text. What a full pipe does not take within some milliseconds is dropped, and
 * counted. */
void gilx_log_write(gilx_log *log, const char *text, size_t size);

void gilx_log_close(gilx_log *log);

#endif
