#include "python_api.h"

#include <stdlib.h>
#include <string.h>

#include "../sampler/code_table.h"
#include "../sampler/stack_reader.h"
#include "../sampler/thread_table.h"
#include "../sampler/waiting_frame.h"
#include "stack_objects.h"

/* Convert a name for Py_BuildValue's "O&". It is UTF-8, but lone surrogates may be in it,
 * as in any string of Python. */
static PyObject *text_object(void *name) {
    const char *text = name;
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "surrogatepass");
}

/* Return the tuple (function, file, first line, line, end line, column, end column). */
static PyObject *spot_object(const gilx_function *function, const gilx_spot *spot) {
    return Py_BuildValue("(O&O&iiiii)", text_object, function->name, text_object,
                         function->file, (int)function->first_line, (int)spot->line,
                         (int)spot->end_line, (int)spot->column, (int)spot->end_column);
}

/* ---- own stack -------------------------------------------------------------------- */

typedef struct {
    gilx_stack_reader *reader;
    gilx_code_table *codes;
    gilx_memory *memory;
    gilx_stack stack;
    int spots[GILX_MOST_FRAMES];
} reading;

static void read_stack(reading *own) {
    gilx_stack_read(own->reader, own->memory, &own->stack);
    for (int i = 0; i < own->stack.count; ++i) {
        const gilx_frame *frame = &own->stack.frames[i];
        own->spots[i] =
            gilx_code_spot(own->codes, own->memory, frame->code, frame->instruction);
    }
}

static PyObject *frames_list(const reading *own, PyObject *unavailable) {
    const gilx_stack *stack = &own->stack;
    if (stack->state != GILX_STACK_KNOWN ||
        stack->holder != (uintptr_t)PyThreadState_Get()) {
        PyErr_SetString(unavailable, "the Python stack of this thread can't be read");
        return NULL;
    }
    for (int i = 0; i < stack->count; ++i) {
        if (own->spots[i] < 0) {
            PyErr_Format(unavailable, "the code of frame %d can't be read", i);
            return NULL;
        }
    }
    PyObject *list = PyList_New(stack->count);
    for (int i = 0; list != NULL && i < stack->count; ++i) {
        const gilx_spot *spot = gilx_spot_at(own->codes, own->spots[i]);
        PyObject *item = spot_object(gilx_function_at(own->codes, spot->function), spot);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    return list;
}

PyObject *gilx_own_stack(const gilx_gil_words *words, const gilx_stack_layout *layout,
                         gilx_memory *memory, PyObject *unavailable) {
    PyObject *list = NULL;
    reading *own = calloc(1, sizeof(*own));
    if (own == NULL) {
        gilx_memory_close(memory);
        return PyErr_NoMemory();
    }
    own->memory = memory;
    own->reader = gilx_stack_reader_new(words, layout, NULL);
    own->codes = gilx_code_table_new(layout, (uintptr_t)&PyCode_Type);
    if (own->reader == NULL || own->codes == NULL) {
        PyErr_NoMemory();
    } else {
        read_stack(own);
        list = frames_list(own, unavailable);
    }
    gilx_stack_reader_free(own->reader);
    gilx_code_table_free(own->codes);
    free(own);
    gilx_memory_close(memory);
    return list;
}

PyObject *gilx_own_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                         PyObject *unavailable) {
    PyObject *item = NULL;
    gilx_code_table *codes = gilx_code_table_new(layout, (uintptr_t)&PyCode_Type);
    gilx_frame frame;
    int spot = GILX_SPOT_UNKNOWN;
    if (codes == NULL) {
        gilx_memory_close(memory);
        return PyErr_NoMemory();
    }
    if (gilx_waiting_frame(layout, memory, (uintptr_t)PyThreadState_Get(), &frame)) {
        spot = gilx_code_spot(codes, memory, frame.code, frame.instruction);
    }
    if (spot < 0) {
        PyErr_SetString(unavailable, "the Python frame of this thread can't be read");
    } else {
        const gilx_spot *found = gilx_spot_at(codes, spot);
        item = spot_object(gilx_function_at(codes, found->function), found);
    }
    gilx_code_table_free(codes);
    gilx_memory_close(memory);
    return item;
}

