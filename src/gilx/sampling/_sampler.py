"""Stand-in for the watch's sampler.

Python loads it only if the compiled module of this name is not installed.
"""

from gilx.errors import NotCompiledError

raise NotCompiledError
