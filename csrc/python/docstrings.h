/* The docstrings of the kernels, put together from the list in kernels.h.
 *
 * They are string literals, not built at run time: the method table needs constants. */
#ifndef GILX_PYTHON_DOCSTRINGS_H
#define GILX_PYTHON_DOCSTRINGS_H

#include "../kernels/kernels.h"

/* The names in a signature line; out is never the first. */
#define GILX_NAMED(name, ...) #name ", "
#define GILX_OUT_NAMED(...) "out, "

#define GILX_ARRAY_DOC(name, item_type, dims, text) \
    #name " : " #item_type " array, shape (" dims ")\n    " text ".\n"
#define GILX_OFFSETS_DOC(name, dims, cuts, text) \
    #name " : int64 array, shape (" dims ")\n    " text ", as offsets into " #cuts ".\n"
#define GILX_INTEGER_DOC(name, low, high, text) \
    #name " : int, " #low " to " #high "\n    " text ".\n"
#define GILX_REAL_DOC(name, text) #name " : float\n    " text ".\n"
#define GILX_OUT_DOC(item_type, dims, text) \
    "out : " #item_type " array, shape (" dims ")\n    " text ".\n"

#define GILX_DOC(name, variant, PARAMETERS, item, summary, source)                       \
    #name "_" #variant "($module, " PARAMETERS(                                          \
        GILX_NAMED, GILX_NAMED, GILX_NAMED, GILX_NAMED,                                  \
        GILX_OUT_NAMED) "start=0, stop=None, *, take=None)\n--\n\n" summary              \
                        ".\n\n" GILX_KEEPS_##variant                                     \
        "\n\nArrays are C-contiguous buffers: NumPy arrays, array.array, "               \
        "memoryview.\n\n"                                                                \
        "Parameters\n----------\n" PARAMETERS(                                           \
            GILX_ARRAY_DOC, GILX_OFFSETS_DOC, GILX_INTEGER_DOC, GILX_REAL_DOC,           \
            GILX_OUT_DOC) "start, stop : int\n"                                          \
                          "    The items to compute; an item is a " item                 \
                          ", stop defaults to all of them.\n"                            \
                          "    Only out[start:stop] is written.\n"                       \
                          "take : Counter, optional\n"                                   \
                          "    Claim grains from this counter, shared with other "       \
                          "calls, until none is\n"                                       \
                          "    left, instead of computing all of start to stop.\n\n"     \
                          "Returns\n-------\nint\n"                                      \
                          "    Items computed; fewer than asked for only if `take` was " \
                          "cancelled.\n\n"                                               \
                          "Raises\n------\nTypeError, ValueError, BufferError, "         \
                          "IndexError\n"                                                 \
                          "    An argument is not as described; the message names it. "  \
                          "Nothing is written.\n"                                        \
                          "MemoryError\n"                                                \
                          "    Scratch space was refused. The output is unspecified.\n"  \
                          "KeyboardInterrupt\n"                                          \
                          "    Ctrl-C in a call on the main thread (any exception of a " \
                          "signal handler);\n"                                           \
                          "    calls on other threads can't be interrupted. The output " \
                          "is unspecified.\n\n"                                          \
                          "Notes\n-----\n" source

#define GILX_KEEPS_gil \
    "Keeps the GIL for the whole call (on a free-threaded build: stays attached)."
#define GILX_KEEPS_nogil                                                         \
    "Releases the GIL around the whole computation (on a free-threaded build:\n" \
    "detaches)."

#endif
