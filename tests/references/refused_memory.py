"""The same calls with each of their allocations refused, one after the other."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from .calls import SLOW, NoErrorError
from .counting import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .counting import Memory

__all__ = ["modules", "refused"]

UNNOTICED = 8  # refusals in a row that no call noticed: it has no more allocations


def _refuse(number: int, call: Callable[[], object]) -> bool:
    """Make a call whose allocation of that number is refused; return whether it failed."""
    refusing: Any = importlib.import_module("_testcapi")  # debug builds have it
    try:
        refusing.set_nomemory(number, number + 1)
        call()
    except (SystemError, NoErrorError):
        raise  # a call that broke the rules
    except Exception:  # an error that wanted memory for its message may come without one
        return True
    finally:
        refusing.remove_mem_hooks()
    return False


def _allocations(call: Callable[[], object]) -> int:
    """Return how many allocations of a call can be refused so that it fails."""
    number = unnoticed = 0
    while unnoticed < UNNOTICED:
        unnoticed = 0 if _refuse(number, call) else unnoticed + 1
        number += 1
    return number - unnoticed


class _Refused:
    """A call made once for each of its allocations, which is refused."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._count = -1

    def __call__(self) -> None:
        if self._count < 0:
            self._call()
            self._count = _allocations(self._call)
        for number in range(self._count):
            _refuse(number, self._call)


def refused(group: Callable[[Memory], Iterator[Case]], memory: Memory) -> Iterator[Case]:
    """Yield the quick cases of a group, with each allocation refused in turn."""
    for case in group(memory):
        if case.times == SLOW or case.runs_python:
            continue
        yield Case(case.name, _Refused(case.call), 2, case.keeps)


def modules(_memory: Memory) -> Iterator[Case]:
    """Yield loading of the modules, by C functions, since Python code wants memory."""
    from _imp import create_dynamic, exec_dynamic

    for name in ("gilx.ckernels", "gilx.sampling._sampler"):
        spec = importlib.util.find_spec(name)
        importlib.import_module("gilx.errors")

        def load(spec: Any = spec) -> None:
            try:
                exec_dynamic(create_dynamic(spec))
            except SystemError as error:
                # What Python 3.11 says when it was refused memory for the name of a type.
                if "without setting an exception" not in str(error):
                    raise

        yield Case(name, load)
