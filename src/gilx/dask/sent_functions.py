"""Files of functions that were sent to workers with their code.

Dask sends a function that a worker could not import (one of the program that was started,
or one that is defined in a function) with its code, by cloudpickle, which since version
3.1.2 leaves out the name of the file. The client still has such functions: qualified name
and line identify them.
"""

from __future__ import annotations

import gc
import sys
import types
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from gilx.formatting import escaped
from gilx.sampling.sites import Site, SiteCaller, one_line
from gilx.sampling.source_text import SourceTexts, all_codes
from gilx.sampling.waiting_sites import WaitingSite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.sampling.usage import GilUsage

_Place = TypeVar("_Place", Site, WaitingSite)

_NO_FILE = "<dynamic-code>"
_LOCAL = "<locals>"  # in the qualified name of what is defined in a function
_START = "<string>"  # the line with which multiprocessing starts a worker's process


class SentFunctions:
    """Functions of this process that may have been sent with their code.

    Parameters
    ----------
    since : float
        Time from which on a file must not have been changed, in seconds since the epoch.

    """

    def __init__(self, since: float) -> None:
        self._sources = SourceTexts(since)

    def named(self, usage: GilUsage) -> GilUsage:
        """Return a worker's usage with the files of such functions and their texts.

        A place remains without a file if no function here has its name and line, or
        functions in several files have them.
        """
        return replace(
            usage,
            sites=tuple(
                replace(self._place(site), callers=self._callers(site))
                for site in usage.sites
            ),
            waiting_sites=tuple(self._place(site) for site in usage.waiting_sites),
        )

    def _place(self, site: _Place) -> _Place:
        if site.file != _NO_FILE:
            return site
        file: str = self._file(site.function, site.first_line, site.line)
        if not file:
            return site
        position = (
            *(site.function, file, site.first_line, site.line, site.end_line),
            *(site.column, site.end_column),
        )
        text = site.text or one_line(self._sources.text(position))
        return replace(site, file=file, text=text)

    def _callers(self, site: Site) -> tuple[SiteCaller, ...]:
        """Return the callers of a site but for the start of the worker itself."""
        return tuple(
            replace(one, file=self._file(one.function, 0, one.line) or one.file)
            if one.file == _NO_FILE
            else one
            for one in site.callers
            if (one.file, one.function) != (_START, "<module>")
        )

    def _file(self, function: str, first_line: int, line: int) -> str:
        """Return the file of a function; '' if it is unknown. Line 0 is any line."""
        files = {
            code.co_filename
            for code in self._codes.get(function, ())
            if first_line in (0, code.co_firstlineno)
            and line in (0, *(each for *_, each in code.co_lines()))
        }
        return escaped(files.pop()) if len(files) == 1 else ""

    @cached_property
    def _codes(self) -> dict[str, list[types.CodeType]]:
        """Code of the functions by their qualified names."""
        codes: dict[str, list[types.CodeType]] = {}
        for code in chain(self._codes_of_program(), _codes_of_functions()):
            if code.co_filename != _NO_FILE:
                codes.setdefault(code.co_qualname, []).append(code)
        return codes

    def _codes_of_program(self) -> Iterator[types.CodeType]:
        """Yield the code in the file that was started, if there is one."""
        file = getattr(sys.modules.get("__main__"), "__file__", None)
        if isinstance(file, str):
            for codes in self._sources.codes_in(file).values():
                yield from codes


def _codes_of_functions() -> Iterator[types.CodeType]:
    """Yield the code of all functions that can only be sent with it."""
    for function in gc.get_objects():
        if type(function) is not types.FunctionType:
            continue
        of_program = function.__module__ == "__main__"
        for code in all_codes(function.__code__):
            if of_program or _LOCAL in code.co_qualname:
                yield code
