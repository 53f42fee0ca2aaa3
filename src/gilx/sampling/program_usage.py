"""Usage of a program that was watched as a whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gilx.formatting import printable

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.watch import Watch


def usage_of_program(watching: Watch, name: str) -> GilUsage:
    """Return the usage of a watch that began and ended with a program.

    Parameters
    ----------
    watching : Watch
        A watch that has ended.
    name : str
        Name of the program, not empty.

    Returns
    -------
    GilUsage
        Its text leads with all threads. It is not inconclusive if the main thread's share
        cannot be determined because other threads held the GIL all the time.

    """
    usage = watching.usage
    return replace(
        usage, program=printable(name), doubt=usage.sums.reason_of_program, where=""
    )
