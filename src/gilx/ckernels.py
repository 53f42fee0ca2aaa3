"""Stand-in for the kernels and the native team in C.

Python loads it only if the compiled module of this name is not installed.
"""

from gilx.errors import NotCompiledError

raise NotCompiledError
