"""Source texts of expressions, and the extension modules that they call.

Nothing here runs code of the watched program: files are read, and modules are looked into
without their attribute lookup.
"""

from __future__ import annotations

import builtins
import inspect
import linecache
import os
import re
import stat
import sys
import types
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 1 << 24  # bytes of a source file
_MOST_WRAPPERS = 10  # of a function that are looked into
_CALL = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\(")
_DESCRIPTORS: tuple[type, ...] = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)


class SourceTexts:
    """Source texts as they were when a watch began.

    Parameters
    ----------
    since : float
        Time of the begin, in seconds since the epoch. A file that was changed after that
        may not be what ran.

    """

    def __init__(self, since: float) -> None:
        self._since = since
        self._lines: dict[str, list[str]] = {}
        self._names: dict[str, dict[str, Any]] | None = None

    def expression(
        self, file: str, line: int, end_line: int, column: int, end_column: int
    ) -> str:
        """Return the text at a position, or its first line; empty if it is not known.

        Columns are in bytes of UTF-8, as code objects have them.
        """
        lines = self._lines_of(file) if line > 0 and column >= 0 else []
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

    def _lines_of(self, file: str) -> list[str]:
        lines = self._lines.get(file)
        if lines is None:
            lines = self._lines[file] = self._read(file)
        return lines

    def _read(self, file: str) -> list[str]:
        if file in ("<string>", "<stdin>"):  # the name of any number of sources
            return []
        try:
            found = os.stat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                return []
            changed = found.st_mtime
        except (OSError, ValueError):
            # A notebook's cell, for one, is nowhere else.
            cached = linecache.cache.get(file, ())
            if len(cached) != 4:
                return []
            changed = cached[1] or 0.0
        else:
            linecache.checkcache(file)
        return linecache.getlines(file) if changed <= self._since else []

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
            Empty if the text is no such call, or its function cannot be determined by
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
    first, *others = function.partition(".<locals>")[0].split(".")
    found = names.get(first)
    for part in others:
        found = _member(found, part)
    for code in _codes_of(found):
        if code.co_qualname == function and code.co_firstlineno == first_line:
            return name in code.co_varnames + code.co_cellvars + code.co_freevars
    return True


def _codes_of(function: Any) -> Iterator[types.CodeType]:  # noqa: ANN401 - anything
    """Return the code of a function, of what it wraps, and of all that is in these."""
    found: list[types.CodeType] = []
    for _ in range(_MOST_WRAPPERS):
        if type(function) is property:
            function = function.fget
        if type(function) in (staticmethod, classmethod):
            function = function.__func__
        if type(function) is types.FunctionType:
            found.append(function.__code__)
        function = inspect.getattr_static(function, "__wrapped__", None)
    while found:
        code = found.pop()
        yield code
        found += [one for one in code.co_consts if type(one) is types.CodeType]


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
