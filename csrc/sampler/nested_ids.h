/* Native ids of the threads of a process in a PID namespace of its own, as in a
 * container.
 *
 * Such a thread has one id there, by which its process knows it, and another one here, by
 * which /proc lists it. Nothing here takes memory but gilx_nested_ids_new(). */
#ifndef GILX_SAMPLER_NESTED_IDS_H
#define GILX_SAMPLER_NESTED_IDS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct gilx_nested_ids gilx_nested_ids;

/* Return whether a process has ids of its own, by which it is not known here. */
bool gilx_is_nested(int64_t process);

/* Return the ids of the threads that a process has, to be freed by free(); NULL if memory
 * is short. */
gilx_nested_ids *gilx_nested_ids_new(int64_t process);

/* Add a thread, by its id here. */
void gilx_nested_ids_add(gilx_nested_ids *ids, int64_t tid);

/* Return the id here of a thread by its id there; 0 if there is none. Threads are listed
 * again for one that is not known, unless that was done just before. */
int64_t gilx_outer_id(gilx_nested_ids *ids, int64_t inner);

#endif