/* Return a list of the frames, or NULL with an exception set. */
static PyObject *list_of(const gilx_frame *frames, int count, gilx_code_table *codes,
                         gilx_memory *memory, PyObject *unavailable) {
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < count; ++i) {
        const int spot =
            gilx_code_spot(codes, memory, frames[i].code, frames[i].instruction);
        if (spot < 0) {
            PyErr_Format(unavailable, "the code of frame %d can't be read", i);
            Py_CLEAR(list);
            break;
        }
        const gilx_spot *found = gilx_spot_at(codes, spot);
        PyObject *item = spot_object(gilx_function_at(codes, found->function), found);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

PyObject *gilx_own_free_stack(const gilx_stack_layout *layout, gilx_memory *memory,
                              PyObject *unavailable) {
    PyObject *list = NULL;
    bool complete;
    gilx_code_table *codes = gilx_code_table_new(layout, (uintptr_t)&PyCode_Type);
    gilx_frame *frames = malloc(GILX_MOST_FRAMES * sizeof(*frames));
    if (codes == NULL || frames == NULL) {
        PyErr_NoMemory();
    } else {
        const int count =
            gilx_waiting_stack(layout, memory, (uintptr_t)PyThreadState_Get(), frames,
                               GILX_MOST_FRAMES, &complete);
        list = list_of(frames, count, codes, memory, unavailable);
    }
    free(frames);
    gilx_code_table_free(codes);
    gilx_memory_close(memory);
    return list;
}

/* ---- sites ------------------------------------------------------------------------ */

static PyObject *site_object(const gilx_sites *sites, int number) {
    static const gilx_function no_function = {.name = "", .file = ""};
    static const gilx_spot no_spot = {.column = -1, .end_column = -1};
    gilx_site_kind kind;
    const gilx_spot *spot;
    const gilx_function *function;
    const gilx_site *site = gilx_sites_site(sites, number, &kind, &spot, &function);
    function = function == NULL ? &no_function : function;
    spot = spot == NULL ? &no_spot : spot;
    const bool one = !site->several && site->place != GILX_UNKNOWN_THREAD;
    return Py_BuildValue(
        "(iO&O&iiiiiiddddLLLLddd)", (int)kind, text_object, function->name, text_object,
        function->file, (int)function->first_line, (int)spot->line, (int)spot->end_line,
        (int)spot->column, (int)spot->end_column, one ? site->place : -1, site->held,
        site->squares, site->steps, site->below, (long long)site->samples,
        (long long)site->low, (long long)site->high, (long long)site->run, site->waited,
        site->waited_squares, site->waited_steps);
}

PyObject *gilx_sites_list(const gilx_sites *sites) {
    PyObject *list = PyList_New(0);
    const int count = sites == NULL ? 0 : gilx_sites_number(sites);
    for (int i = 0; list != NULL && i < count; ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        if (gilx_sites_site(sites, i, &kind, &spot, &function)->samples == 0) {
            continue;
        }
        PyObject *item = site_object(sites, i);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

PyObject *gilx_place_object(const gilx_sites *sites, int number) {
    gilx_site_kind kind;
    const gilx_spot *spot;
    const gilx_function *function;
    (void)gilx_sites_site(sites, number, &kind, &spot, &function);
    if (spot == NULL) {
        return Py_BuildValue("(issiiiii)", (int)kind, "", "", 0, 0, 0, -1, -1);
    }
    return Py_BuildValue("(iO&O&iiiii)", (int)kind, text_object, function->name,
                         text_object, function->file, (int)function->first_line,
                         (int)spot->line, (int)spot->end_line, (int)spot->column,
                         (int)spot->end_column);
}

static PyObject *wait_object(const gilx_sites *sites, int number) {
    static const gilx_function no_function = {.name = "", .file = ""};
    static const gilx_spot no_spot = {.column = -1, .end_column = -1};
    gilx_site_kind kind;
    const gilx_spot *spot;
    const gilx_function *function;
    (void)gilx_sites_site(sites, number, &kind, &spot, &function);
    function = function == NULL ? &no_function : function;
    spot = spot == NULL ? &no_spot : spot;
    const gilx_waits *waits = gilx_sites_waits(sites, number);
    return Py_BuildValue("(iO&O&iiiiiddddL)", (int)kind, text_object, function->name,
                         text_object, function->file, (int)function->first_line,
                         (int)spot->line, (int)spot->end_line, (int)spot->column,
                         (int)spot->end_column, waits->time[0], waits->squares[0],
                         waits->time[1], waits->squares[1], (long long)waits->samples);
}

PyObject *gilx_waits_list(const gilx_sites *sites) {
    PyObject *list = PyList_New(0);
    const int count = sites == NULL ? 0 : gilx_sites_number(sites);
    for (int i = 0; list != NULL && i < count; ++i) {
        if (gilx_sites_waits(sites, i)->samples == 0) {
            continue;
        }
        PyObject *item = wait_object(sites, i);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *call_object(const gilx_sites *sites, const gilx_call *call) {
    PyObject *where = Py_NewRef(Py_None);
    if (call->parent != GILX_NO_CALL && call->label >= 0) {
        const gilx_function *function;
        const gilx_spot *spot = gilx_sites_spot(sites, call->label, &function);
        Py_SETREF(where, spot_object(function, spot));
        if (where == NULL) {
            return NULL;
        }
    }
    const bool unknown =
        call->parent == GILX_NO_CALL && call->label == GILX_UNKNOWN_THREAD;
    return Py_BuildValue("(iiNdd)", (int)call->parent, unknown ? -1 : (int)call->label,
                         where, call->held, call->cut);
}

PyObject *gilx_calls_list(const gilx_sites *sites) {
    const gilx_call_tree *calls = sites == NULL ? NULL : gilx_sites_calls(sites);
    const int count = calls == NULL ? 0 : gilx_call_tree_size(calls);
    PyObject *list = PyList_New(count);
    for (int i = 0; list != NULL && i < count; ++i) {
        PyObject *item = call_object(sites, gilx_call_tree_at(calls, i));
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    return list;
}

PyObject *gilx_longest_holds_list(const gilx_sites *sites) {
    PyObject *list = PyList_New(0);
    for (int watched = 1; sites != NULL && watched >= 0; --watched) {
        const gilx_stretches *stretches = gilx_sites_stretches(sites, watched == 1);
        for (int i = 0; list != NULL && i < stretches->count; ++i) {
            const gilx_stretch *one = &stretches->longest[i];
            gilx_site_kind kind;
            const gilx_spot *spot;
            const gilx_function *function;
            const gilx_site *site =
                gilx_sites_site(sites, one->site, &kind, &spot, &function);
            PyObject *item = Py_BuildValue(
                "iLLLddd", one->place == GILX_UNKNOWN_THREAD ? -1 : one->place,
                (long long)one->low, (long long)one->high, (long long)one->run,
                site->held, site->squares, site->steps);
            if (item == NULL || PyList_Append(list, item) < 0) {
                Py_CLEAR(list);
            }
            Py_XDECREF(item);
        }
    }
    return list;
}
