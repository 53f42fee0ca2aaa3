"""Imports that turn the GIL on again on a free-threaded build of Python.

CPython turns the GIL on for good when it loads an extension module that does not declare
``Py_MOD_GIL_NOT_USED``, and warns once (Python/import.c). Afterwards CPython does not
report which module that was. While it initializes any extension module, the GIL is on,
too.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import site
import subprocess
import sys
import threading
import warnings
from dataclasses import asdict, dataclass
from importlib.machinery import ExtensionFileLoader
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import TYPE_CHECKING

import gilx
from gilx._compat import gil_enabled, interpreter_options, x_option
from gilx.formatting import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = [
    "GilImport",
    "ImportTrial",
    "ImportWatch",
    "forced_gil",
    "noted_imports",
    "try_imports",
]

_WARNING = (
    r"The global interpreter lock \(GIL\) has been enabled to load module '([^']*)'"
)


@dataclass(frozen=True)
class GilImport:
    """An extension module whose import turned the GIL on."""

    module: str
    """Its full name."""
    file: str | None
    """The file that it was loaded from, if that is known."""

    def __str__(self) -> str:
        return self.module if self.file is None else f"{self.module} ({self.file})"


@dataclass(frozen=True)
class ImportTrial:
    """Result of imports in a new process in which nothing forces the GIL on or off."""

    turned_on: bool | None
    """True if the GIL was on after an import; None if the process did not answer."""
    during: str
    """The requested import that turned it on, ``"site"`` for the start of Python; may be
    empty."""
    cause: GilImport | None
    """The innermost extension module that turned the GIL on, if it is known."""
    problem: str
    """Reason that the process did not answer, or that a module could not be imported."""


noted_imports: list[GilImport] = []
"""Modules that turned the GIL on in this process, as far as watches found them."""


def forced_gil() -> str:
    """Return the setting of the GIL for the whole run, such as ``PYTHON_GIL=0``.

    Empty if there is none. CPython respects ``-X gil`` first.
    """
    option = x_option("gil")
    if option in ("0", "1"):
        return f"-X gil={option}"
    variable = "" if sys.flags.ignore_environment else os.environ.get("PYTHON_GIL", "")
    return f"PYTHON_GIL={variable}" if variable in ("0", "1") else ""


class ImportWatch:
    """Context manager that finds an import that turns the GIL on.

    It takes the place of `ExtensionFileLoader.create_module`, which loads all extension
    modules that lie in files.

    Parameters
    ----------
    callback : callable, optional
        Called with each `GilImport`, in the thread that imports, before Python's own
        warning is issued.

    """

    def __init__(self, callback: Callable[[GilImport], object] = bool) -> None:
        self._callback = callback
        self._original: Callable[..., ModuleType | None] | None = None
        self._ours: Callable[..., ModuleType | None] | None = None
        self._lock = threading.RLock()  # a finalizer may import, too
        self._loads = 0
        self._running = 0
        self._is_over = False  # the GIL is turned on once

    @property
    def loading(self) -> bool:
        """True while a module is being loaded, during which the GIL is on."""
        return self._running > 0

    def __enter__(self) -> ImportWatch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Watch imports from now on, in all threads."""
        original = self._original = ExtensionFileLoader.create_module

        def create_module(
            loader: ExtensionFileLoader, spec: ModuleSpec
        ) -> ModuleType | None:
            if self._original is None:  # stopped, and wrapped by another meanwhile
                return original(loader, spec)
            return self._load(original, loader, spec)

        self._ours = create_module
        ExtensionFileLoader.create_module = create_module  # type: ignore[method-assign,assignment]

    def stop(self) -> None:
        """Watch no longer; it may be called twice."""
        if self._original is not None:
            if ExtensionFileLoader.create_module is self._ours:
                ExtensionFileLoader.create_module = self._original  # type: ignore[method-assign,assignment]
            self._original = self._ours = None

    def _load(
        self,
        create: Callable[..., ModuleType | None],
        loader: ExtensionFileLoader,
        spec: ModuleSpec,
    ) -> ModuleType | None:
        with self._lock:
            self._loads += 1
            self._running += 1
            number, alone = self._loads, self._running == 1
        was_on = gil_enabled()
        shown: list[warnings.WarningMessage] = []
        try:
            if getattr(sys.flags, "context_aware_warnings", False):
                # The program's filters may hide the warning; they are applied afterwards.
                with warnings.catch_warnings(record=True) as caught:
                    warnings.filterwarnings("always", _WARNING, RuntimeWarning)
                    shown = caught
                    return create(loader, spec)
            # Catching warnings here would affect all threads.
            return create(loader, spec)
        finally:
            with self._lock:
                self._running -= 1
                alone = alone and self._loads == number
            named = [match[1] for warning in shown if (match := _match(warning))]
            # Without the warning, the module is known only if no other was loaded
            # meanwhile.
            if not named and alone and gil_enabled() and not was_on:
                named = [spec.name]
            # A module that was loaded meanwhile has passed its own warning on to here.
            if named and not self._is_over:
                self._is_over = True
                name = named[0]
                self._note(GilImport(name, spec.origin if name == spec.name else None))
            _show(shown)

    def _note(self, cause: GilImport) -> None:
        noted_imports.append(cause)
        self._callback(cause)


