"""Python programs that the command runs in its own process, as ``python`` would."""

from __future__ import annotations

import argparse
import builtins
import io
import os
import pkgutil
import re
import runpy
import sys
import types
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError, shown
from gilx.formatting import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec

_ZIP_ENDINGS = (".zip", ".pyz", ".pyzw")
_ZIP_START = b"PK\x03\x04"

# Python 3.12 and newer warn of a fork in a process with several threads.
_FORK_WARNING = r"This process \(pid=\d+\) is multi-threaded, use of fork"
_IGNORED = (
    "ignore",
    re.compile(_FORK_WARNING, re.IGNORECASE),
    DeprecationWarning,
    None,
    0,
)
# Modules that had the name __main__ before. The interpreter goes on to use their
# namespace without owning a reference to it.
_former_mains: list[types.ModuleType] = []


def add_program(
    parser: argparse.ArgumentParser,
    words: str,
    action: type[argparse.Action] | None = None,
) -> argparse.Action:
    """Declare the arguments that name a program: ``-m``, ``target`` and ``arguments``.

    Parameters
    ----------
    parser : ArgumentParser
        The command's parser.
    words : str
        Help on the target.
    action : type of argparse.Action, optional
        Action that stores the target, by default `ProgramAction`.

    Returns
    -------
    argparse.Action
        The action of ``target``.

    """
    parser.add_argument(
        "-m",
        dest="module",
        action="store_true",
        help="TARGET is a module to run, as with python -m",
    )
    return parser.add_argument(
        "target",
        action=action or ProgramAction,
        nargs=argparse.PARSER,
        metavar="TARGET",
        help=words,
    )


