"""One group of cases, in a process of its own: `python -m tests.references.child GROUP`.

Prints the name of each case before it runs, what was found in it, and a line at the end.
"""

from __future__ import annotations

import faulthandler
import gc
import sys

from .counting import Case, Memory, growth
from .groups import GROUPS

__all__ = ["END"]

SECONDS = 20  # for a case, after which it hangs
END = "end of the group"


def _findings(case: Case, memory: Memory) -> list[str]:
    found = []
    try:
        references, blocks = growth(case.call, case.times)
    except Exception as error:  # SystemError, where Python noticed that a rule was broken
        found.append(f"{type(error).__name__}: {error}")
    else:
        if references:
            found.append(f"references: {references:+g} per call")
        if blocks:
            found.append(f"memory blocks: {blocks:+g} per call")
    if not case.keeps and (held := memory.held()):
        found.append(f"buffers never released: {held}")
    return found


def _run(group: str, *, only_first: bool) -> None:
    gc.disable()  # it runs where counts are taken
    memory = Memory()
    for case in GROUPS[group](memory):
        print(f"case {case.name}", flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        found = _findings(case, memory)
        for words in found:
            print(f"found {words}", flush=True)
        if found and only_first:
            break
    faulthandler.cancel_dump_traceback_later()
    if "numpy" in sys.modules:
        raise RuntimeError("NumPy was loaded, whose references are not counted")
    print(END, flush=True)


if __name__ == "__main__":
    _run(sys.argv[1], only_first="--only-first" in sys.argv[2:])
