#include "kernel_call.h"

#include "buffers.h"
#include "integer_argument.h"
#include "real_argument.h"

#include <stdalign.h>
#include <string.h>

/* ---- one array -------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *codes; /* struct module format codes of that kind of number */
    char *format;      /* the one of them that has this size everywhere */
    Py_ssize_t size;
    size_t alignment;
} types[] = {
    [GILX_uint8] = {"uint8", "B", "B", 1, 1},
    [GILX_int32] = {"int32", "ilq", "i", 4, alignof(int32_t)},
    [GILX_int64] = {"int64", "ilqn", "q", 8, alignof(int64_t)},
    [GILX_float64] = {"float64", "d", "d", 8, alignof(double)},
};

#if PY_BIG_ENDIAN
#define FOREIGN_ORDER "<"
#else
#define FOREIGN_ORDER ">!"
#endif

static int check_items(const gilx_parameter *parameter, const Py_buffer *view) {
    const char *format = view->format == NULL ? "B" : view->format;
    const char *code = format + (strchr("@=<>!", format[0]) != NULL && format[0] != '\0');
    /* Codes such as 'l' have another size under '=': the item size settles it. */
    if (code[0] == '\0' || code[1] != '\0' ||
        strchr(types[parameter->type].codes, code[0]) == NULL ||
        view->itemsize != types[parameter->type].size) {
        PyErr_Format(PyExc_TypeError,
                     "%s: expected items of type %s, got format '%.50s' of %zd bytes",
                     parameter->name, types[parameter->type].name, format,
                     view->itemsize);
        return -1;
    }
    if (view->itemsize > 1 && strchr(FOREIGN_ORDER, format[0]) != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s: expected native byte order, got format '%.50s'",
                     parameter->name, format);
        return -1;
    }
    return 0;
}

/* "shape (height, width) = (3, 4)", the message for a shape that does not fit. */
static int shape_error(const gilx_parameter *parameter, const Py_buffer *view,
                       const int64_t *expected, int dimensions) {
    char right[64] = "", given[64] = "";
    for (int i = 0; i < dimensions; ++i) {
        size_t used = strlen(right), shown = strlen(given);
        snprintf(right + used, sizeof right - used, i ? ", %lld" : "%lld",
                 (long long)expected[i]);
        snprintf(given + shown, sizeof given - shown, i ? ", %lld" : "%lld",
                 (long long)view->shape[i]);
    }
    PyErr_Format(PyExc_ValueError, "%s: expected shape (%s) = (%s), got (%s)",
                 parameter->name, parameter->shape, right, given);
    return -1;
}

/* `sizes` are those known so far, -1 for the others. */
static int check_shape(const gilx_parameter *parameter, const Py_buffer *view,
                       gilx_argument *argument, int64_t *sizes) {
    const int dimensions = parameter->dimensions;
    if (view->ndim != dimensions) {
        PyErr_Format(PyExc_ValueError, "%s: expected %d dimension%s (%s), got %d",
                     parameter->name, dimensions, dimensions == 1 ? "" : "s",
                     parameter->shape, view->ndim);
        return -1;
    }
    int64_t expected[2];
    bool fits = true;
    for (int i = 0; i < dimensions; ++i) {
        const gilx_axis *axis = &parameter->axes[i];
        argument->shape[i] = view->shape[i];
        if (axis->size >= 0 && sizes[axis->size] < 0) {
            if (view->shape[i] < axis->more) {
                PyErr_Format(PyExc_ValueError,
                             "%s: expected at least %lld items, got %zd", parameter->name,
                             (long long)axis->more, view->shape[i]);
                return -1;
            }
            sizes[axis->size] = view->shape[i] - axis->more;
        }
        expected[i] = gilx_axis_length(axis, sizes);
        fits = fits && view->shape[i] == expected[i];
    }
    return fits ? 0 : shape_error(parameter, view, expected, dimensions);
}

/* Ask for the object's buffer in whatever form it has, so that what is wrong with it
 * can be said here, in the same words for every kind of object. */
static int get_buffer(const gilx_parameter *parameter, PyObject *given, Py_buffer *view) {
    return gilx_get_buffer(given, view, PyBUF_FULL_RO, parameter->name,
                           "a C-contiguous buffer of ", types[parameter->type].name);
}

