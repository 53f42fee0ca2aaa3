/* Names of Python's threads, for reports: Python keeps them in objects, which can't be
 * read while the program is stuck, and tells Linux of them from 3.14 on only.
 *
 * There is one table for the process, of constant size. Of threads that share a place, it
 * has the one that was named last.
 */
#ifndef GILX_SAMPLER_THREAD_NAMES_H
#define GILX_SAMPLER_THREAD_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { GILX_PYTHON_NAME_SIZE = 64 };

/* Note the name of a thread of this process, of which so many bytes less one are kept.
 * Whether it was noted: not if Linux doesn't show when the thread was started, by which
 * it is distinguished from later ones with its number, or if another thread writes at
 * that place. */
bool gilx_note_thread_name(int64_t tid, const char *name);

/* Find the name of a thread, without a lock; whether it is known. */
bool gilx_find_thread_name(int64_t tid, char name[GILX_PYTHON_NAME_SIZE]);

#endif
