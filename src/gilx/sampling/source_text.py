"""Source texts of expressions, and the extension modules that they call.

Nothing here runs code of the watched program: files are read and perhaps compiled, and
modules are looked into without their attribute lookup.
"""

from __future__ import annotations

import builtins
import inspect
import linecache
import math
import os
import re
import stat
import sys
import time
import types
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING, Any, NamedTuple

from gilx.sampling.process_access import start_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.sampling.sites import Position

    _Name = tuple[str, int]  # qualified name, and line at which a function begins

_LARGEST = 1 << 24  # bytes of a source file
_WORD = 0xFFFFFFFF
_MARGIN = 1.0  # seconds by which the times of files and processes may disagree
_MOST_WRAPPERS = 10  # of a function that are looked into
_CALL = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\(")
_DESCRIPTORS: tuple[type, ...] = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)


def process_start(pid: int | str = "self") -> float:
    """Return when a process began, in seconds since the epoch; now if unknown."""
    now, ticks = time.time(), start_of(pid)
    if ticks is None:
        return now
    return now - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / _TICKS


_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 1
# That of the process which loaded gilx: a fork of it has modules that were loaded before.
_STARTED = process_start()


class Source(NamedTuple):
    """A source file as it is now, with times in seconds since the epoch, 0 if unknown."""

    lines: list[str]
    modified: float = 0.0
    """When its contents were changed, which programs may set to any time."""
    touched: float = 0.0
    """When anything was changed, its name or the number of its links included."""
    size: int = 0