class ProgramAction(argparse.Action):
    """Store ``target``, and the words after it as ``arguments``.

    argparse stops at such an argument, so that options after it are the program's.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - as argparse calls it
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - a list of words
        option_string: str | None = None,  # noqa: ARG002 - likewise
    ) -> None:
        """Take the words from the target on."""
        words = values[1:] if values[0] == "--" else values  # Python 3.13 leaves it out
        namespace.target, namespace.arguments = words[0], words[1:]


def find_program(options: argparse.Namespace) -> Program | None:
    """Return the program that a command line names, None if it does not name one.

    Raises
    ------
    ArgumentError
        The program does not exist or cannot be run; the message says why.

    """
    if options.module:
        return find_module(options.target, options.arguments)
    if names_script(options.target):
        return find_script(options.target, options.arguments)
    return None


@dataclass(frozen=True)
class Program:
    """A program that was found but has not started; made by the ``find_`` functions."""

    name: str
    """The target on the command line."""
    arguments: tuple[str, ...]
    path: str
    """The first entry of ``sys.path``."""
    source: bytes | None = None
    """Contents of a script; None if ``runpy`` finds the code."""
    module: str = "__main__"
    """Name of the module that ``runpy`` runs."""

    def run(self, own_threads: Callable[[], int]) -> int:
        """Run the program as ``__main__``; the process is the program's from here on.

        ``sys.argv``, ``sys.path`` and ``sys.modules`` stay as they are at its end: its
        threads and its functions for the exit still use them.

        Parameters
        ----------
        own_threads : callable
            Returns the number of gilx's threads in the process that calls it, which may
            be the child of a fork.

        Returns
        -------
        int
            0. ``SystemExit`` is passed on, for the interpreter to handle.

        Raises
        ------
        BaseException
            An exception that the program does not handle. Its traceback will be shown
            without the frames of gilx.

        """
        as_module = self.source is None and self.module != "__main__"
        sys.argv = ["-m" if as_module else self.name, *self.arguments]
        if self.source is None and not as_module and sys.flags.safe_path:
            sys.path.insert(0, self.path)
        else:
            _replace_first_path(self.path)
        sys.modules["__main__"] = main = _new_main()
        if sys.version_info >= (3, 12):
            forks = _Forks(own_threads)
            os.register_at_fork(before=forks.before, after_in_child=_drop_filter)
        # No further frame of gilx may be between here and the program.
        try:
            if self.source is None:
                # Python itself calls this for -m, directories and zip files.
                run_as_main: Any = vars(runpy)["_run_module_as_main"]
                run_as_main(self.module, as_module)
            else:
                file = _absolute(self.name)
                code = pkgutil.read_code(io.BytesIO(self.source))
                loader = SourceFileLoader if code is None else SourcelessFileLoader
                main.__file__ = file
                main.__loader__ = loader("__main__", file)
                if code is None:
                    code = compile(self.source, file, "exec", dont_inherit=True)
                exec(code, vars(main))  # noqa: S102 - the user asked for it
        except SystemExit:
            raise
        except BaseException as error:
            _hide_own_frames(error)
            raise
        return 0


def names_script(target: str) -> bool:
    """Return whether a target is a path: of a script, a directory or a zip file."""
    return target.endswith(".py") or os.path.exists(target)


def find_script(path: str, arguments: Sequence[str]) -> Program:
    """Return a script, or a directory or zip file with a ``__main__``, as a program.

    Nothing of it is run.

    Raises
    ------
    ArgumentError
        The path does not exist, can't be read, or has no ``__main__``.

    """
    importer = pkgutil.get_importer(_absolute(path))
    if importer is not None:
        _check_main(path, importer)
        return Program(path, tuple(arguments), _absolute(path))
    try:
        with io.open_code(_absolute(path)) as file:
            source = file.read()
    except FileNotFoundError:
        raise ArgumentError(
            f"target: expected a script that exists, got {path!r}"
        ) from None
    except OSError as error:
        raise ArgumentError(f"target: can't read {path!r}: {error.strerror}") from None
    if path.endswith(_ZIP_ENDINGS) or source.startswith(_ZIP_START):
        raise ArgumentError(f"target: expected a valid zip file, got {path!r}")
    directory = str(Path(path).resolve().parent)
    return Program(path, tuple(arguments), directory, source)


def _check_main(path: str, importer: Any) -> None:  # noqa: ANN401 - any path hook's
    """Check that there is a ``__main__`` that can be read.

    Raises
    ------
    ArgumentError
        There is none.

    """
    try:
        spec = importer.find_spec("__main__")
        has_main = spec is not None and spec.loader is not None
        if has_main:
            spec.loader.get_data(spec.origin)
    except SyntaxError:  # zipimport compiles what it finds; running shows the error
        return
    except Exception as error:  # zipimport passes on whatever zlib raises
        raise ArgumentError(
            f"target: can't read __main__ in {path!r}: {one_line(error)}"
        ) from None
    if not has_main:
        raise ArgumentError(
            "target: expected a script, or a directory or zip file with a __main__.py;"
            f" there is none in {path!r}"
        )


def find_module(name: str, arguments: Sequence[str]) -> Program:
    """Return a module that ``python -m`` would run as a program.

    Modules are searched for in the current directory first, as ``python -m`` does.
    Nothing of the module or of the packages it is in is run.

    Raises
    ------
    ArgumentError
        The module does not exist or cannot be run; the message says why.

    """
    before = list(sys.path)
    try:
        directory = os.getcwd()
    except OSError as error:
        raise ArgumentError(
            f"-m: expected a current directory that exists: {error.strerror}"
        ) from None
    _replace_first_path(directory)
    stand_ins: list[str] = []
    try:
        _check_module(name, stand_ins)
    finally:
        sys.path[:] = before
        for package in stand_ins:
            del sys.modules[package]
    return Program(name, tuple(arguments), directory, module=name)


def _check_module(name: str, stand_ins: list[str]) -> None:
    """Check that a module can be run.

    Finders that search a package for a module may look for the package among the imported
    modules. So empty modules stand in for packages that are not imported, and their names
    are added to `stand_ins`.

    Raises
    ------
    ArgumentError
        The module does not exist or cannot be run.

    """
    parts = name.split(".")
    if not all(parts):
        raise ArgumentError(f"-m: expected the name of a module, got {shown(name)}")
    package: ModuleSpec | None = None
    for count in range(1, len(parts) + 1):
        part = ".".join(parts[:count])
        spec = _find_spec(part, package)
        if spec is None:
            if package is not None and _changes_its_path(package):
                return  # only running the package shows where its modules are
            hint = "; scripts are given without -m" if name.endswith(".py") else ""
            raise ArgumentError(f"-m: no module named {shown(part)}{hint}")
        if spec.submodule_search_locations is None and count < len(parts):
            raise ArgumentError(f"-m: {shown(part)} is not a package")
        package = spec
        if part not in sys.modules and spec.submodule_search_locations is not None:
            sys.modules[part] = stand_in = types.ModuleType(part)
            stand_in.__spec__ = spec
            stand_in.__path__ = spec.submodule_search_locations
            stand_ins.append(part)
    assert package is not None
    spec = package
    if spec.submodule_search_locations is not None:
        name = f"{name}.__main__"
        main_spec = _find_spec(name, spec)
        if main_spec is None:
            if _changes_its_path(spec):
                return
            raise ArgumentError(f"-m: package {shown(spec.name)} has no __main__ module")
        spec = main_spec
    with suppress(SyntaxError):  # running it shows the error
        if _code_of(spec) is None:
            raise ArgumentError(f"-m: {shown(name)} has no Python code that could be run")


def _find_spec(name: str, package: ModuleSpec | None) -> ModuleSpec | None:
    """Find a module as an import does, but without importing the packages it is in."""
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    path = None if package is None else package.submodule_search_locations
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def _code_of(spec: ModuleSpec) -> types.CodeType | None:
    get_code = getattr(spec.loader, "get_code", None)
    code: types.CodeType | None = None if get_code is None else get_code(spec.name)
    return code


def _changes_its_path(package: ModuleSpec) -> bool:
    """Return whether a package may have modules elsewhere than in its directory."""
    code = _code_of(package)
    return code is not None and "__path__" in code.co_names


def _absolute(path: str) -> str:
    """Return an absolute path as Python does for a script, without normalization."""
    return path if path.startswith("/") else f"{Path.cwd()}/{path}"


def _replace_first_path(directory: str) -> None:
    """Put a directory on ``sys.path`` in place of that of the command ``gilx``.

    With ``-P``, Python puts neither on ``sys.path``.
    """
    if not sys.flags.safe_path:
        sys.path[:1] = [directory]


def _new_main() -> Any:  # noqa: ANN401 - attributes are set
    """Return a new module ``__main__`` with the attributes of this Python's at start."""
    main: Any = types.ModuleType("__main__")
    main.__builtins__ = builtins
    former = sys.modules["__main__"]
    _former_mains.append(former)
    names = vars(former)
    if "__annotations__" in names:
        main.__annotations__ = {}
    if "__cached__" in names:
        main.__cached__ = None
    return main


