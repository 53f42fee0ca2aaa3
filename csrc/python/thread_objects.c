#include "thread_objects.h"

/* ---- threads ---------------------------------------------------------------------- */

static PyObject *thread_object(const gilx_watched_thread *thread) {
    const gilx_thread_activities *does = &thread->does;
    /* It also was there while it held since it was last asked. */
    const double since = does->sums[GILX_HOLDS_GIL].time - does->asked_held;
    const double until = does->alive_until > 0 ? does->alive_until : does->asked + since;
    const int64_t waited =
        does->wait_first_ns < 0 ? -1 : does->wait_last_ns - does->wait_first_ns;
    PyObject *sums = PyTuple_New(GILX_ACTIVITIES);
    for (int i = 0; sums != NULL && i < GILX_ACTIVITIES; ++i) {
        const gilx_activity_sums *one = &does->sums[i];
        PyObject *item =
            Py_BuildValue("dddd", one->time, one->squares, one->products, one->steps);
        if (item == NULL) {
            Py_CLEAR(sums);
        } else {
            PyTuple_SET_ITEM(sums, i, item);
        }
    }
    return sums == NULL
               ? NULL
               : Py_BuildValue("LddddLLN", (long long)thread->tid, until - does->begun,
                               does->known, does->squares, does->held_off_cpu,
                               (long long)waited, (long long)does->reads, sums);
}

PyObject *gilx_threads_list(const gilx_sampler *sampler) {
    const gilx_watched_thread *threads;
    const int count = gilx_sampler_threads(sampler, &threads);
    PyObject *list = PyList_New(count);
    for (int i = 0; list != NULL && i < count; ++i) {
        PyObject *item = thread_object(&threads[i]);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    return list;
}

/* ---- samples ---------------------------------------------------------------------- */

/* Return a tuple of (place, share) for the timeline. */
static PyObject *shares_object(const gilx_share *shares, int count) {
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple != NULL && i < count; ++i) {
        const int place = shares[i].place;
        PyObject *item = Py_BuildValue("ii", place == GILX_UNKNOWN_THREAD ? -1 : place,
                                       (int)shares[i].share);
        if (item == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, i, item);
        }
    }
    return tuple;
}

/* Return a tuple of (place, activity) for the timeline. */
static PyObject *deeds_object(const gilx_sample *sample) {
    PyObject *tuple = PyTuple_New(sample->deeds);
    for (int i = 0; tuple != NULL && i < sample->deeds; ++i) {
        PyObject *item =
            Py_BuildValue("ii", (int)sample->did[i].place, (int)sample->did[i].activity);
        if (item == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, i, item);
        }
    }
    return tuple;
}

static PyObject *sample_object(const gilx_sample *sample) {
    PyObject *held = shares_object(sample->held, sample->holders);
    PyObject *ran = held == NULL ? NULL : shares_object(sample->ran, sample->clocks);
    PyObject *did = ran == NULL ? NULL : deeds_object(sample);
    if (did == NULL) {
        Py_XDECREF(held);
        Py_XDECREF(ran);
        return NULL;
    }
    /* "N" hands the references over, whether this succeeds or not. */
    return Py_BuildValue("LONNN", (long long)sample->at_ns,
                         sample->late ? Py_True : Py_False, held, ran, did);
}

PyObject *gilx_samples_list(const gilx_sampler *sampler) {
    const Py_ssize_t count = (Py_ssize_t)gilx_sampler_sample_count(sampler);
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; ++i) {
        PyObject *item = sample_object(gilx_sampler_sample(sampler, i));
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    return list;
}
