/* gilx.ckernels: the kernels in plain C, for Python. Module setup and nothing else. */
#include "kernel_call.h"
#include "instruction_set.h"
#include "spin_functions.h"
#include "test_functions.h"
#include "team_type.h"

typedef struct {
    gilx_support support; /* first: types of the module find it there */
    PyTypeObject *spin_result;
    PyTypeObject *team_type;
} module_state;

static module_state *state_of(PyObject *module) {
    return PyModule_GetState(module);
}

/* ---- kernels ---------------------------------------------------------------------- */

/* Sort positional and keyword arguments into `values`: the kernel's own, then start,
 * stop and take, NULL where not given. Returns 0, or -1 with TypeError set. */
static int sort_arguments(const gilx_signature *signature, const char *variant,
                          PyObject *const *args, Py_ssize_t given, PyObject *keywords,
                          PyObject **values) {
    const char *extra[] = {"start", "stop", "take"};
    const int total = signature->count + 3;
    for (int i = 0; i < total; ++i) {
        values[i] = NULL;
    }
    if (given > total - 1) {
        PyErr_Format(PyExc_TypeError,
                     "%s_%s() takes at most %d positional arguments (%zd given)",
                     signature->name, variant, total - 1, given);
        return -1;
    }
    for (Py_ssize_t i = 0; i < given; ++i) {
        values[i] = args[i];
    }
    const Py_ssize_t named = keywords == NULL ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t k = 0; k < named; ++k) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, k);
        int i = 0;
        while (i < total &&
               PyUnicode_CompareWithASCIIString(
                   keyword, i < signature->count ? signature->parameters[i].name
                                                 : extra[i - signature->count]) != 0) {
            ++i;
        }
        if (i == total || values[i] != NULL) {
            PyErr_Format(
                PyExc_TypeError, "%s_%s() got %s argument '%U'", signature->name, variant,
                i == total ? "an unexpected keyword" : "multiple values for", keyword);
            return -1;
        }
        values[i] = args[given + k];
    }
    for (int i = 0; i < signature->count; ++i) {
        if (values[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s_%s() missing required argument '%s'",
                         signature->name, variant, signature->parameters[i].name);
            return -1;
        }
    }
    return 0;
}

/* The computation itself: no Python object is touched in here. */
static int compute(gilx_call *call, gilx_body *body) {
    gilx_control *control = &call->interrupt.control;
    gilx_poll ranges = {control, GILX_RANGES_BETWEEN_POLLS, GILX_RANGES_BETWEEN_POLLS};
    int status = GILX_DONE;
    while (status == GILX_DONE && gilx_share_next(&call->share)) {
        status = gilx_poll_stops(&ranges, 1) ? GILX_STOPPED
                                             : body(call->arguments, call->share.start,
                                                    call->share.stop, control);
    }
    return status;
}

static PyObject *run_kernel(PyObject *module, int kernel, gilx_body *body, bool released,
                            PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    const gilx_signature *signature = &gilx_signatures[kernel];
    PyObject *values[GILX_MAX_VALUES];
    gilx_call call;
    if (sort_arguments(signature, released ? "nogil" : "gil", args, given, keywords,
                       values) < 0 ||
        gilx_call_begin(&call, &state_of(module)->support, signature, values, released) <
            0) {
        return NULL;
    }
    int status;
    if (released) {
        Py_BEGIN_ALLOW_THREADS
        status = compute(&call, body);
        Py_END_ALLOW_THREADS
    } else {
        status = compute(&call, body);
    }
    return gilx_call_end(&call, status);
}

#define WRAPPERS(name)                                                                 \
    static PyObject *name##_gil(PyObject *module, PyObject *const *args,               \
                                Py_ssize_t given, PyObject *keywords) {                \
        return run_kernel(module, GILX_KERNEL_##name, gilx_##name, false, args, given, \
                          keywords);                                                   \
    }                                                                                  \
    static PyObject *name##_nogil(PyObject *module, PyObject *const *args,             \
                                  Py_ssize_t given, PyObject *keywords) {              \
        return run_kernel(module, GILX_KERNEL_##name, gilx_##name, true, args, given,  \
                          keywords);                                                   \
    }
GILX_KERNELS(WRAPPERS)

/* ---- instruments ------------------------------------------------------------------ */

static PyObject *spin(PyObject *module, PyObject *args, PyObject *kwargs) {
    module_state *state = state_of(module);
    return gilx_spin(&state->support.main_thread, state->spin_result, args, kwargs);
}

static PyObject *rendezvous_gil(PyObject *module, PyObject *args, PyObject *kwargs) {
    return gilx_rendezvous(&state_of(module)->support.main_thread, false, args, kwargs);
}