def _hide_own_frames(error: BaseException) -> None:
    """Have the interpreter show an exception without the frames that run a program.

    The exception itself is left to the interpreter, which does the rest: the exit status,
    the signal after a KeyboardInterrupt, a hook that the program has set.
    """
    traceback = error.__traceback__
    own = None if traceback is None else traceback.tb_next
    hook = sys.excepthook

    def show(kind: type[BaseException], exception: BaseException, _: object) -> None:
        sys.excepthook = hook
        sys.last_traceback = own
        hook(kind, exception.with_traceback(own), own)

    sys.excepthook = show


class _Forks:
    """Filter for the warning about forks, if all other threads are gilx's.

    Threads of gilx hold no lock that the child of a fork could wait for. In the child the
    filter is dropped; before the next fork it is set anew if needed.
    """

    def __init__(self, own_threads: Callable[[], int]) -> None:
        self._own_threads = own_threads

    def before(self) -> None:
        """Set the filter before a fork if Python would not warn without gilx."""
        _drop_filter()
        own = self._own_threads()
        if own > 0 and len(os.listdir("/proc/self/task")) == 1 + own:
            warnings.filterwarnings("ignore", _FORK_WARNING, DeprecationWarning)


def _drop_filter() -> None:
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    if _IGNORED in filters:
        filters.remove(_IGNORED)


class StandardOutput:
    """Standard output as it was before a program ran that may replace or close it."""

    def __init__(self) -> None:
        self._is: os.stat_result | None = None
        if sys.stdout is not None:
            self._encoding = sys.stdout.encoding
            self._errors = sys.stdout.errors
            with suppress(OSError):
                self._is = os.fstat(1)

    def print(self, text: str) -> None:
        """Print a line after all that the program has printed.

        If the program closed or redirected the descriptor, the line goes to standard
        error: the descriptor may be any of the program's files by now.

        Raises
        ------
        OSError
            The line can't be written.

        """
        for stream in (sys.stdout, sys.__stdout__):
            # If flushing fails, the interpreter reports it when it flushes again.
            with suppress(Exception):
                stream.flush()  # type: ignore[union-attr]
        if self._is is None:
            return
        number = 2
        with suppress(OSError):
            number = 1 if os.path.samestat(self._is, os.fstat(1)) else 2
        with open(
            number, "w", encoding=self._encoding, errors=self._errors, closefd=False
        ) as file:
            file.write(f"{text}\n")
