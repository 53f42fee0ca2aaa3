#include "call_tree.h"

#include <stddef.h>
#include <stdlib.h>

#include "../platform/touched_memory.h"
#include "thread_table.h"

enum {
    SLOTS = 2 * GILX_CALLS,
    FULL = -1,
    ANY_THREAD = 0,
    RECENT = 256, /* calls of the last sample that are remembered */
};

struct gilx_call_tree {
    int count;
    gilx_call calls[GILX_CALLS];
    uint16_t slots[SLOTS]; /* hash of parents and labels: number + 1, or 0 */
    /* Calls of the last sample, the outermost one first: most are the same again. */
    uint16_t recent[RECENT];
};

/* Return a slot, by a multiplicative hash. */
static size_t slot_of(int parent, int label) {
    const uint64_t key = (uint64_t)(uint32_t)parent << 32 | (uint32_t)label;
    return (size_t)((key * 0x9e3779b97f4a7c15U) >> 40) % SLOTS;
}

/* Return the number of a call, which is added if there is capacity for it, else FULL. */
static int call_of(gilx_call_tree *tree, int parent, int label) {
    size_t slot = slot_of(parent, label);
    for (; tree->slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        const int number = tree->slots[slot] - 1;
        if (tree->calls[number].parent == parent && tree->calls[number].label == label) {
            return number;
        }
    }
    if (tree->count == GILX_CALLS) {
        return FULL;
    }
    tree->calls[tree->count] = (gilx_call){.parent = parent, .label = label};
    tree->slots[slot] = (uint16_t)(tree->count + 1);
    return tree->count++;
}

/* Return a call as call_of() does, given how many calls are outside of it. */
static int recent_call_of(gilx_call_tree *tree, int parent, int label, int depth) {
    if (depth >= RECENT) {
        return call_of(tree, parent, label);
    }
    const gilx_call *recent = &tree->calls[tree->recent[depth]];
    if (recent->parent == parent && recent->label == label) {
        return tree->recent[depth];
    }
    const int number = call_of(tree, parent, label);
    tree->recent[depth] = number == FULL ? ANY_THREAD : (uint16_t)number;
    return number;
}

gilx_call_tree *gilx_call_tree_new(void) {
    gilx_call_tree *tree = gilx_allocate_touched(sizeof(*tree), sizeof(*tree));
    if (tree != NULL) {
        /* Samples of threads without capacity count for this one. */
        (void)call_of(tree, GILX_NO_CALL, GILX_UNKNOWN_THREAD);
    }
    return tree;
}

void gilx_call_tree_free(gilx_call_tree *tree) {
    free(tree);
}

void gilx_call_tree_add(gilx_call_tree *tree, int place, const int *labels, int count,
                        double weight) {
    int innermost = ANY_THREAD;
    int next = call_of(tree, GILX_NO_CALL, place);
    for (int i = 0; next != FULL; ++i) {
        innermost = next;
        if (i == count) {
            tree->calls[innermost].held += weight;
            return;
        }
        next = recent_call_of(tree, innermost, labels[i], i);
    }
    tree->calls[innermost].held += weight;
    tree->calls[innermost].cut += weight;
}

int gilx_call_tree_size(const gilx_call_tree *tree) {
    return tree->count;
}

const gilx_call *gilx_call_tree_at(const gilx_call_tree *tree, int number) {
    return &tree->calls[number];
}
