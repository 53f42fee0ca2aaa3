/* The tables that follow from the list of kernels. */
#include "signatures.h"

#include "docstrings.h"

#define ARRAY_TABLE(id, item_type, dims, ...) \
    {.name = #id, .kind = GILX_ARRAY, .type = GILX_##item_type, .shape = dims},
#define OFFSETS_TABLE(id, dims, cuts, ...) \
    {.name = #id, .kind = GILX_OFFSETS, .type = GILX_int64, .shape = dims, .of = #cuts},
#define INTEGER_TABLE(id, low, high, ...) \
    {.name = #id, .kind = GILX_INTEGER, .least = low, .greatest = high},
#define REAL_TABLE(id, ...) {.name = #id, .kind = GILX_REAL},
#define OUT_TABLE(item_type, dims, ...) \
    {.name = "out", .kind = GILX_OUT, .type = GILX_##item_type, .shape = dims},

#define ONE(...) +1

#define SIGNATURE(kernel, PARAMETERS, noun, ...)                                      \
    {.name = #kernel,                                                                 \
     .item = noun,                                                                    \
     .count = 0 PARAMETERS(ONE, ONE, ONE, ONE, ONE),                                  \
     .parameters = {PARAMETERS(ARRAY_TABLE, OFFSETS_TABLE, INTEGER_TABLE, REAL_TABLE, \
                               OUT_TABLE)},                                           \
     .doc_gil = GILX_DOC(kernel, gil, PARAMETERS, noun, __VA_ARGS__),                 \
     .doc_nogil = GILX_DOC(kernel, nogil, PARAMETERS, noun, __VA_ARGS__)},

const gilx_signature gilx_signatures[GILX_KERNEL_COUNT] = {GILX_KERNELS(SIGNATURE)};
