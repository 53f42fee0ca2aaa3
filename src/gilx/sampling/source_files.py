"""Names of source files: how people know them, and which of them are libraries."""

from __future__ import annotations

import os
import re
import sysconfig
from functools import cache
from pathlib import Path, PurePath

_PACKAGES = "site-packages", "dist-packages"  # directories of installed packages
_STANDARD_LIBRARY = Path(os.__file__).parent
# The standard library of any Python, which may be that of another process.
_ANY_STANDARD_LIBRARY = re.compile(r"/lib(?:64)?/python3\.\d+t?/")
_CELL = re.compile(r"<ipython-input-(\d+)-\w+>")  # of IPython, with its number
_GILX = f"{Path(__file__).parents[1]}{os.sep}"
# Names in place of files that code has which somebody typed. Other names in angle
# brackets are of modules in the interpreter (<frozen ...>) and of generated functions.
_TYPED = (
    *("<stdin>", "<string>", "<input>", "<console>", "<doctest "),
    *("<ipython-input-", "<python-input-"),
    "<dynamic-code>",  # of functions that cloudpickle sends with their code
)


def short_path(file: str) -> str:
    """Return a file's name as short as people know it.

    The name is relative to the directory with installed packages or the standard library,
    or else to the working directory. Of other files it is the last two parts. Cells of
    IPython have the names that its tracebacks have, such as ``Cell In[4]``.
    """
    if cell := _CELL.fullmatch(file):
        return f"Cell In[{cell[1]}]"
    path = PurePath(file)
    if not path.is_absolute():
        return file
    installed = [n for n, part in enumerate(path.parts[:-1], 1) if part in _PACKAGES]
    if installed:
        return str(PurePath(*path.parts[installed[-1] :]))
    if path.is_relative_to(_STANDARD_LIBRARY):
        return str(path.relative_to(_STANDARD_LIBRARY))
    try:
        return str(path.relative_to(os.getcwd()))
    except (ValueError, OSError):  # it is elsewhere, or the directory was removed
        return str(PurePath(*path.parts[-2:]))


def is_of_gilx(file: str) -> bool:
    """Return whether a file is one of gilx's own."""
    return file.startswith(_GILX)


def is_library(file: str) -> bool:
    """Return whether a file belongs to a library, and not to a program's own code.

    Libraries are the standard library, installed packages, modules and functions without
    a file, and gilx. A package that is installed as editable is the program's own.
    """
    if file.startswith("<"):
        return not file.startswith(_TYPED)
    return (
        is_of_gilx(file)
        or file.startswith(_directories())
        or _ANY_STANDARD_LIBRARY.search(file) is not None
        or any(part in _PACKAGES for part in PurePath(file).parts[:-1])
    )


@cache
def _directories() -> tuple[str, ...]:
    """Return the directories of this interpreter's libraries."""
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [str(_STANDARD_LIBRARY), *(paths[name] for name in names)]
    return tuple(f"{path}{os.sep}" for path in dict.fromkeys(found))
