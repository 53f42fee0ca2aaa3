"""Reference counts, buffers and the GIL in the bindings, under a debug build of Python.

A debug build counts all references and stops when its API is used without the GIL. Each
call of the extension modules, good or bad, must leave the number of references and of
memory blocks as it was; see `python -m tests.references --help`.
"""
