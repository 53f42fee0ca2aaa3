#include "free_thread_objects.h"

#include <string.h>

#include "../sampler/free_tracking.h"
#include "../sampler/layouts.h"
#include "stack_objects.h"

const gilx_gil_words *gilx_free_words(void) {
    static const gilx_gil_struct GIL = {.locked = 0};
    static const gilx_gil_words WORDS = {
        .locked = &GIL.locked,
        .holder = &GIL.holder,
        .switches = &GIL.switches,
        .interval = &GIL.interval,
    };
    return &WORDS;
}

/* Append an object, which is given away, to a list; return the list, or NULL. */
static PyObject *append(PyObject *list, PyObject *item) {
    if (item == NULL || PyList_Append(list, item) < 0) {
        Py_CLEAR(list);
    }
    Py_XDECREF(item);
    return list;
}

static PyObject *clocks_list(const gilx_sampler *sampler) {
    const gilx_watched_thread *threads;
    const int count = gilx_sampler_threads(sampler, &threads);
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < count; ++i) {
        const gilx_thread_activities *does = &threads[i].does;
        const gilx_activity_sums *spun = &does->spun_without_cpu;
        list = append(
            list, Py_BuildValue("(LLddddddd(dddd))",
                                (long long)(does->clock_last_ns - does->clock_first_ns),
                                (long long)(does->cpu_last_ns - does->cpu_first_ns),
                                does->asked_stops, does->asked_squares, does->late,
                                does->late_squares, does->ready, does->without_cpu,
                                does->without_cpu_squares, spun->time, spun->squares,
                                spun->products, spun->steps));
    }
    return list;
}

static PyObject *ratio_object(const gilx_ratio *ratio) {
    return Py_BuildValue("(dddddddd)", ratio->x, ratio->y, ratio->xx, ratio->xy,
                         ratio->yy, ratio->dxx, ratio->dxy, ratio->dyy);
}

static PyObject *stops_object(const gilx_free_tracking *tracking) {
    if (tracking->threads.world == 0) {
        Py_RETURN_NONE;
    }
    const gilx_stop_bounds *bounds = &tracking->bounds;
    return Py_BuildValue("(NNLLL)", ratio_object(&tracking->stopped),
                         ratio_object(&tracking->stopping), (long long)bounds->least_ns,
                         (long long)bounds->most_ns, (long long)bounds->stretch_ns);
}

static PyObject *sites_list(const gilx_sampler *sampler) {
    const gilx_free_tracking *tracking = gilx_sampler_free_threads(sampler);
    const gilx_sites *sites = gilx_sampler_sites(sampler);
    PyObject *list = PyList_New(0);
    const int count = sites == NULL ? 0 : gilx_sites_number(sites);
    for (int i = 0; list != NULL && i < count; ++i) {
        const gilx_stop_site *one = &tracking->sites[i];
        if (one->samples > 0) {
            list =
                append(list, Py_BuildValue("(NddddL)", gilx_place_object(sites, i),
                                           one->asked, one->asked_squares, one->late,
                                           one->late_squares, (long long)one->samples));
        }
    }
    return list;
}

static PyObject *locks_list(const gilx_free_tracking *tracking) {
    const gilx_lock_table *locks = &tracking->locks;
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < locks->count; ++i) {
        const gilx_lock_wait *one = &locks->all[i];
        if (one->samples > 0) {
            list = append(list, Py_BuildValue("(iKsddL)", (int)one->kind,
                                              (unsigned long long)one->address, one->type,
                                              one->time, one->squares,
                                              (long long)one->samples));
        }
    }
    return list;
}

static double positive(double time) {
    return time > 0 ? time : 0;
}

PyObject *gilx_clocked_object(const gilx_thread_activities *does, int64_t since) {
    const gilx_clocked_times *clocked = &does->clocked;
    PyObject *times = PyTuple_New(GILX_CLOCKED_KINDS);
    for (int i = 0; times != NULL && i < GILX_CLOCKED_KINDS; ++i) {
        PyObject *one = Py_BuildValue("(dd)", clocked->time[i], clocked->squares[i]);
        if (one == NULL) {
            Py_CLEAR(times);
        } else {
            PyTuple_SET_ITEM(times, i, one);
        }
    }
    const int64_t waited =
        does->wait_first_ns < 0 ? 0 : does->wait_last_ns - does->wait_first_ns;
    return times == NULL
               ? NULL
               : Py_BuildValue(
                     "(NL(dd)(dd)d)", times, (long long)waited, does->asked_stops,
                     does->asked_squares, does->late, does->late_squares,
                     positive(clocked->ran) + positive(clocked->rested) + (double)since);
}

PyObject *gilx_reading_world(const gilx_reading *reading) {
    const gilx_stop_length *longest = &reading->longest_stop;
    if (!reading->world) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(NNLLLL)", ratio_object(&reading->stopped),
                         ratio_object(&reading->stopping), (long long)reading->stops,
                         (long long)longest->low_ns, (long long)longest->high_ns,
                         (long long)longest->stretch_ns);
}

PyObject *gilx_free_threads_object(const gilx_sampler *sampler) {
    const gilx_free_tracking *tracking = gilx_sampler_free_threads(sampler);
    if (tracking == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(NNNNN)", clocks_list(sampler), stops_object(tracking),
                         sites_list(sampler), locks_list(tracking),
                         PyBool_FromLong(tracking->gil_enabled));
}
