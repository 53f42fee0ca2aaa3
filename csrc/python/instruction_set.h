/* Which instruction set the kernels use: chosen at load, forced by those who test. */
#ifndef GILX_PYTHON_INSTRUCTION_SET_H
#define GILX_PYTHON_INSTRUCTION_SET_H

#include "python_api.h"

/* Choose one when the module is loaded: what the environment variable GILX_ISA names,
 * else the best that the machine has. Returns 0, or -1 with ImportError set if the
 * machine lacks what is named. */
int gilx_load_instruction_set(void);

/* _instruction_set(name=None, /): use this one from now on, if given. Returns the name of
 * the one in use before. */
PyObject *gilx_instruction_set(PyObject *module, PyObject *args);

/* _instruction_sets(): the names of those that the machine has, the least first. */
PyObject *gilx_instruction_sets(PyObject *module, PyObject *unused);

#endif