static PyObject *rendezvous_nogil(PyObject *module, PyObject *args, PyObject *kwargs) {
    return gilx_rendezvous(&state_of(module)->support.main_thread, true, args, kwargs);
}

static PyObject *increment_gil(PyObject *module, PyObject *args, PyObject *kwargs) {
    return gilx_increment_call(&state_of(module)->support.main_thread, false, false, args,
                               kwargs);
}

static PyObject *increment_nogil(PyObject *module, PyObject *args, PyObject *kwargs) {
    return gilx_increment_call(&state_of(module)->support.main_thread, true, false, args,
                               kwargs);
}

static PyObject *increment_atomic(PyObject *module, PyObject *args, PyObject *kwargs) {
    return gilx_increment_call(&state_of(module)->support.main_thread, true, true, args,
                               kwargs);
}

/* ---- the module ------------------------------------------------------------------- */

/* The detour through void (*)(void) is how C casts between function types in peace. */
#define WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

#define METHODS(name)                                                                \
    {#name "_gil", WITH_KEYWORDS(name##_gil), METH_FASTCALL | METH_KEYWORDS,         \
     GILX_DOC_##name##_gil},                                                         \
        {#name "_nogil", WITH_KEYWORDS(name##_nogil), METH_FASTCALL | METH_KEYWORDS, \
         GILX_DOC_##name##_nogil},

static PyMethodDef methods[] = {
    GILX_KERNELS(METHODS){"spin", WITH_KEYWORDS(spin), METH_VARARGS | METH_KEYWORDS,
                          gilx_spin_doc},
    {"rendezvous_gil", WITH_KEYWORDS(rendezvous_gil), METH_VARARGS | METH_KEYWORDS,
     gilx_rendezvous_gil_doc},
    {"rendezvous_nogil", WITH_KEYWORDS(rendezvous_nogil), METH_VARARGS | METH_KEYWORDS,
     gilx_rendezvous_nogil_doc},
    {"increment_gil", WITH_KEYWORDS(increment_gil), METH_VARARGS | METH_KEYWORDS,
     gilx_increment_gil_doc},
    {"increment_nogil", WITH_KEYWORDS(increment_nogil), METH_VARARGS | METH_KEYWORDS,
     gilx_increment_nogil_doc},
    {"increment_atomic", WITH_KEYWORDS(increment_atomic), METH_VARARGS | METH_KEYWORDS,
     gilx_increment_atomic_doc},
    {"_exp", gilx_part_exp, METH_O, NULL},
    {"_log", gilx_part_log, METH_O, NULL},
    {"_normal", gilx_part_normal, METH_O, NULL},
    {"_philox", gilx_part_philox, METH_VARARGS, NULL},
    {"_instruction_set", gilx_instruction_set, METH_VARARGS, NULL},
    {"_instruction_sets", gilx_instruction_sets, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module) {
    module_state *state = state_of(module);
    if (gilx_load_instruction_set() < 0) {
        return -1;
    }
    PyObject *threading = PyImport_ImportModule("threading");
    if (threading == NULL) {
        return -1;
    }
    state->support.main_thread.function =
        PyObject_GetAttrString(threading, "main_thread");
    Py_DECREF(threading);
    if (state->support.main_thread.function == NULL) {
        return -1;
    }
    state->support.counter_type = gilx_counter_type(module);
    if (state->support.counter_type == NULL ||
        PyModule_AddType(module, state->support.counter_type) < 0) {
        return -1;
    }
    state->spin_result = gilx_spin_result_type();
    if (state->spin_result == NULL || PyModule_AddType(module, state->spin_result) < 0) {
        return -1;
    }
    state->team_type = gilx_team_type(module);
    if (state->team_type == NULL || PyModule_AddType(module, state->team_type) < 0) {
        return -1;
    }
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    module_state *state = state_of(module);
    Py_VISIT(state->support.counter_type);
    Py_VISIT(state->support.main_thread.function);
    Py_VISIT(state->spin_result);
    Py_VISIT(state->team_type);
    return 0;
}

static int module_clear(PyObject *module) {
    module_state *state = state_of(module);
    Py_CLEAR(state->support.counter_type);
    Py_CLEAR(state->support.main_thread.function);
    Py_CLEAR(state->spin_result);
    Py_CLEAR(state->team_type);
    return 0;
}

static void module_free(void *module) {
    (void)module_clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gilx.ckernels",
    .m_doc = "The kernels in plain C, each holding the GIL or releasing it, and the\n"
             "instruments' own: spin, rendezvous, increment and the work counter.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit_ckernels(void) {
    return PyModuleDef_Init(&definition);
}
