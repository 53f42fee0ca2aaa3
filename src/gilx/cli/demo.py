"""``gilx demo``: what the GIL does and what to do about it, measured on this machine.

Exit status: 0 when all went well, 1 when pictures or a page were wanted and what draws
them is not installed, 2 when the command line is wrong.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gilx.cli.file_options import add_json, check_json, check_page, save
from gilx.cli.option_types import add_options
from gilx.cli.progress import show
from gilx.cli.reserved_output import OutputError, print_text
from gilx.demo.chapter_5_libraries import pin_blas
from gilx.errors import ArgumentError, MissingExtraError
from gilx.formatting import format_table, wrapped
from gilx.system.environment import describe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from gilx.demo.chapter import Chapter
    from gilx.demo.demo_record import Demo
    from gilx.rendering.html_page import Table

_NO_PICTURES = "pictures need vl-convert: pip install 'gilx[plot]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    add_options(
        parser,
        {
            "--quick": "accept wider intervals: takes under 20 seconds on two idle CPUs"
            " instead of under 90",
            "--chapter N,N...": "run only these chapters (1 to 8)",
            "--workers N": "how many threads, processes or interpreters compute at once,"
            " at least 2 (default: the usable CPUs, 2 to 8)",
        },
    )
    add_json(parser, "the figures")
    add_options(
        parser,
        {
            "--save DIR": "write text, JSON and, with vl-convert, a picture of each"
            " chapter into a new directory",
            "--html FILE": "write a page with pictures, which needs no other file",
        },
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print each chapter, and save the files that are asked for."""
    check_json(options.json)
    draws = importlib.util.find_spec("vl_convert") is not None
    lines: list[str] = []
    page = options.html is not None and _can_make_page(options.html)
    unprinted: list[OutputError] = []

    def say(text: str) -> None:
        lines.append(text)
        if options.json == "-" or unprinted:
            return
        try:
            print_text(text)
        except OutputError as error:
            unprinted.append(error)
            if not (options.json or options.save or page):
                raise  # no other output is asked for, so the rest need not run

    # Before NumPy is loaded: its BLAS reads the environment only then.
    pin_blas()
    from gilx.demo.demo_record import run_demo  # noqa: PLC0415 - loads NumPy
    from gilx.demo.output_directory import new_directory, save_pictures  # noqa: PLC0415 - likewise

    with ExitStack() as last, ExitStack() as stack:
        directory = None
        if options.save is not None:
            directory = stack.enter_context(new_directory(options.save))
            if not draws:
                print(f"gilx demo: save: {_NO_PICTURES}", file=sys.stderr)
        demo = run_demo(
            options.chapter,
            quick=options.quick,
            workers=options.workers,
            progress=show,
            each=lambda number, chapter: say(_chapter(number, chapter, first=not lines)),
        )
        if options.chapter is None:
            say(_end(demo))
        if options.json == "-":  # printed after the files, even if one can't be written
            last.callback(print_text, demo.to_json())
        elif options.json is not None:
            save("json", options.json, f"{demo.to_json()}\n")
        if directory is not None:
            try:
                _save(demo, "\n".join(lines), directory)
                if draws:
                    save_pictures(demo, directory)
            except OSError as error:
                words = f"save: can't write {options.save!r}: {error.strerror}"
                raise ArgumentError(words) from None
        if page:
            save("html", options.html, demo.to_html())
    if unprinted:
        raise unprinted[0]
    missed = (
        options.save is not None and not draws,
        options.html is not None and not page,
    )
    return 1 if any(missed) else 0


def _can_make_page(path: str) -> bool:
    """Return whether the page can be made; if its library is missing, say so."""
    try:
        check_page("html", path)
    except MissingExtraError as error:
        print(f"gilx demo: html: {error}", file=sys.stderr)
        return False
    return True


def _save(demo: Demo, text: str, directory: Path) -> None:
    (directory / "demo.txt").write_text(f"{text}\n", encoding="utf-8")
    (directory / "demo.json").write_text(f"{demo.to_json()}\n", encoding="utf-8")


def _chapter(number: int, chapter: Chapter, *, first: bool) -> str:
    """Return a chapter for people."""
    head = wrapped(f"{number}. {chapter.title}")
    parts = ["\n".join(wrapped(describe())) + "\n"] if first else []
    parts.append("\n".join([*head, "-" * max(map(len, head)), ""]))
    parts += [f"{_table(table)}\n" for table in chapter.tables()]
    parts += _paragraph(*chapter.sentences())
    parts += _paragraph(*chapter.missing)
    parts += _paragraph(f"The result depends on {chapter.depends}")
    return "\n".join(parts)


def _end(demo: Demo) -> str:
    from gilx.demo.decision_table import HOW, decision_table  # noqa: PLC0415 - as above

    more = (
        f"Measured in {demo.seconds:.0f} s. --chapter N runs one chapter alone. For your"
        " own code, use gilx probe, gilx measure and gilx latency."
    )
    return "\n".join(
        [
            "Recommendations\n---------------",
            f"{_table(decision_table(demo))}\n",
            *(part.rstrip("\n") for part in _paragraph(HOW, more)),
        ]
    )


def _table(table: Table) -> str:
    return format_table(table.head, table.rows, right=table.right)


def _paragraph(*sentences: str) -> Iterator[str]:
    """Yield sentences as a paragraph; nothing if there are none."""
    if sentences:
        yield "\n".join(wrapped(" ".join(sentences))) + "\n"
