/* The parameters of each kernel, as data. The build makes kernel_list.h from the kernels'
 * descriptions: see csrc/generate.py. */
#ifndef GILX_PYTHON_SIGNATURES_H
#define GILX_PYTHON_SIGNATURES_H

#include "../kernels/kernels.h"
#include "kernel_list.h"

enum { GILX_MAX_PARAMETERS = 12, GILX_MAX_SIZES = 2 * GILX_MAX_PARAMETERS };

/* Item types of array parameters. */
typedef enum { GILX_uint8, GILX_int32, GILX_int64, GILX_float64 } gilx_type;

typedef enum {
    GILX_BUFFER,  /* an input array */
    GILX_OFFSETS, /* int64 offsets that cut the array before them into strings */
    GILX_INTEGER, /* a whole number from `least` to `greatest` */
    GILX_REAL,    /* a double */
    GILX_OUTPUT   /* the output array, always the last */
} gilx_kind;

/* The length of an axis: a size, divided by another and rounded up, plus a number. Sizes
 * are indices, -1 where there is none: an integer parameter's is its own, and names in
 * shapes come after all parameters. */
typedef struct {
    int size, part;
    int64_t more;
} gilx_axis;

typedef struct {
    const char *name;
    gilx_kind kind;
    gilx_type type;
    const char *shape; /* for messages */
    int dimensions;
    gilx_axis axes[2];
    int64_t least, greatest;
} gilx_parameter;

typedef struct {
    const char *name;
    const char *item; /* what one item is, for messages */
    int count;        /* parameters, out included */
    gilx_parameter parameters[GILX_MAX_PARAMETERS];
} gilx_signature;

/* Indices into gilx_signatures: GILX_KERNEL_mandelbrot and so on. */
#define GILX_INDEX(name) GILX_KERNEL_##name,
enum { GILX_KERNELS(GILX_INDEX) GILX_KERNEL_COUNT };
#undef GILX_INDEX

extern const gilx_signature gilx_signatures[GILX_KERNEL_COUNT];

/* The kernels' bodies: gilx_mandelbrot and so on. */
#define GILX_BODY(name) extern gilx_body gilx_##name;
GILX_KERNELS(GILX_BODY)
#undef GILX_BODY

/* The length of an axis. `sizes` has GILX_MAX_SIZES, of which those it needs are known.
 */
int64_t gilx_axis_length(const gilx_axis *axis, const int64_t *sizes);

#endif
