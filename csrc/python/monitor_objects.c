#include "python_api.h"

#include <stdlib.h>
#include <string.h>

#include "../sampler/thread_names.h"
#include "free_thread_objects.h"
#include "integer_argument.h"
#include "monitor_objects.h"

static PyObject *sums_object(const gilx_activity_sums *sums) {
    return Py_BuildValue("dddd", sums->time, sums->squares, sums->products, sums->steps);
}

/* Return the tuple (holding, waiting for the GIL, known, squares). */
static PyObject *activities_object(const gilx_thread_activities *does) {
    PyObject *holding = sums_object(&does->sums[GILX_HOLDS_GIL]);
    PyObject *waiting =
        holding == NULL ? NULL : sums_object(&does->sums[GILX_AWAITS_GIL]);
    if (waiting == NULL) {
        Py_XDECREF(holding);
        return NULL;
    }
    return Py_BuildValue("NNdd", holding, waiting, does->known, does->squares);
}

PyObject *gilx_reading_ended(const gilx_reading *reading) {
    return reading->free_threads ? gilx_clocked_object(&reading->ended, 0)
                                 : activities_object(&reading->ended);
}

/* Return the sums of a thread. */
static PyObject *thread_sums(const gilx_reading *reading,
                             const gilx_watched_thread *thread) {
    const int64_t last = thread->does.clock_last_ns;
    const int64_t since =
        last == 0 || thread->ended || last > reading->now_ns ? 0 : reading->now_ns - last;
    return reading->free_threads ? gilx_clocked_object(&thread->does, since)
                                 : activities_object(&thread->does);
}

PyObject *gilx_reading_threads(const gilx_reading *reading) {
    PyObject *list = PyList_New(reading->count);
    for (int i = 0; list != NULL && i < reading->count; ++i) {
        const gilx_watched_thread *thread = &reading->threads[i];
        PyObject *sums = thread_sums(reading, thread);
        PyObject *item =
            sums == NULL
                ? NULL
                : Py_BuildValue("LLON", (long long)thread->number, (long long)thread->tid,
                                thread->ended ? Py_True : Py_False, sums);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    return list;
}

const char gilx_note_name_doc[] =
    "note_thread_name($module, native_id, name, /)\n--\n\n"
    "Note the name of a thread of this process for reports.\n\n"
    "Parameters\n----------\n"
    "native_id : int\n"
    "    The thread's native id.\n"
    "name : str\n"
    "    Of which 63 bytes of UTF-8 are kept.\n\n"
    "Returns\n-------\nbool\n"
    "    Whether it was noted: not if Linux does not show that thread.\n\n"
    "Raises\n------\nTypeError\n"
    "    An argument has another type.\n"
    "ValueError\n"
    "    The id is not above 0, or the name is not to be encoded as UTF-8.";

PyObject *gilx_note_name(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *native_id, *name;
    int64_t tid;
    if (!PyArg_ParseTuple(args, "OO:note_thread_name", &native_id, &name) ||
        gilx_read_integer(native_id, "native_id", 1, INT32_MAX, PyExc_ValueError, "",
                          &tid) != 0) {
        return NULL;
    }
    if (!PyUnicode_Check(name)) {
        return PyErr_Format(PyExc_TypeError, "name: expected a str, got %.100s",
                            Py_TYPE(name)->tp_name);
    }
    const char *text = PyUnicode_AsUTF8(name);
    if (text == NULL) {
        if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            PyErr_SetString(PyExc_ValueError, "name: expected no lone surrogates");
        }
        return NULL;
    }
    return PyBool_FromLong(gilx_note_thread_name(tid, text));
}

static PyObject *text_of(const char *text, size_t size) {
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "surrogatepass");
}

static PyObject *stall_object(const gilx_stall_record *record) {
    const gilx_stall_place *place = &record->place;
    PyObject *function = text_of(place->function, strlen(place->function));
    PyObject *file = text_of(place->file, strlen(place->file));
    PyObject *text = text_of(record->text, record->text_size);
    if (function == NULL || file == NULL || text == NULL) {
        Py_XDECREF(function);
        Py_XDECREF(file);
        Py_XDECREF(text);
        return NULL;
    }
    return Py_BuildValue("iLLLLOILNNiN", (int)record->kind, (long long)record->number,
                         (long long)record->begin_ns, (long long)record->low_ns,
                         (long long)record->high_ns,
                         record->open_at_stop ? Py_True : Py_False,
                         (unsigned int)record->waiters, (long long)place->tid, function,
                         file, (int)place->line, text);
}

PyObject *gilx_stalls_list(gilx_sampler *sampler) {
    gilx_stall_record *records = malloc(GILX_STALLS_KEPT * sizeof(*records));
    if (records == NULL) {
        return PyErr_NoMemory();
    }
    int count;
    Py_BEGIN_ALLOW_THREADS
    count = gilx_sampler_stalls(sampler, records);
    Py_END_ALLOW_THREADS
    PyObject *list = PyList_New(count);
    for (int i = 0; list != NULL && i < count; ++i) {
        PyObject *item = stall_object(&records[i]);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    free(records);
    return list;
}
