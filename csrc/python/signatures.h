/* What each kernel takes, as data: made from the list in kernels.h. */
#ifndef GILX_PYTHON_SIGNATURES_H
#define GILX_PYTHON_SIGNATURES_H

#include "../kernels/kernels.h"

enum { GILX_MAX_PARAMETERS = 12 };

/* Item types of array parameters. */
typedef enum { GILX_uint8, GILX_int32, GILX_int64, GILX_float64 } gilx_type;

typedef enum {
    GILX_ARRAY,   /* an input array */
    GILX_OFFSETS, /* int64 offsets that cut the array parameter named `of` */
    GILX_INTEGER, /* a whole number from `least` to `greatest` */
    GILX_REAL,    /* a double */
    GILX_OUT      /* the output array, always the last */
} gilx_kind;

typedef struct {
    const char *name;
    gilx_kind kind;
    gilx_type type;
    const char *shape;
    const char *of;
    int64_t least, greatest;
} gilx_parameter;

typedef struct {
    const char *name;
    const char *item; /* what one item is, for messages */
    int count;        /* parameters, out included */
    gilx_parameter parameters[GILX_MAX_PARAMETERS];
    /* Docstrings of the held and the released variant, the signature line first. */
    const char *doc_gil, *doc_nogil;
} gilx_signature;

/* Indices into gilx_signatures: GILX_KERNEL_mandelbrot and so on. */
#define GILX_INDEX(name, ...) GILX_KERNEL_##name,
enum { GILX_KERNELS(GILX_INDEX) GILX_KERNEL_COUNT };
#undef GILX_INDEX

extern const gilx_signature gilx_signatures[GILX_KERNEL_COUNT];

#endif
