"""Files that options and arguments name: how they are read and written."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from gilx import kernels
from gilx.cli.reserved_output import OutputError, print_text
from gilx.cli.target import is_literal, names_callable
from gilx.errors import ArgumentError, MissingExtraError
from gilx.files import check_writable, decoded, save_text
from gilx.rendering.picture import picture_suffix
from gilx.rendering.vega_library import check_library
from gilx.sampling.stacks import check_ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gilx.rendering.picture import Picture

_MOST_BYTES = 64_000_000

Record = TypeVar("Record")


def add_json(
    parser: argparse.ArgumentParser,
    what: str,
    is_target: Callable[[str], bool] = lambda _: False,
    target: str = "a target",
) -> None:
    """Declare the option ``--json [FILE]``, whose value `print_or_save` takes.

    The file is optional, so the word after the option may be meant as the command's
    target or as an argument of the target. The word is refused if it looks like either,
    or if `is_target` says that it is a target, which the message calls `target`.
    """
    parser.add_argument(
        "--json",
        action=_JsonFile,
        is_target=is_target,
        target=target,
        metavar="FILE",
        nargs="?",
        const="-",
        help=f"also write {what} as JSON to FILE; without FILE, or with '-', print JSON"
        " instead of the text",
    )


class _JsonFile(argparse.Action):
    """Store the name of a file for JSON, unless it is a command's target."""

    def __init__(
        self,
        *words: Any,  # noqa: ANN401 - as argparse has them
        is_target: Callable[[str], bool],
        target: str,
        **settings: Any,  # noqa: ANN401 - likewise
    ) -> None:
        super().__init__(*words, **settings)
        self._is_target = is_target
        self._target = target

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - a word
        option_string: str | None = None,
    ) -> None:
        """Store the word that follows the option."""
        looks_like_target = (
            values in kernels.names()
            or names_callable(values)
            or values.endswith((".py", ".pyz", ".zip", ".toml"))
            or self._is_target(values)
        )
        place = self._target if looks_like_target else "an argument"
        # argparse does not report whether "=" came before the value.
        words = getattr(parser, "words", ())
        if (
            looks_like_target or is_literal(values)
        ) and f"{option_string}={values}" not in words:
            raise argparse.ArgumentError(
                self,
                f"expected the name of a file for JSON, got {values!r}; write --json=- in"
                f" front of {place}, or --json={values} for a file of that name",
            )
        setattr(namespace, self.dest, values)


def print_or_save(text: str, json: str, path: str | None, output: TextIO) -> None:
    """Write a record's JSON where the option ``--json`` says, and print it as text.

    Parameters
    ----------
    text, json : str
        The record in both forms.
    path : str, optional
        The option's value.
    output : text file
        Standard output, as `gilx.cli.reserved_output.output_for` returns it.

    Raises
    ------
    ArgumentError, OutputError
        As for `save_and_print`.

    """
    if path is None or path == "-":
        print_text(json if path == "-" else text, output)
    else:
        save_and_print([lambda: save("json", path, f"{json}\n")], text, output)


def save_and_print(
    files: Iterable[Callable[[], None]], text: str, output: TextIO | None
) -> None:
    """Save files, then print a text.

    A file that can't be written, or a reader that left, does not prevent the rest.

    Parameters
    ----------
    files : iterable of callable
        Each saves one file.
    text : str
        The text.
    output : text file
        As `gilx.cli.reserved_output.output_for` returns it.

    Raises
    ------
    ArgumentError
        Files can't be written; the message has a part for each. The text was printed.
    OutputError
        Standard output can't be written to; all files were saved.

    """
    problems: list[Exception] = []
    try:
        for save_one in files:
            try:
                save_one()
            except (ArgumentError, MissingExtraError) as error:
                problems.append(error)
    finally:  # also after Ctrl-C, since pictures take their time
        try:
            print_text(text, output)
        except OutputError as error:
            problems.append(error)
    if not problems:
        return
    if isinstance(problems[0], OutputError):
        raise problems[0]
    raise ArgumentError("; ".join(map(str, problems)))


def read_record(path: str, from_json: Callable[[str], Record]) -> Record:
    """Return the record in a file.

    Parameters
    ----------
    path : str
        The file.
    from_json : callable
        Function that makes the record from text.

    Raises
    ------
    ArgumentError
        The file can't be read, or `from_json` refuses what is in it; the message begins
        with the file's name.

    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = decoded(data)
    except OSError as error:
        raise ArgumentError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ArgumentError(f"{path}: {error}") from None
    try:
        return from_json(text)
    except ArgumentError as error:
        # In the library's messages, the file is called the text.
        raise ArgumentError(f"{path}{str(error).removeprefix('text')}") from None


def check_file(name: str, path: str | None) -> None:
    """Check that the file that the option `name` gives, if any, can be written.

    So an error is reported before the measurement rather than after it.

    Raises
    ------
    ArgumentError
        The path does not name a file, or nothing can be written there.

    """
    if path is None:
        return
    if path in ("", "-") or os.path.isdir(path):
        raise ArgumentError(f"{name}: expected the name of a file, got {path!r}")
    try:
        check_writable(path)
    except (OSError, ValueError) as error:
        raise _cannot(name, path, error) from None


def check_json(path: str | None) -> None:
    """Check that JSON can be written to the file of the option ``--json``, if any.

    Raises
    ------
    ArgumentError
        As for `check_file`.

    """
    check_file("json", None if path == "-" else path)


def check_page(name: str, path: str | None) -> None:
    """Check that a page can be made for the file that the option `name` gives.

    Nothing is checked if the option gives no file.

    Raises
    ------
    ArgumentError
        As for `check_file`.
    MissingExtraError
        The library that draws in pages is not installed.

    """
    check_file(name, path)
    if path is not None:
        check_library("html")


def check_picture(name: str, path: str | None) -> None:
    """Check that a picture can be made for the file that the option `name` gives.

    Nothing is checked if the option gives no file.

    Raises
    ------
    ArgumentError
        As for `check_file`; or the name does not have the ending of a picture's.
    MissingExtraError
        The library that draws pictures is not installed.

    """
    check_file(name, path)
    if path is not None:
        picture_suffix(path, name)
        check_library("plot")


def check_stacks(name: str, path: str | None) -> None:
    """Check that stacks can be written to the file that the option `name` gives.

    Nothing is checked if the option gives no file.

    Raises
    ------
    ArgumentError
        As for `check_file`; or the name does not have the ending of a format of stacks.

    """
    check_file(name, path)
    if path is not None:
        check_ending(path, name)


def save(name: str, path: str, text: str) -> None:
    """Write a text to the file that the option `name` gives.

    Raises
    ------
    ArgumentError
        The file can't be written; its earlier content is still there.

    """
    _save(name, path, lambda: save_text(path, text))


def save_picture(name: str, path: str, picture: Picture) -> None:
    """Write a picture to the file that the option `name` gives.

    The ending of the name selects the format.

    Raises
    ------
    ArgumentError
        The file can't be written; its earlier content is still there.

    """
    _save(name, path, lambda: picture.save(path))


def _save(name: str, path: str, write: Callable[[], None]) -> None:
    try:
        write()
    except (OSError, ValueError) as error:  # ValueError: a kind of picture, a zero byte
        raise _cannot(name, path, error) from None


def _cannot(name: str, path: str, error: Exception) -> ArgumentError:
    why = getattr(error, "strerror", None) or error
    return ArgumentError(f"{name}: can't write {path!r}: {why}")
