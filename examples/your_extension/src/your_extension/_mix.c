/* mix(data, rounds): a checksum of bytes, in C. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

/* Knows nothing of Python, so it needs no GIL. */
static uint64_t mixed(const unsigned char *data, Py_ssize_t length, Py_ssize_t rounds) {
    uint64_t state = 1;
    for (Py_ssize_t round = 0; round < rounds; round++) {
        for (Py_ssize_t i = 0; i < length; i++) {
            state = (state ^ data[i]) * 0x9E3779B97F4A7C15u;
            state ^= state >> 29;
        }
    }
    return state;
}

static PyObject *mix(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer data;
    Py_ssize_t rounds;
    uint64_t result;
    if (!PyArg_ParseTuple(args, "y*n:mix", &data, &rounds)) {
        return NULL;
    }
    /* Between these two lines nothing of Python's may be touched. The buffer may: it is
       locked until it is given back, and so can't move or shrink. */
    Py_BEGIN_ALLOW_THREADS
    result = mixed(data.buf, data.len, rounds);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLongLong(result);
}

static PyMethodDef methods[] = {
    {"mix", mix, METH_VARARGS, "mix(data, rounds)\n--\n\nReturn a checksum of bytes."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
/* The module has no state, so threads may use it side by side, and so may interpreters. */
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "your_extension._mix",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__mix(void) {
    return PyModuleDef_Init(&definition);
}
