#include "counter_type.h"

#include <structmember.h>

#include "buffers.h"
#include "integer_argument.h"

#include <stdalign.h>

PyDoc_STRVAR(
    counter_doc,
    "Counter(start, stop, grain=1, *, memory=None)\n--\n\n"
    "Hands out the items start to stop, grain by grain, to several calls.\n\n"
    "Pass one counter as `take` to several kernel calls at once: each claims its\n"
    "next grain from it by one atomic operation, without the GIL, until none is\n"
    "left. A counter may be shared between threads of one interpreter. For other\n"
    "interpreters and processes, make a counter in each, with the same arguments\n"
    "and on the same memory.\n\n"
    "Parameters\n----------\n"
    "start, stop : int\n"
    "    The items to hand out, 0 <= start <= stop.\n"
    "grain : int\n"
    "    Items in one claim, at least 1; the last may be smaller.\n"
    "memory : buffer, optional\n"
    "    Where to keep what was claimed, and whether the counter was cancelled: a\n"
    "    writable, C-contiguous buffer of at least Counter.MEMORY_SIZE bytes, at a\n"
    "    multiple of 8 bytes (of 64 to have its cache lines for itself), and held for\n"
    "    the counter's life. Its items must not be pointers or references to objects.\n"
    "    Zeros mean that nothing was claimed. Whatever else the memory has in it,\n"
    "    claims stay within start to stop. By default it is the counter's own.\n\n"
    "Raises\n------\nTypeError, ValueError, BufferError\n"
    "    An argument is not as described; the message names it.");

/* Let the counter work on somebody else's memory. Returns 0, or -1 with an exception. */
static int use_memory(gilx_counter_object *self, PyObject *given) {
    if (gilx_get_plain_memory(given, &self->memory, "memory", " or None",
                              sizeof(gilx_counter_state),
                              alignof(gilx_counter_state)) < 0) {
        return -1;
    }
    self->counter.state = self->memory.buf;
    return 0;
}

static PyObject *counter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"start", "stop", "grain", "memory", NULL};
    PyObject *start_given, *stop_given, *grain_given = NULL, *memory = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O$O:Counter", names, &start_given,
                                     &stop_given, &grain_given, &memory)) {
        return NULL;
    }
    int64_t start, stop, grain = 1;
    if (gilx_read_integer(start_given, "start", 0, INT64_MAX, PyExc_ValueError, "",
                          &start) < 0 ||
        gilx_read_integer(stop_given, "stop", 0, INT64_MAX, PyExc_ValueError, "", &stop) <
            0 ||
        (grain_given != NULL && gilx_read_integer(grain_given, "grain", 1, INT64_MAX,
                                                  PyExc_ValueError, "", &grain) < 0)) {
        return NULL;
    }
    if (start > stop) {
        return PyErr_Format(PyExc_ValueError,
                            "start: expected at most stop (%lld), got %lld",
                            (long long)stop, (long long)start);
    }
    gilx_counter_object *self = (gilx_counter_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    gilx_counter_init(&self->counter, start, stop, grain);
    if (memory != Py_None && use_memory(self, memory) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* There is no tp_clear: calls may be working on the memory, and another object of a cycle
 * through the memory's owner can break the cycle. */
static int counter_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((gilx_counter_object *)self)->memory.obj);
    return 0;
}

static void counter_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyBuffer_Release(&((gilx_counter_object *)self)->memory);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *counter_take(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    int64_t start, stop;
    if (!gilx_counter_take(&((gilx_counter_object *)self)->counter, &start, &stop)) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("LL", (long long)start, (long long)stop);
}

static PyObject *counter_cancel(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    gilx_counter_cancel(&((gilx_counter_object *)self)->counter);
    Py_RETURN_NONE;
}

static PyObject *counter_cancelled(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(
        gilx_counter_cancelled(&((gilx_counter_object *)self)->counter));
}

static PyObject *counter_remaining(PyObject *self, void *Py_UNUSED(closure)) {
    return PyLong_FromLongLong(
        gilx_counter_remaining(&((gilx_counter_object *)self)->counter));
}

static PyObject *counter_repr(PyObject *self) {
    const gilx_counter *counter = &((gilx_counter_object *)self)->counter;
    return PyUnicode_FromFormat("Counter(%lld, %lld, grain=%lld)",
                                (long long)counter->start, (long long)counter->stop,
                                (long long)counter->grain);
}

static PyMethodDef counter_methods[] = {
    {"take", counter_take, METH_NOARGS,
     "take($self, /)\n--\n\n"
     "Claim the next grain.\n\n"
     "Returns\n-------\ntuple[int, int] or None\n"
     "    Its first item and the one after its last; None when none is left or the\n"
     "    counter was cancelled."},
    {"cancel", counter_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\n"
     "Hand out nothing more, and stop the kernels that work on this counter.\n\n"
     "They return within about a millisecond; what they were writing is unspecified."},
    {NULL, NULL, 0, NULL},
};

#define FIELD(name) offsetof(gilx_counter_object, counter.name)

static PyMemberDef counter_members[] = {
    {"start", T_LONGLONG, FIELD(start), READONLY, "The first item."},
    {"stop", T_LONGLONG, FIELD(stop), READONLY, "The item after the last."},
    {"grain", T_LONGLONG, FIELD(grain), READONLY, "Items in one claim."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef counter_getset[] = {
    {"cancelled", counter_cancelled, NULL, "True if cancel() was called.", NULL},
    {"remaining", counter_remaining, NULL, "Items not yet claimed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot counter_slots[] = {
    {Py_tp_doc, (void *)counter_doc},
    {Py_tp_new, counter_new},
    {Py_tp_dealloc, counter_dealloc},
    {Py_tp_repr, counter_repr},
    {Py_tp_traverse, counter_traverse},
    {Py_tp_methods, counter_methods},
    {Py_tp_members, counter_members},
    {Py_tp_getset, counter_getset},
    {0, NULL},
};

static PyType_Spec counter_spec = {
    .name = "gilx.ckernels.Counter",
    .basicsize = sizeof(gilx_counter_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = counter_slots,
};

PyTypeObject *gilx_counter_type(PyObject *module) {
    PyObject *size = PyLong_FromSize_t(sizeof(gilx_counter_state));
    if (size == NULL) {
        return NULL;
    }
    PyTypeObject *type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &counter_spec, NULL);
    /* Set in the dictionary, since the type is immutable. No lookup in the type has been
     * cached yet. */
    if (type != NULL && PyDict_SetItemString(type->tp_dict, "MEMORY_SIZE", size) < 0) {
        Py_CLEAR(type);
    }
    Py_DECREF(size);
    return type;
}
