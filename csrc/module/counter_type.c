#include "counter_type.h"

#include <structmember.h>

#include "integer.h"

PyDoc_STRVAR(
    counter_doc,
    "Counter(start, stop, grain=1)\n--\n\n"
    "Hands out the items start to stop, grain by grain, to several calls.\n\n"
    "Pass one counter as `take` to several kernel calls at once: each claims its\n"
    "next grain from it by one atomic operation, without the GIL, until none is\n"
    "left. Counters may be shared between threads of one interpreter.\n\n"
    "Parameters\n----------\n"
    "start, stop : int\n"
    "    The items to hand out, 0 <= start <= stop.\n"
    "grain : int\n"
    "    Items in one claim, at least 1; the last may be smaller.\n\n"
    "Raises\n------\nTypeError, ValueError\n"
    "    An argument is not as described; the message names it.");

static PyObject *counter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"start", "stop", "grain", NULL};
    PyObject *start_given, *stop_given, *grain_given = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O:Counter", names, &start_given,
                                     &stop_given, &grain_given)) {
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
    if (self != NULL) {
        gilx_counter_init(&self->counter, start, stop, grain);
    }
    return (PyObject *)self;
}

static void counter_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
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
    gilx_counter *counter = &((gilx_counter_object *)self)->counter;
    atomic_store_explicit(&counter->cancelled, true, memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *counter_cancelled(PyObject *self, void *Py_UNUSED(closure)) {
    const gilx_counter *counter = &((gilx_counter_object *)self)->counter;
    return PyBool_FromLong(
        atomic_load_explicit(&counter->cancelled, memory_order_relaxed));
}

static PyObject *counter_remaining(PyObject *self, void *Py_UNUSED(closure)) {
    const gilx_counter *counter = &((gilx_counter_object *)self)->counter;
    int64_t next = atomic_load_explicit(&counter->next, memory_order_relaxed);
    return PyLong_FromLongLong(counter->stop - next);
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
    {"cancelled", counter_cancelled, NULL, "Whether cancel() was called.", NULL},
    {"remaining", counter_remaining, NULL, "Items not yet claimed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot counter_slots[] = {
    {Py_tp_doc, (void *)counter_doc}, {Py_tp_new, counter_new},
    {Py_tp_dealloc, counter_dealloc}, {Py_tp_repr, counter_repr},
    {Py_tp_methods, counter_methods}, {Py_tp_members, counter_members},
    {Py_tp_getset, counter_getset},   {0, NULL},
};

static PyType_Spec counter_spec = {
    .name = "gilx.ckernels.Counter",
    .basicsize = sizeof(gilx_counter_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = counter_slots,
};

PyTypeObject *gilx_counter_type(PyObject *module) {
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &counter_spec, NULL);
}
