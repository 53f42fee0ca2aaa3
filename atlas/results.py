"""Results of the atlas: a file for each version of a library and of Python."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from gilx.audit import Audit, Line  # noqa: TC001 - records are read by it
from gilx.records import Record

PLANS = Path(__file__).parent / "plans"
RESULTS = Path(__file__).parent / "results"

ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
"""Variables that keep libraries from using threads of their own."""

_DIGITS = 4  # significant ones: intervals are wider than what is lost


@dataclass(frozen=True)
class Result(Record, schema="gilx.atlas"):
    """Audit of a library."""

    library: str
    """Name of the distribution; ``python`` for the standard library."""
    release: str
    """Version of the library."""
    date: str
    """UTC day of the measurement, as ``2026-01-31``."""
    audit: Audit

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
        lines = values["audit"].pop("lines")
        head = json.dumps(values, indent=1).removesuffix("\n }\n}")
        body = ",\n".join(f"   {json.dumps(line)}" for line in lines)
        path = folder / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{head},\n  "lines": [\n{body}\n  ]\n }}\n}}\n', "utf-8")
        return path


def results(folder: Path = RESULTS) -> list[Result]:
    """Return all results, the oldest of each library first."""
    found = [
        Result.from_json(path.read_text("utf-8"))
        for path in sorted(folder.glob("*/*.json"))
    ]
    return sorted(found, key=lambda each: (each.library, each.date, each.path))


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
    return f'{variables} gilx audit atlas/plans/{library}.toml --only "{name}"'


def compact(audit: Audit) -> Audit:
    """Return an audit without what its page and its comparisons do not need.

    Those are losses that are next to nothing, their sources, and the sites of all, which
    name files of the machine.
    """
    return replace(audit, lines=tuple(_compact(line) for line in audit.lines))


def _compact(line: Line) -> Line:
    rows = []
    for row in line.scaling:
        losses = sorted(row.losses, key=lambda loss: -loss.amount)
        kept = tuple(
            replace(loss, source="", sites=())
            for number, loss in enumerate(losses)
            if number == 0 or loss.amount >= 0.005
        )
        rows.append(replace(row, comparison=replace(row.comparison, losses=kept)))
    return replace(line, scaling=tuple(rows))


def _rounded(text: str) -> float:
    return float(f"{float(text):.{_DIGITS}g}")
