"""Faults seeded into the bindings, one at a time, each of which has to be found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNREACHED", "Fault", "chosen", "groups_for", "seeded"]

ROOT = Path(__file__).parents[2]

# Kind of fault, the code that it is made from, and what stands there in its place.
_KINDS = [
    ("GIL not taken back", r"\bPy_END_ALLOW_THREADS\b", "(void)_save; }"),
    ("GIL not taken back", r"\bPyEval_RestoreThread\([^;]*;", ";"),
    ("GIL not given back", r"\bPyGILState_Release\([^;]*;", ";"),
    ("Python without the GIL", r"\bPy_BEGIN_ALLOW_THREADS\b", r"\g<0> PyErr_Clear();"),
    ("Python without the GIL", r"\bPyEval_SaveThread\(\)[^;]*;", r"\g<0> PyErr_Clear();"),
    ("buffer not released", r"\bPyBuffer_Release\([^;]*;", ";"),
    ("reference not given up", r"\bPy_(X?DECREF|CLEAR)\([^;]*;", ";"),
    ("reference not visited", r"\bPy_VISIT\([^;]*;", ";"),
]


@dataclass(frozen=True)
class Fault:
    """A change to one source that breaks a rule of Python's API."""

    kind: str
    source: str
    line: int
    code: str
    """The code that was taken away, or that Python is called after."""
    text: str
    """The source with the fault."""

    def __str__(self) -> str:
        """Say where it is, and what."""
        return f"{self.source}:{self.line}: {self.kind}: {self.code}"


_WITHOUT_GIL = "debug builds of Python that are looked for have a GIL"
# Code that no call reaches under Python 3.11, by source, and why.
UNREACHED = {
    ("csrc/python/buffers.c", "Py_XDECREF(traceback);"): (
        "no buffer comes from Python code before 3.12, and C code adds no traceback"
    ),
    ("csrc/python/free_thread_objects.c", "Py_CLEAR(list);"): _WITHOUT_GIL,
    ("csrc/python/free_thread_objects.c", "Py_CLEAR(times);"): _WITHOUT_GIL,
    ("csrc/python/free_thread_objects.c", "Py_XDECREF(item);"): _WITHOUT_GIL,
    ("csrc/python/own_interpreter.c", "Py_DECREF(list);"): _WITHOUT_GIL,
}

# Groups of cases that use a source most, to be tried before all others.
_GROUPS = {
    "buffers": ["increments", "c-nogil"],
    "ckernels_module": ["c-nogil", "modules", "modules, memory refused"],
    "counter_type": ["counters", "modules", "modules, memory refused"],
    "increment_functions": ["increments", "modules"],
    "instruction_set": ["parts", "parts, memory refused"],
    "integer_argument": ["counters"],
    "monitor_objects": ["samplers", "samplers, memory refused"],
    "kernel_call": ["c-nogil"],
    "sampler_module": [
        "samplers", "modules", "without_threads", "samplers, memory refused",
        "modules, memory refused",
    ],
    "signals": ["increments", "modules"],
    "stack_objects": ["samplers", "samplers, memory refused"],
    "thread_objects": ["samplers", "samplers, memory refused"],
    "spin_functions": ["spins", "spins, memory refused"],
    "team_type": ["teams", "without_threads", "after_fork"],
}  # fmt: skip


def groups_for(fault: Fault, groups: list[str]) -> list[str]:
    """Return all groups, those first that are likely to find a fault."""
    first = _GROUPS.get(Path(fault.source).stem, [])
    return [*first, *(group for group in groups if group not in first)]


def seeded() -> Iterator[Fault]:
    """Yield all faults, each with the text of its source."""
    for path in sorted((ROOT / "csrc" / "python").glob("*.c")):
        text = path.read_text(encoding="utf-8")
        for kind, pattern, instead in _KINDS:
            for match in re.finditer(pattern, text):
                changed = text[: match.start()] + match.expand(instead)
                yield Fault(
                    kind,
                    str(path.relative_to(ROOT)),
                    text.count("\n", 0, match.start()) + 1,
                    match[0],
                    changed + text[match.end() :],
                )


def _sample() -> Iterator[Fault]:
    """Yield faults so that each kind and each source has one."""
    kinds, sources = set[str](), set[str]()
    for fault in seeded():
        reached = (fault.source, fault.code) not in UNREACHED
        if reached and not (fault.kind in kinds and fault.source in sources):
            kinds.add(fault.kind)
            sources.add(fault.source)
            yield fault


def chosen(which: str) -> list[Fault]:
    """Return the faults named by none, sample, all or a part of their descriptions."""
    match which:
        case "none":
            return []
        case "sample":
            return list(_sample())
        case "all":
            return list(seeded())
    return [fault for fault in seeded() if which in str(fault)]
