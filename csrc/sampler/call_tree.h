/* Tree of the calls that led to the places where the GIL was held, with the time for
 * which it was held in each.
 *
 * All memory is reserved from the start.
 */
#ifndef GILX_SAMPLER_CALL_TREE_H
#define GILX_SAMPLER_CALL_TREE_H

#include <stdint.h>

enum {
    GILX_CALLS = 1 << 13, /* capacity of the tree */
    GILX_NO_CALL = -1,    /* parent of a thread */
    /* Labels that are not numbers of spots, in addition to GILX_SPOT_UNKNOWN and
     * GILX_SPOT_OTHER. */
    GILX_CALL_EMPTY = -3,     /* the thread ran no Python code */
    GILX_CALL_TRUNCATED = -4, /* outer calls that were not read */
    GILX_CALL_BELOW = -5,     /* the caller itself, or any call that it made */
    GILX_CALL_COLLECTOR = -6, /* the garbage collector */
};

/* A call of a function from one place, or a thread. */
typedef struct {
    int32_t parent; /* number of the caller, which is smaller than the call's own */
    int32_t label;  /* spot in the called function; place of a thread, see
                       gilx_thread_table */
    double held;    /* ns for which the GIL was held in this call itself, */
    double cut;     /* and the part of it that may be of calls without capacity */
} gilx_call;

typedef struct gilx_call_tree gilx_call_tree;

/* Return a tree without samples, or NULL if memory runs out. */
gilx_call_tree *gilx_call_tree_new(void);
void gilx_call_tree_free(gilx_call_tree *tree);

/* Add a sample of `weight` ns of the thread at a place of the table of threads. `labels`
 * are those of its calls, the outermost one first. If the tree has no
 * capacity for all of them, the sample counts for the innermost one that it has. */
void gilx_call_tree_add(gilx_call_tree *tree, int place, const int *labels, int count,
                        double weight);

/* Return the number of calls and threads, and one of them. */
int gilx_call_tree_size(const gilx_call_tree *tree);
const gilx_call *gilx_call_tree_at(const gilx_call_tree *tree, int number);

#endif
