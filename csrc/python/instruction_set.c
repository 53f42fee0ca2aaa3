#include "instruction_set.h"

#include <stdlib.h>
#include <string.h>

#include "../kernels/instruction_sets.h"

/* Use the one of that name: 0, or -1 with `error` set, whose message begins with `what`.
 */
static int use(const char *name, PyObject *error, const char *what) {
    for (gilx_isa isa = GILX_BASELINE; isa < GILX_ISA_COUNT; ++isa) {
        if (strcmp(name, gilx_isa_names[isa]) == 0 && gilx_isa_available(isa)) {
            gilx_isa_use(isa);
            return 0;
        }
    }
    PyObject *names = gilx_instruction_sets(NULL, NULL);
    if (names != NULL) {
        PyErr_Format(error,
                     "%s: expected an instruction set that this machine has, %R, "
                     "got '%s'",
                     what, names, name);
        Py_DECREF(names);
    }
    return -1;
}

int gilx_load_instruction_set(void) {
    const char *wanted = getenv("GILX_ISA");
    if (wanted != NULL && wanted[0] != '\0') {
        return use(wanted, PyExc_ImportError, "the environment variable GILX_ISA");
    }
    gilx_isa_choose_widest();
    return 0;
}

PyObject *gilx_instruction_set(PyObject *Py_UNUSED(module), PyObject *args) {
    const char *name = NULL;
    if (!PyArg_ParseTuple(args, "|z:_instruction_set", &name)) {
        return NULL;
    }
    const gilx_isa before = gilx_isa_in_use();
    if (name != NULL && use(name, PyExc_ValueError, "name") < 0) {
        return NULL;
    }
    return PyUnicode_FromString(gilx_isa_names[before]);
}

PyObject *gilx_instruction_sets(PyObject *Py_UNUSED(module),
                                PyObject *Py_UNUSED(unused)) {
    PyObject *names = PyList_New(0);
    for (gilx_isa isa = GILX_BASELINE; names != NULL && isa < GILX_ISA_COUNT; ++isa) {
        if (!gilx_isa_available(isa)) {
            continue;
        }
        PyObject *name = PyUnicode_FromString(gilx_isa_names[isa]);
        if (name == NULL || PyList_Append(names, name) < 0) {
            Py_CLEAR(names);
        }
        Py_XDECREF(name);
    }
    return names;
}
