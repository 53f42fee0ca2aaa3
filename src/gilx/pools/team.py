"""The native team for C functions of users."""

from __future__ import annotations

import ctypes
import re
from typing import Any, Self

from gilx.errors import ArgumentError, at_least, number_between, number_of_workers
from gilx.pools.fork_safe_lock import Turn
from gilx.pools.native import SPIN_NS
from gilx.system.environment import usable_cpus

_MOST = 2**63 - 1  # the largest int64_t
_SIGNATURE = "void (void *, int64_t, int64_t)"
_ARGUMENTS = "argtypes (c_void_p, c_int64, c_int64) and restype None"
# How compilers and Cython may spell a signed integer of 64 bits.
_INTEGERS = "int64_t|long|long int|long long|npy_int64|npy_intp|Py_ssize_t|ptrdiff_t"
_ACCEPTED = re.compile(rf"void \(void ?\*, ?({_INTEGERS}), ?({_INTEGERS})\)")

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_capsule_context = ctypes.pythonapi.PyCapsule_GetContext
_capsule_context.restype, _capsule_context.argtypes = ctypes.c_void_p, [ctypes.py_object]


# The base of all function types of ctypes, and that of its pointers.
_CFunction: Any = ctypes.CFUNCTYPE(None).__mro__[1]
_Pointer: Any = ctypes.POINTER(ctypes.c_int).__mro__[1]


def _is_capsule(given: object) -> bool:
    # types.CapsuleType exists only from Python 3.13 on.
    return type(given).__name__ == "PyCapsule"


def _pointer_in(capsule: object) -> int:
    return int(_capsule_pointer(capsule, _capsule_name(capsule)))


def _capsule_of_scipy(given: object) -> object | None:
    """Return the capsule in a LowLevelCallable, a tuple that hides its items."""
    if type(given).__name__ == "LowLevelCallable" and isinstance(given, tuple):
        capsule: object = tuple.__getitem__(given, 0)
        return capsule
    return None


def _function_in_capsule(capsule: object) -> int:
    name = (_capsule_name(capsule) or b"").decode(errors="replace")
    if not _ACCEPTED.fullmatch(" ".join(name.split())):
        raise ArgumentError(
            f"function: expected a capsule named {_SIGNATURE!r}, got {name!r}"
        )
    return _pointer_in(capsule)


def _function_of_ctypes(function: Any) -> int:  # noqa: ANN401 - ctypes has no public type
    argtypes = list(function.argtypes or ())
    right = (
        len(argtypes) == 3
        and (argtypes[0] is ctypes.c_void_p or issubclass(argtypes[0], _Pointer))
        and argtypes[1] in (ctypes.c_int64, ctypes.c_long, ctypes.c_longlong)
        and argtypes[2] in (ctypes.c_int64, ctypes.c_long, ctypes.c_longlong)
        and function.restype is None
    )
    if not right:
        raise ArgumentError(
            f"function: expected a ctypes function with {_ARGUMENTS}, got"
            f" {[kind.__name__ for kind in argtypes]} and {function.restype}"
        )
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _address_of_function(given: Any) -> int:  # noqa: ANN401 - that is what it finds out
    if isinstance(given, int) and not isinstance(given, bool):
        if given <= 0:
            raise ArgumentError(f"function: expected an address, got {given}")
        return given
    if _is_capsule(given):
        return _function_in_capsule(given)
    if isinstance(given, _CFunction):
        return _function_of_ctypes(given)
    if (capsule := _capsule_of_scipy(given)) is not None:
        return _function_in_capsule(capsule)
    if isinstance(getattr(given, "ctypes", None), _CFunction):
        return _function_of_ctypes(given.ctypes)  # numba's cfunc
    raise ArgumentError(
        "function: expected a capsule, a scipy LowLevelCallable, a numba cfunc, a ctypes"
        f" function or an address, got {type(given).__name__}"
    )


def _context(given: Any, function: object) -> Any:  # noqa: ANN401 - as above
    """Return an address, or an object whose memory is the context."""
    if given is None:
        # SciPy's user data is the context of its capsule.
        capsule = _capsule_of_scipy(function)
        return 0 if capsule is None else _capsule_context(capsule) or 0
    if _is_capsule(given):
        return _pointer_in(given)
    if isinstance(given, (ctypes.c_void_p, _Pointer)):
        return ctypes.cast(given, ctypes.c_void_p).value or 0
    return given


class Team:
    """Native threads that run a C function over a range, without the GIL.

    The calling thread is one of the workers. A call of `run` releases the GIL once, and
    wakes the others within microseconds; between calls they spin for a moment and then
    sleep. They end when the team is closed or dropped. In a child after `os.fork` the
    next `run` starts new ones.

    Parameters
    ----------
    workers : int, optional
        Number of threads, the caller included, 1 to 4096; by default the CPUs that this
        process may use.
    spin : float, optional
        Seconds for which an idle thread spins before it sleeps, 0 to 1. By default 200
        microseconds, or 0 with more workers than CPUs.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.
    OSError
        The system refused a thread; none is left running.
    NotCompiledError
        gilx was installed without its compiled parts.

    """

    def __init__(self, workers: int | None = None, *, spin: float | None = None) -> None:
        from gilx.ckernels import NativeTeam  # noqa: PLC0415 - not in every installation

        cpus = usable_cpus()
        self.workers: int = cpus if workers is None else number_of_workers(workers)
        if spin is None:
            spin = SPIN_NS * 1e-9 if self.workers <= cpus else 0.0
        spin = number_between("spin", spin, 0, 1, unit="seconds")
        self._team = NativeTeam(self.workers, int(spin * 1e9))
        self._turn = Turn("the team")

    def run(
        self,
        function: object,
        context: object,
        n: int,
        *,
        grain: int | None = None,
    ) -> None:
        """Call ``function(context, start, stop)`` for ranges that cover 0 to n.

        Parameters
        ----------
        function : capsule, LowLevelCallable, numba cfunc, ctypes function or address
            A C function ``void (void *context, int64_t start, int64_t stop)`` that is
            safe to be called from several threads at once and does not touch Python. The
            name of a capsule must be its signature, as Cython's ``__pyx_capi__`` and
            `scipy.LowLevelCallable` have it. An address can't be checked.
        context : None, int, capsule, ctypes pointer, or any C-contiguous buffer
            First argument of the function: NULL (or the user data of a LowLevelCallable),
            an address, a pointer, or the address of the memory of an array, a ctypes
            structure or the like, which is held until the call ends.
        n : int
            Number of items, at least 0.
        grain : int, optional
            Items in one call of the function, at least 1: workers claim ranges of this
            size one after another. By default each gets one range, all equal.

        Raises
        ------
        ArgumentError
            An argument is not as described; the message names it. Nothing was called.
        TypeError, ValueError, BufferError
            The context is of none of these types.
        RuntimeError
            The team was closed.
        KeyboardInterrupt
            Ctrl-C on the main thread, which checks for it between calls of the function.

        """
        address = _address_of_function(function)
        at_least("n", n, 0, _MOST)
        if grain is not None:
            at_least("grain", grain, 1, _MOST)
        with self._turn.taken():
            self._team.run(address, _context(context, function), n, grain)

    def settle(self) -> None:
        """Wait until no thread spins any more, before something else is timed."""
        with self._turn.taken():
            self._team.settle()

    def close(self) -> None:
        """End the threads. Closing twice does nothing."""
        with self._turn.taken():
            self._team.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
