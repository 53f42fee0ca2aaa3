"""Results of the atlas: a file for each version of a library and of Python."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx.audit import Audit, Line  # noqa: TC001 - records are read by it
from gilx.errors import ArgumentError
from gilx.files import save_text
from gilx.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilx.speedup.report import ReportRow

PLANS = Path(__file__).parent / "plans"
RESULTS = Path(__file__).parent / "results"

ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
"""Variables that keep libraries from using threads of their own."""

_DIGITS = 4  # significant ones: intervals are wider than what is lost


@dataclass(frozen=True)
class Result(Record, schema="gilx.atlas", version=2):
    """Audit of a library."""

    library: str
    """Name of the distribution; ``python`` for the standard library."""
    release: str
    """Version of the library."""
    date: str
    """UTC day of the measurement, as ``2026-01-31``."""
    audit: Audit
    others: tuple[Line, ...] = ()
    """Lines of further processes, the newest first, if processes differed."""

    @property
    def python(self) -> str:
        """Version of Python, with ``t`` for a free-threaded build."""
        here = self.audit.environment
        return here.python + "t" * here.free_threaded

    @property
    def path(self) -> Path:
        """Where the result is kept, below the folder of results."""
        return Path(self.library, f"{self.release}-py{self.python}.json")

    def save(self, folder: Path = RESULTS) -> Path:
        """Write the result, one line of text for each line of the audit."""
        values = json.loads(self.to_json(), parse_float=_rounded)
        parts = (
            f'"lines": {_listed(values["audit"].pop("lines"))}\n }}',
            f'"others": {_listed(values.pop("others"))}\n}}\n',
        )
        head = json.dumps(values, indent=1).removesuffix("\n }\n}")
        path = folder / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        save_text(path, ",\n ".join((head, *parts)))
        return path


def results(folder: Path = RESULTS) -> list[Result]:
    """Return all results, the oldest of each library first.

    Raises
    ------
    ArgumentError
        A file does not have a result; the message names it.

    """
    found = [_read(path) for path in folder.glob("*/*.json")]
    return sorted(found, key=_age)


def _read(path: Path) -> Result:
    try:
        return Result.from_json(path.read_text("utf-8"))
    except (ArgumentError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path}: {error}") from None


def _age(result: Result) -> tuple[str, str, list[int], list[int]]:
    """Return what results are sorted by; 1.10 is newer than 1.9."""
    release, python = (
        [int(number) for number in re.findall(r"\d+", text)]
        for text in (result.release, result.python)
    )
    return result.library, result.date, release, python


def newest(found: list[Result]) -> list[Result]:
    """Return the newest result of each library on each minor version of Python."""
    last = {(each.library, minor(each)): each for each in found}
    return list(last.values())


def minor(result: Result) -> str:
    """Return the minor version of a result's Python, such as ``3.14t``."""
    return ".".join(result.python.split(".")[:2]) + "t" * result.python.endswith("t")


def libraries() -> list[str]:
    """Return the names of all libraries that have a plan."""
    return sorted(path.stem for path in PLANS.glob("*.toml"))


def command(library: str, name: str) -> str:
    """Return the command that measures one call anew, from the repository's root."""
    variables = " ".join(f"{key}={value}" for key, value in ONE_THREAD.items())
    plan = f"atlas/plans/{library}.toml"
    return f"{variables} gilx audit {plan} --only {shlex.quote(name)}"


def compact(result: Result) -> Result:
    """Return a result without what its page and its comparisons do not need.

    Those are losses that are next to nothing, their sources, and the sites of all, which
    name files of the machine.
    """
    audit = replace(result.audit, lines=_compact(result.audit.lines))
    return replace(result, audit=audit, others=_compact(result.others))


def _compact(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(
        replace(line, scaling=tuple(_compact_row(row) for row in line.scaling))
        for line in lines
    )


def _compact_row(row: ReportRow) -> ReportRow:
    losses = sorted(row.losses, key=lambda loss: -loss.amount)
    kept = tuple(
        replace(loss, source="", sites=())
        for number, loss in enumerate(losses)
        if number == 0 or loss.amount >= 0.005
    )
    return replace(row, comparison=replace(row.comparison, losses=kept))


def _listed(values: list[Any]) -> str:
    """Return a list as JSON, one line of text for each value."""
    body = ",".join(f"\n   {json.dumps(value)}" for value in values)
    return f"[{body}\n  ]"


def _rounded(text: str) -> float:
    return float(f"{float(text):.{_DIGITS}g}")