static int check_array(const gilx_parameter *parameter, const Py_buffer *view,
                       gilx_argument *argument, int64_t *sizes) {
    if (check_items(parameter, view) < 0 ||
        check_shape(parameter, view, argument, sizes) < 0) {
        return -1;
    }
    if (!PyBuffer_IsContiguous(view, 'C')) {
        PyErr_Format(PyExc_BufferError, "%s: expected a C-contiguous buffer",
                     parameter->name);
        return -1;
    }
    if (parameter->kind == GILX_OUTPUT && view->readonly) {
        PyErr_Format(PyExc_BufferError,
                     "%s: expected a writable buffer, got a read-only one",
                     parameter->name);
        return -1;
    }
    if (view->len > 0 && (uintptr_t)view->buf % types[parameter->type].alignment != 0) {
        PyErr_Format(PyExc_ValueError, "%s: expected memory aligned to %zu bytes",
                     parameter->name, types[parameter->type].alignment);
        return -1;
    }
    argument->data = view->buf;
    return 0;
}

/* ---- all of a call ---------------------------------------------------------------- */

static void let_go(gilx_call *call) {
    for (int i = 0; i < GILX_MAX_PARAMETERS; ++i) {
        if (call->viewed[i]) {
            PyBuffer_Release(&call->views[i]);
        }
    }
    Py_CLEAR(call->take);
}

/* Numbers first and buffers after, since reading a number may run any Python code; then
 * the checks, which run none. */
static int read_arguments(gilx_call *call, const gilx_signature *signature,
                          PyObject *const *values) {
    for (int i = 0; i < signature->count; ++i) {
        const gilx_parameter *parameter = &signature->parameters[i];
        gilx_argument *argument = &call->arguments[i];
        if (parameter->kind == GILX_INTEGER &&
            gilx_read_integer(values[i], parameter->name, parameter->least,
                              parameter->greatest, PyExc_ValueError, "",
                              &argument->integer) < 0) {
            return -1;
        }
        if (parameter->kind == GILX_REAL &&
            gilx_read_real(values[i], parameter->name, &argument->real) < 0) {
            return -1;
        }
    }
    for (int i = 0; i < signature->count; ++i) {
        const gilx_parameter *parameter = &signature->parameters[i];
        if (parameter->kind == GILX_INTEGER || parameter->kind == GILX_REAL) {
            continue;
        }
        if (get_buffer(parameter, values[i], &call->views[i]) < 0) {
            return -1;
        }
        call->viewed[i] = true;
    }
    return 0;
}

/* Whether the view has bytes in common with memory[0:size]. */
static bool overlap(const Py_buffer *view, const void *memory, size_t size) {
    const uintptr_t begin = (uintptr_t)view->buf, other = (uintptr_t)memory;
    return size > 0 && view->len > 0 && other < begin + (size_t)view->len &&
           begin < other + size;
}

static int check_arrays(gilx_call *call, const gilx_signature *signature) {
    int64_t sizes[GILX_MAX_SIZES];
    memset(sizes, -1, sizeof sizes);
    for (int i = 0; i < signature->count; ++i) {
        const gilx_parameter *parameter = &signature->parameters[i];
        if (parameter->kind == GILX_INTEGER) {
            sizes[i] = call->arguments[i].integer;
        } else if (call->viewed[i] && check_array(parameter, &call->views[i],
                                                  &call->arguments[i], sizes) < 0) {
            return -1;
        }
    }
    const int last = signature->count - 1;
    for (int i = 0; i < last; ++i) {
        if (call->viewed[i] &&
            overlap(&call->views[last], call->views[i].buf, (size_t)call->views[i].len)) {
            PyErr_Format(PyExc_ValueError,
                         "out: expected memory apart from %s, got overlap",
                         signature->parameters[i].name);
            return -1;
        }
    }
    return 0;
}

