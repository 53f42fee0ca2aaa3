#include "event_loops.h"

#include <structmember.h>

#include "../sampler/linux_threads.h"

/* ---- CountedSelect ---------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD gilx_loop_table *loops;
} table_object;

typedef struct {
    PyObject_HEAD vectorcallfunc call;
    PyObject *select;
    table_object *table;
    int place; /* -1 when the loop has ended */
} select_object;

static gilx_loop *loop_of(const select_object *self) {
    return self->place < 0 ? NULL : &self->table->loops->loops[self->place];
}

static PyObject *counted_call(PyObject *object, PyObject *const *args, size_t count,
                              PyObject *names) {
    select_object *self = (select_object *)object;
    gilx_loop *loop = loop_of(self);
    if (loop != NULL) {
        gilx_loop_waits(loop);
    }
    PyObject *result = PyObject_Vectorcall(self->select, args, count, names);
    loop = loop_of(self); /* the loop may no longer be watched */
    if (loop != NULL) {
        gilx_loop_runs(loop);
    }
    return result;
}

static void end_loop(select_object *self) {
    if (self->place >= 0) {
        gilx_loop_end(self->table->loops, self->place);
        self->place = -1;
    }
}

static PyObject *counted_end(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    end_loop((select_object *)self);
    Py_RETURN_NONE;
}

/* Without tp_clear: cycles break at the selector's attribute that has this object. */
static int counted_traverse(PyObject *object, visitproc visit, void *arg) {
    select_object *self = (select_object *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->select);
    Py_VISIT(self->table);
    return 0;
}

static void counted_dealloc(PyObject *object) {
    select_object *self = (select_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->table != NULL) {
        end_loop(self);
    }
    Py_XDECREF(self->select);
    Py_XDECREF(self->table);
    type->tp_free(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(counted_doc,
             "Wrapper that calls a selector's waiting function and counts the calls.\n\n"
             "It takes and returns what that function does. `LoopTable.begin` makes it.");

static PyMethodDef counted_methods[] = {
    {"end", counted_end, METH_NOARGS,
     "end($self, /)\n--\n\n"
     "Note that the loop has ended; a second time does nothing."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef counted_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(select_object, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot counted_slots[] = {
    {Py_tp_doc, (void *)counted_doc},
    {Py_tp_dealloc, counted_dealloc},
    {Py_tp_traverse, counted_traverse},
    {Py_tp_methods, counted_methods},
    {Py_tp_members, counted_members},
    {Py_tp_call, (void *)PyVectorcall_Call},
    {0, NULL},
};

#ifndef Py_TPFLAGS_HAVE_VECTORCALL
#define Py_TPFLAGS_HAVE_VECTORCALL _Py_TPFLAGS_HAVE_VECTORCALL
#endif

static PyType_Spec counted_spec = {
    .name = "gilx.sampling._sampler.CountedSelect",
    .basicsize = sizeof(select_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = counted_slots,
};

/* ---- LoopTable -------------------------------------------------------------------- */

PyDoc_STRVAR(table_doc, "LoopTable()\n--\n\n"
                        "Event loops that run, for samplers.\n\n"
                        "It has places for 256 loops at once.");

static PyObject *table_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":LoopTable", names)) {
        return NULL;
    }
    table_object *self = (table_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->loops = PyMem_RawCalloc(1, sizeof(*self->loops));
    if (self->loops == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int table_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void table_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyMem_RawFree(((table_object *)self)->loops);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(begin_doc,
             "begin($self, select, waits, /)\n--\n\n"
             "Note that the calling thread runs a loop.\n\n"
             "Parameters\n----------\n"
             "select : callable\n"
             "    The function by which the loop waits in its selector.\n"
             "waits : bool\n"
             "    Whether the loop counts as waiting until it first calls `select`.\n\n"
             "Returns\n-------\nCountedSelect or None\n"
             "    The function to call instead; None if 256 loops run.");

static PyObject *table_begin(PyObject *object, PyObject *args) {
    PyObject *select;
    int waits;
    if (!PyArg_ParseTuple(args, "Op:begin", &select, &waits)) {
        return NULL;
    }
    if (!PyCallable_Check(select)) {
        return PyErr_Format(PyExc_TypeError, "select: expected a callable, got %.100s",
                            Py_TYPE(select)->tp_name);
    }
    PyTypeObject *type =
        (PyTypeObject *)PyDict_GetItemString(Py_TYPE(object)->tp_dict, "Select");
    select_object *self = type == NULL ? NULL : (select_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    self->call = counted_call;
    self->table = (table_object *)Py_NewRef(object);
    self->select = Py_NewRef(select);
    self->place = gilx_loop_begin(self->table->loops, gilx_own_tid(), waits);
    if (self->place < 0) {
        Py_DECREF(self);
        Py_RETURN_NONE;
    }
    return (PyObject *)self;
}

static PyMethodDef table_methods[] = {
    {"begin", table_begin, METH_VARARGS, begin_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot table_slots[] = {
    {Py_tp_doc, (void *)table_doc}, {Py_tp_new, table_new},
    {Py_tp_dealloc, table_dealloc}, {Py_tp_traverse, table_traverse},
    {Py_tp_methods, table_methods}, {0, NULL},
};

static PyType_Spec table_spec = {
    .name = "gilx.sampling._sampler.LoopTable",
    .basicsize = sizeof(table_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = table_slots,
};

const gilx_loop_table *gilx_loops_of(PyObject *table) {
    return ((table_object *)table)->loops;
}

PyTypeObject *gilx_loop_types(PyObject *module) {
    PyTypeObject *select =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &counted_spec, NULL);
    if (select == NULL || PyModule_AddType(module, select) < 0) {
        Py_XDECREF(select);
        return NULL;
    }
    PyTypeObject *table =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &table_spec, NULL);
    /* Into the dictionary, since the type itself takes no attributes; nobody has looked
     * anything up in it yet. */
    if (table != NULL &&
        (PyDict_SetItemString(table->tp_dict, "Select", (PyObject *)select) < 0 ||
         PyModule_AddType(module, table) < 0)) {
        Py_CLEAR(table);
    }
    Py_DECREF(select);
    return table;
}
