/* gilx.ckernels.NativeTeam: the native team as a Python object. */
#ifndef GILX_PYTHON_TEAM_TYPE_H
#define GILX_PYTHON_TEAM_TYPE_H

#include "python_api.h"

/* Create the type for `module`, whose state begins with a gilx_support; a new reference,
 * or NULL with an exception set. */
PyTypeObject *gilx_team_type(PyObject *module);

#endif
