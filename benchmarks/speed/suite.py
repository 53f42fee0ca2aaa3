"""Everything that gilx's speed is measured by, in one command.

Peers are timed in the same run, in blocks of random order. Run it with nothing else
running; all of it takes some 10 minutes::

    python benchmarks/speed/suite.py --json FILE [--only PART[:KERNEL] ...] [--quick]
        [--again] [--pictures FOLDER]
    python benchmarks/speed/suite.py --write-docs FILE [--pictures FOLDER]

Each piece, one kernel of one part, is measured in a process of its own, and saved to the
file when it is done; pieces that the file has are not measured again. So a run that was
broken off goes on where it was. ``--write-docs`` measures nothing, and makes
docs/performance.md of a file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from goals import HEAD, rows, status
from parts import PARTS, chosen_pieces, measure
from performance_page import page
from pictures import can_draw, draw
from results import Machine, Piece, Results

from gilx.cli.file_options import read_record, save
from gilx.errors import ArgumentError
from gilx.formatting import duration, format_table, one_line
from gilx.system.conditions import between, snapshot
from gilx.system.diagnostics import examine
from gilx.system.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
# What may pass, and so is worth noting of each piece.
_WARNINGS = ("others", "steal", "throttled")


def main(arguments: Sequence[str] | None = None, page_path: Path = PAGE) -> int:
    """Do what the command line says; return the exit status, see `goals.status`.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line's; by default this process's.
    page_path : Path
        Where ``--write-docs`` writes.

    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.pictures is not None:
            can_draw()
        if options.write_docs is not None:
            return _show(options, page_path)
        return _run(options)
    except ArgumentError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        kept = f"; what was measured is in {options.json}" if options.json else ""
        print(f"broken off{kept}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="suite.py",
        description=__doc__.partition("\n")[0],
        epilog="Parts: "
        + "; ".join(f"{name}, {part.title.lower()}" for name, part in PARTS.items())
        + ". Exit status: 0 if all is met, 2 if the command is wrong, 130 after Ctrl-C,"
        " else the sum of 1 if a goal is not met, 4 if one is inconclusive, 8 if"
        " something was not measured.",
    )
    add = parser.add_argument
    add("--only", nargs="+", metavar="PART[:KERNEL]", help="measure only these")
    add("--quick", action="store_true", help="few blocks: to see whether all works")
    add("--json", metavar="FILE", help="go on with what is there, and save to it")
    add("--again", action="store_true", help="measure what the file has already, too")
    add("--pictures", metavar="FOLDER", help="draw what was measured")
    add("--write-docs", metavar="FILE", help="measure nothing: make the docs' page of it")
    return parser


def _show(options: argparse.Namespace, page_path: Path) -> int:
    """Show what is in a file."""
    for name in ("only", "quick", "json", "again"):
        if getattr(options, name):
            raise ArgumentError(
                f"--write-docs: expected no --{name} beside it, since nothing is measured"
            )
    results = read_record(options.write_docs, Results.from_json)
    save("--write-docs", str(page_path), page(results))
    print(f"wrote {page_path}")
    return _finish(results, options.pictures, failed=False)


def _run(options: argparse.Namespace) -> int:
    """Measure, and show it."""
    if options.again and options.json is None:
        raise ArgumentError("--again: expected --json, the file that has the pieces")
    pieces = chosen_pieces(options.only)
    results = _begun(options)
    print("\n".join(f"{name}: {text}" for name, text in results.machine.lines()), "\n")
    if not options.again:
        pieces = [piece for piece in pieces if results.piece(*piece) is None]
    failed = False
    for number, (part, subject) in enumerate(pieces):
        name = f"{part}:{subject}" if subject else part
        print(f"{name} ({number + 1} of {len(pieces)})", flush=True)
        begin = perf_counter()
        try:
            piece = _measured_apart(part, subject, quick=options.quick)
        except Exception as error:  # the other pieces are worth having
            failed = True
            print(f"{name}: not measured: {one_line(error)}", file=sys.stderr)
            continue
        print(piece.measured.text())
        for warning in piece.warnings:
            print(f"warning: {warning}")
        print(f"took {duration(perf_counter() - begin)}\n", flush=True)
        results = results.with_piece(piece)
        if options.json is not None:
            save("--json", options.json, f"{results.to_json()}\n")
    return _finish(results, options.pictures, failed=failed)


def _begun(options: argparse.Namespace) -> Results:
    """Return the results to go on with: those of the file, if there are any."""
    today = datetime.now(UTC).date().isoformat()
    fresh = Results(Machine.here(), today, options.quick)
    if options.json is None:
        return fresh
    if not Path(options.json).exists():
        # A file that can't be written is refused before anything is measured.
        save("--json", options.json, f"{fresh.to_json()}\n")
        return fresh
    found = read_record(options.json, Results.from_json)
    if not found.pieces:
        return fresh
    if found.quick != options.quick:
        kinds = {True: "a quick run", False: "a full run"}
        raise ArgumentError(
            f"--json: expected {kinds[options.quick]} in {options.json}, got"
            f" {kinds[found.quick]}; take another file"
        )
    if differences := fresh.machine.differences(found.machine):
        raise ArgumentError(
            f"--json: expected results of this machine and software in {options.json};"
            f" take another file ({'; '.join(differences)})"
        )
    return found


def _measured_apart(part: str, subject: str, *, quick: bool) -> Piece:
    """Measure a piece in a process of its own, which ends with it.

    So no piece meets another's threads, memory or crash.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(measured, part, subject, quick=quick).result()


def measured(part: str, subject: str, *, quick: bool) -> Piece:
    """Measure a piece here, and note what else went on.

    This module loads no NumPy, so that a part may set before how many threads it uses.
    """
    before = snapshot()
    found = measure(part, subject, quick=quick)
    conditions = between(before, snapshot())
    warnings = tuple(
        finding.evidence
        for finding in examine(Environment.here(), conditions)
        if finding.is_warning and finding.name in _WARNINGS
    )
    # Six digits of seconds are more than a clock tells.
    samples = {
        arm: tuple(float(f"{one:.6g}") for one in seconds)
        for arm, seconds in found.samples.items()
    }
    found = replace(found, samples=samples)
    return Piece(part, subject, found, conditions, warnings)


def _finish(results: Results, pictures: str | None, *, failed: bool) -> int:
    """Print the table of goals, draw, and return the exit status."""
    found = rows(results)
    print(
        format_table(HEAD, [row.cells() for row in found], right=(2,), width=200)
        if found
        else "nothing was measured"
    )
    if pictures is not None:
        for path in draw(results, pictures):
            print(f"wrote {path}")
    return status(found, failed=failed or not found)


if __name__ == "__main__":
    sys.exit(main())
