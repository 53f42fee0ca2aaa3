#include "buffers.h"

#include <string.h>

int gilx_get_buffer(PyObject *given, Py_buffer *view, int flags, const char *name,
                    const char *expected, const char *detail) {
    if (!PyObject_CheckBuffer(given)) {
        PyErr_Format(PyExc_TypeError, "%s: expected %s%s, got %.100s", name, expected,
                     detail, Py_TYPE(given)->tp_name);
        return -1;
    }
    if (PyObject_GetBuffer(given, view, flags) == 0) {
        return 0;
    }
    /* Exporters refuse in words of their own, which don't say which argument it was. */
    if (PyErr_ExceptionMatches(PyExc_BufferError) ||
        PyErr_ExceptionMatches(PyExc_ValueError) ||
        PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyObject *type, *cause, *traceback;
        PyErr_Fetch(&type, &cause, &traceback);
        PyErr_NormalizeException(&type, &cause, &traceback);
        PyErr_Format(PyExc_BufferError, "%s: expected %s%s: %S", name, expected, detail,
                     cause);
        Py_XDECREF(type);
        Py_XDECREF(cause);
        Py_XDECREF(traceback);
    }
    return -1;
}

/* Whether items of this format, in the words of Python's struct module, PEP 3118 and
 * ctypes, have references to Python objects or pointers in them. Names of fields stand
 * between colons; a Z before another number makes it complex. */
static bool has_pointers(const char *format) {
    bool in_name = false;
    for (; *format != '\0'; ++format) {
        if (*format == ':') {
            in_name = !in_name;
        } else if (!in_name && strchr("OPz&X", *format) != NULL) {
            return true;
        } else if (!in_name && *format == 'Z' &&
                   (format[1] == '\0' || strchr("fdgFDG", format[1]) == NULL)) {
            return true;
        }
    }
    return false;
}

int gilx_get_plain_memory(PyObject *given, Py_buffer *view, const char *name,
                          const char *detail, size_t size, size_t alignment) {
    if (gilx_get_buffer(given, view, PyBUF_CONTIG | PyBUF_FORMAT, name,
                        "a writable, C-contiguous buffer", detail) < 0) {
        return -1;
    }
    if (view->format != NULL && has_pointers(view->format)) {
        PyErr_Format(PyExc_TypeError,
                     "%s: expected plain memory, got references or pointers", name);
    } else if ((size_t)view->len < size) {
        PyErr_Format(PyExc_ValueError, "%s: expected at least %zu bytes, got %zd", name,
                     size, view->len);
    } else if ((uintptr_t)view->buf % alignment != 0) {
        PyErr_Format(PyExc_ValueError, "%s: expected memory aligned to %zu bytes", name,
                     alignment);
    } else {
        return 0;
    }
    PyBuffer_Release(view);
    return -1;
}
