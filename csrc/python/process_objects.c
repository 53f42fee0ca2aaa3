#include "process_objects.h"

#include <errno.h>

int gilx_open_process(int64_t process, gilx_process_gil *found, gilx_memory *memory,
                      PyObject *unavailable, PyObject *no_gil) {
    gilx_gil_status status = GILX_GIL_UNAVAILABLE;
    bool open;
    int error;
    Py_BEGIN_ALLOW_THREADS
    open = gilx_memory_open_process(memory, process);
    error = errno;
    if (open) {
        status = gilx_process_gil_find(found, memory);
    }
    Py_END_ALLOW_THREADS
    if (!open) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (status == GILX_GIL_FOUND || found->free.places.state != 0) {
        return 0;
    }
    gilx_memory_close(memory);
    PyErr_SetString(status == GILX_GIL_NONE ? no_gil : unavailable, found->gil.trouble);
    return -1;
}

PyObject *gilx_process_object(const gilx_process_gil *found, const char *reader) {
    const bool free_threads = found->free.places.state != 0;
    return Py_BuildValue(
        "kkssOOs", (unsigned long)found->version, found->interval, found->gil.backend,
        reader, found->stacks == NULL ? Py_False : Py_True,
        free_threads ? Py_True : Py_False, free_threads ? found->free.world_missing : "");
}