class SourceTexts:
    """Source texts of what ran in a watch.

    Parameters
    ----------
    since : float
        Time of the watch's begin, in seconds since the epoch. A file that was changed
        after that may not be what ran.
    started : float
        Time of the process's begin. A file that was changed after that may not be what
        was loaded.

    """

    def __init__(self, since: float, started: float = _STARTED) -> None:
        self._since, self._started = since, started
        self._sources: dict[str, Source] = {}
        self._codes: dict[str, dict[_Name, list[types.CodeType]]] = {}
        self._names: dict[str, dict[str, Any]] | None = None
        self._differ: dict[tuple[str, _Name], bool] = {}

    def text(self, position: Position) -> str:
        """Return the text at the position of a site; empty if it is not known."""
        _, file, _, *place = position
        return "" if self.changed(position) else self.expression(file, *place)

    def changed(self, position: Position) -> bool:
        """Return whether a file differs from what was loaded from it, or may.

        A file that nothing has touched since the process began is what was loaded. Of
        others, the code of the function is compared with what the file has now.

        Parameters
        ----------
        position : Position
            Position of a site in the file.

        """
        function, file, first_line, *_ = position
        source = self._source(file)
        if source.modified > self._since:
            return True
        if source.touched < self._started - _MARGIN:
            return False
        names = self._names_in(file)
        if names is not None:
            differs = self._differs(names, file, (function, first_line))
            if differs is not None:
                return differs
            # The code of another module runs while it is loaded, and never again.
            if function == "<module>" and names.get("__name__") != "__main__":
                return False
            same = _is_compiled_from(names, source)
            if same is not None:
                return not same
        # The process began within a tick of the clock, and takes longer to load a file.
        latest = self._started + 1 / _TICKS
        return source.modified > latest and not self._has(position)

    def _differs(self, names: dict[str, Any], file: str, name: _Name) -> bool | None:
        """Return whether a function differs from what its file has; None if unknown.

        Functions are large and have many sites, so that this is found out once.
        """
        if (file, name) in self._differ:
            return self._differ[file, name]
        loaded = _code_of(names, *name)
        if loaded is None or not _is_compiled_as_it_is(names):
            return None
        found = self.codes_in(file).get(name, ())
        differs = not any(_same_code(loaded, code) for code in found)
        self._differ[file, name] = differs
        return differs

    def _has(self, position: Position) -> bool:
        """Return whether a file has, by now, an instruction at that position."""
        function, file, first_line, line, end_line, column, end_column = position
        place = line, end_line, column, end_column
        codes = self.codes_in(file).get((function, first_line), ())
        return any(place in code.co_positions() for code in codes)

    def expression(
        self, file: str, line: int, end_line: int, column: int, end_column: int
    ) -> str:
        """Return the text at a position, or its first line; empty if it is not known.

        Columns are in bytes of UTF-8, as code objects have them.
        """
        lines = self._source(file).lines if line > 0 and column >= 0 else []
        if not 1 <= line <= len(lines):
            return ""
        text = lines[line - 1].rstrip("\r\n").encode("utf-8", "surrogatepass")
        end = end_column if end_line == line else len(text)
        if not column < end <= len(text):
            return ""
        try:
            return text[column:end].decode()
        except UnicodeDecodeError:  # the columns are those of another text
            return ""

    def _source(self, file: str) -> Source:
        source = self._sources.get(file)
        if source is None:
            source = self._sources[file] = self._read(file)
        return source

    def _read(self, file: str) -> Source:
        if file in ("<string>", "<stdin>"):  # the name of any number of sources
            return Source([])
        try:
            found = os.stat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                return Source([])
        except (OSError, ValueError):
            # A notebook's cell, for one, is nowhere else.
            cached = linecache.cache.get(file, ())
            if len(cached) != 4:
                return Source([])
            # Of a file that was deleted, this is what was last read, and it may have been
            # touched at any time.
            size, modified = cached[0], cached[1] or 0.0
            lines = linecache.getlines(file) if modified <= self._since else []
            return Source(lines, modified, math.inf, size)
        linecache.checkcache(file)
        lines = linecache.getlines(file) if found.st_mtime <= self._since else []
        touched = max(found.st_mtime, found.st_ctime)
        return Source(lines, found.st_mtime, touched, found.st_size)

    def codes_in(self, file: str) -> dict[_Name, list[types.CodeType]]:
        """Return the code of the functions that a file has now; none if it is wrong."""
        codes = self._codes.get(file)
        if codes is None:
            codes = self._codes[file] = {}
            try:
                text = "".join(self._source(file).lines)
                module = compile(text, file, "exec", dont_inherit=True)
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                return codes
            for code in all_codes(module):
                codes.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
        return codes

    def library(self, text: str, file: str, function: str, first_line: int) -> str:
        """Return the extension module's file from which a called function comes.

        Parameters
        ----------
        text : str
            Source text that begins with a call, such as ``zlib.compress(data)``.
        file : str
            File that has it: names are those of its module.
        function : str
            Qualified name of the function that makes the call.
        first_line : int
            Line at which that begins.

        Returns
        -------
        str
            Empty if the text is not such a call, or its function cannot be determined by
            names of modules and classes: a variable of the calling function may be
            anything.

        """
        call = _CALL.match(text)
        names = None if call is None else self._names_in(file)
        if call is None or names is None:
            return ""
        first, *others = call[1].split(".")
        found = names.get(first, vars(builtins).get(first))
        for name in others:
            found = _member(found, name)
        library = _library_of(found)
        if library and _may_be_variable(first, names, function, first_line):
            return ""
        return library

    def _names_in(self, file: str) -> dict[str, Any] | None:
        """Return the names of the module that has a file; None if there is none."""
        if self._names is None:
            self._names = {}
            for module in list(sys.modules.values()):
                names = _names_of(module)
                if isinstance(path := names.get("__file__"), str):
                    self._names[path] = names
        return self._names.get(file)


def _names_of(module: object) -> dict[str, Any]:
    """Return the names in a module, without what a lazy one would do to find them."""
    if not _is(module, types.ModuleType):
        return {}
    names: dict[str, Any] = types.ModuleType.__getattribute__(module, "__dict__")
    return names


def _member(owner: object, name: str) -> object:
    if _is(owner, types.ModuleType):
        return _names_of(owner).get(name)
    return inspect.getattr_static(owner, name, None)


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    """Return whether a value is of a type, whatever it says itself."""
    return issubclass(type(value), kind)