static int read_range(gilx_call *call, const gilx_support *support,
                      const gilx_signature *signature, PyObject *start_given,
                      PyObject *stop_given, PyObject *take) {
    const int64_t items = call->arguments[signature->count - 1].shape[0];
    char note[48];
    snprintf(note, sizeof note, " (items of one %s each)", signature->item);
    int64_t start = 0, stop = items;
    if (start_given != NULL && gilx_read_integer(start_given, "start", 0, items,
                                                 PyExc_IndexError, note, &start) < 0) {
        return -1;
    }
    if (stop_given != NULL && stop_given != Py_None &&
        gilx_read_integer(stop_given, "stop", 0, items, PyExc_IndexError, note, &stop) <
            0) {
        return -1;
    }
    if (start > stop) {
        PyErr_Format(PyExc_ValueError, "start: expected at most stop (%lld), got %lld",
                     (long long)stop, (long long)start);
        return -1;
    }
    call->share = (gilx_share){.start = start, .stop = stop};
    if (take == NULL || take == Py_None) {
        return 0;
    }
    if (!Py_IS_TYPE(take, support->counter_type)) {
        PyErr_Format(PyExc_TypeError,
                     "take: expected a gilx.ckernels.Counter or None, got %.100s",
                     Py_TYPE(take)->tp_name);
        return -1;
    }
    gilx_counter *counter = &((gilx_counter_object *)take)->counter;
    if (counter->start < start || counter->stop > stop) {
        PyErr_Format(
            PyExc_ValueError,
            "take: expected a counter within start to stop, %lld to %lld, got %lld "
            "to %lld",
            (long long)start, (long long)stop, (long long)counter->start,
            (long long)counter->stop);
        return -1;
    }
    /* A kernel that undid its own claims would never come to an end. */
    if (overlap(&call->views[signature->count - 1], counter->state,
                sizeof *counter->state)) {
        PyErr_SetString(PyExc_ValueError,
                        "take: expected a counter on memory apart from out, got overlap");
        return -1;
    }
    call->share.counter = counter;
    call->take = Py_NewRef(take);
    return 0;
}

/* The offsets that this call may read must rise and stay inside what they cut. */
static int check_offsets(const gilx_call *call, const gilx_signature *signature) {
    int64_t start = call->share.start, stop = call->share.stop;
    if (call->share.counter != NULL) {
        start = call->share.counter->start;
        stop = call->share.counter->stop;
    }
    for (int i = 0; i < signature->count; ++i) {
        const gilx_parameter *parameter = &signature->parameters[i];
        if (parameter->kind != GILX_OFFSETS || start == stop) {
            continue;
        }
        const int64_t *offsets = call->arguments[i].data;
        const int64_t size = call->arguments[i - 1].shape[0]; /* of what they cut */
        int64_t least = 0;
        for (int64_t at = start; at <= stop; ++at) {
            const int64_t offset = offsets[at];
            if (offset < least || offset > size) {
                PyErr_Format(PyExc_IndexError,
                             "%s: expected offsets that rise from 0 to the size of %s "
                             "(%lld), got %lld at index %lld",
                             parameter->name, parameter[-1].name, (long long)size,
                             (long long)offset, (long long)at);
                return -1;
            }
            if (at > start && offset - least > INT32_MAX) {
                PyErr_Format(
                    PyExc_ValueError,
                    "%s: expected strings of at most %d bytes, got %lld at index "
                    "%lld",
                    parameter->name, INT32_MAX, (long long)(offset - least),
                    (long long)at - 1);
                return -1;
            }
            least = offset;
        }
    }
    return 0;
}

int gilx_call_begin(gilx_call *call, gilx_support *support,
                    const gilx_signature *signature, PyObject *const *values,
                    bool released) {
    memset(call->arguments, 0, sizeof call->arguments);
    memset(call->viewed, 0, sizeof call->viewed);
    call->take = NULL;
    PyObject *const *rest = values + signature->count;
    if (read_arguments(call, signature, values) < 0 ||
        check_arrays(call, signature) < 0 ||
        read_range(call, support, signature, rest[0], rest[1], rest[2]) < 0 ||
        check_offsets(call, signature) < 0 ||
        gilx_interrupt_begin(&call->interrupt, &support->main_thread, released,
                             call->share.counter == NULL
                                 ? NULL
                                 : &call->share.counter->state->cancelled) < 0) {
        let_go(call);
        return -1;
    }
    return 0;
}

void gilx_call_view(gilx_call *call, const gilx_parameter *parameter, int index,
                    Py_buffer *view) {
    *view = call->views[index];
    view->format = types[parameter->type].format;
    view->strides = view->suboffsets = NULL; /* it is contiguous */
    if (view->buf == NULL) { /* no items, which need an address all the same */
        view->buf = call;
    }
}

PyObject *gilx_call_end(gilx_call *call, int status) {
    const int64_t done = call->share.done;
    if (PyErr_Occurred()) {
        /* Releasing buffers may run code; it must not meet the exception. */
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        let_go(call);
        PyErr_Restore(type, value, traceback);
        return NULL;
    }
    let_go(call);
    if (status == GILX_NO_MEMORY) {
        return PyErr_NoMemory();
    }
    return PyLong_FromLongLong(done);
}