def _match(warning: warnings.WarningMessage) -> re.Match[str] | None:
    return re.match(_WARNING, str(warning.message))


def _show(caught: Sequence[warnings.WarningMessage]) -> None:
    """Issue the warning about the GIL under the program's filters, and show others."""
    for warning in caught:
        if _match(warning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        else:  # the filters have let it pass
            warnings.showwarning(
                warning.message,
                warning.category,
                warning.filename,
                warning.lineno,
                warning.file,
                warning.line,
            )


def try_imports(modules: Sequence[str]) -> ImportTrial:
    """Import modules one by one in a new process until one turns the GIL on.

    Python's own start counts, too, with imports of ``.pth`` files and ``sitecustomize``.
    The process ignores ``PYTHON_GIL`` and ``-X gil``. The output of the modules is
    discarded.

    Parameters
    ----------
    modules : sequence of str
        Full names.

    """
    path = [entry for entry in sys.path if isinstance(entry, str)]
    package = str(Path(gilx.__file__).resolve().parent.parent)
    code = (
        f"import sys; before = sys.path[:]; sys.path[:] = [{package!r}, *before];"
        " from gilx.system.gil_imports import main;"
        f" main({list(modules)!r}, {path!r}, {not sys.flags.no_site})"
    )
    options = interpreter_options()
    while (forced := f"gil={x_option('gil')}") in options:
        place = options.index(forced)
        del options[place - 1 : place + 1]
    environment = {key: text for key, text in os.environ.items() if key != "PYTHON_GIL"}
    completed = subprocess.run(  # noqa: S603 - our own text, given to this interpreter
        [os.fsdecode(get_executable()), *options, "-S", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        check=False,
    )
    try:
        answer = json.loads(completed.stdout)
    except ValueError:
        problem = (
            f"the process that tried it ended with exit status {completed.returncode}"
        )
        return ImportTrial(None, "", None, problem)
    cause = answer.pop("cause")
    return ImportTrial(**answer, cause=None if cause is None else GilImport(**cause))


def main(modules: Sequence[str], path: Sequence[str], start: bool) -> None:
    """Answer `try_imports` on standard output, as JSON.

    Parameters
    ----------
    modules : sequence of str
        Modules to import.
    path : sequence of str
        `sys.path` for the imports.
    start : bool
        Whether to run `site`, as the start of Python does.

    """
    answer = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    causes: list[GilImport] = []
    during = problem = ""
    with ImportWatch(causes.append):
        try:
            sys.path[:] = path
            if start:
                during = "site"
                site.main()
            for name in modules:
                if gil_enabled():
                    break
                during = name
                importlib.import_module(name)
        except Exception as error:
            problem = one_line(error)
    is_on = gil_enabled()
    trial = ImportTrial(
        is_on, during if is_on else "", causes[0] if causes else None, problem
    )
    with os.fdopen(answer, "w") as file:
        json.dump(asdict(trial), file)