def _may_be_variable(
    name: str, names: dict[str, Any], function: str, first_line: int
) -> bool:
    """Return whether a name may be that of a function's own variable.

    The function is found by its qualified name and first line among the names of its
    module; if it is not, nothing is known of it.
    """
    if function == "<module>":
        return False
    code = _code_of(names, function, first_line)
    variables = (
        None if code is None else (code.co_varnames + code.co_cellvars + code.co_freevars)
    )
    return variables is None or name in variables


def _code_of(
    names: dict[str, Any], function: str, first_line: int
) -> types.CodeType | None:
    """Return the code of a function, found by its name; None if it is not found."""
    first, *others = function.partition(".<locals>")[0].split(".")
    found = names.get(first)
    for part in others:
        found = _member(found, part)
    for code in _codes_of(found):
        if code.co_qualname == function and code.co_firstlineno == first_line:
            return code
    return None


def _codes_of(function: Any) -> Iterator[types.CodeType]:  # noqa: ANN401 - anything
    """Return the code of a function, of what it wraps, and of all that is in these."""
    for _ in range(_MOST_WRAPPERS):
        if type(function) is property:
            function = function.fget
        if type(function) in (staticmethod, classmethod):
            function = function.__func__
        if type(function) is types.FunctionType:
            yield from all_codes(function.__code__)
        function = inspect.getattr_static(function, "__wrapped__", None)


def all_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Return the code of a function and of all functions in it."""
    found = [code]
    while found:
        code = found.pop()
        yield code
        found += [one for one in code.co_consts if type(one) is types.CodeType]


def _same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """Return whether two functions do the same at the same positions.

    Functions in these are not compared.
    """
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and list(one.co_positions()) == list(other.co_positions())
        and list(map(_constant, one.co_consts)) == list(map(_constant, other.co_consts))
    )


def _constant(value: object) -> object:
    if type(value) is types.CodeType:
        return value.co_qualname
    # Equal numbers may be of different types, and NaN does not equal itself.
    return sorted(map(repr, value)) if type(value) is frozenset else repr(value)


def _is_compiled_as_it_is(names: dict[str, Any]) -> bool:
    """Return whether a module's source was compiled as it is.

    Loaders other than Python's own may change it, as that of pytest does.
    """
    return type(names.get("__loader__")) is SourceFileLoader


def _is_compiled_from(names: dict[str, Any], source: Source) -> bool | None:
    """Return whether the compiled file of a module is of this source, None if unknown."""
    spec = names.get("__spec__")
    path = spec.cached if type(spec) is ModuleSpec else None
    try:
        with open(path or "", "rb") as file:
            header = file.read(16)
    except OSError:
        return None
    if header[:4] != MAGIC_NUMBER or header[4:8] != bytes(4):  # or it has a hash instead
        return None
    numbers = int(source.modified) & _WORD, source.size & _WORD
    return header[8:] == b"".join(one.to_bytes(4, "little") for one in numbers)


def _library_of(function: Any) -> str:  # noqa: ANN401 - anything that a name stands for
    """Return the file of the extension module that has a function or class, or ''."""
    module: Any
    if _is(function, types.BuiltinFunctionType):
        module = function.__self__
        if not _is(module, types.ModuleType):
            module = vars(type(module)).get("__module__")
    elif _is(function, _DESCRIPTORS):
        module = vars(function.__objclass__).get("__module__")
    elif _is(function, type):
        module = type.__getattribute__(function, "__dict__").get("__module__")
    else:
        module = inspect.getattr_static(function, "__module__", None)
        if _is(module, (types.GetSetDescriptorType, types.MemberDescriptorType)):
            module = module.__get__(function)
    if isinstance(module, str):
        module = sys.modules.get(module)
    file = _names_of(module).get("__file__")
    known = isinstance(file, str) and file.endswith(tuple(EXTENSION_SUFFIXES))
    return str(file) if known else ""
