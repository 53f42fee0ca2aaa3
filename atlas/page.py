"""The newest results of the atlas, as one table in HTML.

The table is complete without JavaScript; ``docs/_static/atlas.js`` adds the search to it.
"""

from __future__ import annotations

import math
import re
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from atlas.results import command
from gilx.audit import size_words
from gilx.formatting import duration, percent, times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atlas.results import Result
    from gilx.audit import Line

_NAMES = {
    "python": "standard library",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "pillow": "Pillow",
    "duckdb": "DuckDB",
}
_GIL = {
    "holds": "holds",
    "releases": "releases",
    "from a size": "releases from a size on",
    "in part": "releases in part",
    "undecided": "undecided",
}
_SCALING = {
    "scales": "scales",
    "from a size": "scales from a size on",
    "does not": "does not scale",
    "undecided": "undecided",
}
_HEADINGS = ("Call", "GIL", "Two threads", "Line that holds the GIL", "Claim")
_WORST_FIRST = ("holds", "undecided", "in part", "releases")


def table(found: list[Result]) -> str:
    """Return the table of some results as HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADINGS)
    calls = [
        _call(result, name, list(lines))
        for result in found
        for name, lines in groupby(result.audit.lines, key=lambda line: line.name)
    ]
    options = {
        "library": {each.library: _name(each.library) for each in found},
        "gil": _GIL,
        "scaling": _SCALING,
    }
    selects = "".join(_select(name, values) for name, values in options.items())
    return f"""<form class="atlas-form" hidden>
<label>Search <input type="search" name="text" autocomplete="off"></label>
{selects}
<label class="atlas-check"><input type="checkbox" name="differs">
differs from the claim</label>
<output aria-live="polite">{len(calls)} calls</output>
</form>
<table class="atlas"><thead><tr>{head}</tr></thead>
{"".join(calls)}</table>
"""


def _name(library: str) -> str:
    return _NAMES.get(library, library)


def _select(name: str, values: dict[str, str]) -> str:
    label = {"library": "Library", "gil": "GIL", "scaling": "Two threads"}[name]
    options = "".join(
        f'<option value="{escape(value)}">{escape(words)}</option>'
        for value, words in values.items()
    )
    return (
        f'<label>{label} <select name="{name}"><option value="">all</option>'
        f"{options}</select></label>\n"
    )


def _call(result: Result, name: str, lines: list[Line]) -> str:
    """Return a call at all of its sizes, as a body of the table."""
    differs = any(line.contradicts_claim for line in lines)
    data = {
        "library": result.library,
        "gil": gil_class(lines),
        "scaling": scaling_class(lines),
        "differs": "yes" if differs else "no",
        "text": f"{name} {_name(result.library)} {result.library}".lower(),
    }
    attributes = " ".join(f'data-{key}="{escape(each)}"' for key, each in data.items())
    names = f"{result.library}-{result.python}-{name}".lower()
    anchor = re.sub(r"[^a-z0-9]+", "-", names)
    cells = (
        _gil_words(lines),
        _scaling_words(lines),
        _holding_line(lines),
        _claim(lines, differs=differs),
    )
    row = "".join(
        f'<td data-label="{heading}">{cell}</td>'
        for heading, cell in zip(_HEADINGS[1:], cells, strict=True)
    )
    version = f"{_name(result.library)} {result.release}"
    return f"""<tbody id="{anchor}" {attributes}>
<tr><th scope="row"><code>{escape(name)}</code> <small>{escape(version)}</small></th>
{row}</tr>
<tr class="atlas-more"><td colspan="{len(_HEADINGS)}">
{_details(result, name, lines)}</td></tr>
</tbody>
"""


def gil_class(lines: list[Line]) -> str:
    """Return the class to filter by for a call's use of the GIL at all of its sizes."""
    verdicts = [line.verdict for line in _by_size(lines)]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    ranks = [_WORST_FIRST.index(verdict) for verdict in verdicts]
    if verdicts[-1] == "releases" and ranks == sorted(ranks):
        return "from a size"
    return "undecided" if "undecided" in verdicts else "in part"


def scaling_class(lines: list[Line]) -> str:
    """Return the class to filter by for how a call scales at all of its sizes."""
    found = [_scales(line) for line in _by_size(lines)]
    if len(set(found)) == 1:
        return found[0]
    return "from a size" if found[-1] == "scales" else found[-1]


def _by_size(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.size or 0)


def _scales(line: Line) -> str:
    """Return the class for two threads at one size: scales, does not, or undecided."""
    if not line.scaling:
        return "undecided"
    outcome = line.scaling[0].outcome
    if outcome == "pass":
        return "scales"
    return "does not" if outcome == "fail" or line.verdict == "holds" else "undecided"


def _gil_words(lines: list[Line]) -> str:
    words = _GIL[lines[0].verdict] if len(lines) == 1 else size_words(lines)
    shares = [
        f"{line.size}: {_share(line)}" if len(lines) > 1 else _share(line)
        for line in _by_size(lines)
    ]
    kind = gil_class(lines).replace(" ", "-")
    return (
        f'<span class="atlas-{kind}">{escape(words)}</span>'
        f"<small>held {escape(', '.join(shares))}</small>"
    )


def _share(line: Line) -> str:
    return (
        "unknown"
        if line.inconclusive_reason or not line.held.known
        else percent(line.held.value)
    )


def _scaling_words(lines: list[Line]) -> str:
    """Return the verdict at each size, and at the largest one the reason, too."""
    ordered = _by_size(lines)
    parts = []
    for line in ordered:
        size = f"{line.size}: " if len(ordered) > 1 else ""
        for row in line.scaling:
            scales = _scales(line)
            why = ""
            if line is ordered[-1] and scales != "scales":
                sure = scales != "undecided"
                why = f"{':' if sure else '; the measured times suggest:'} {row.reading}"
            figures = f"{times(row.speedup.value)} of {times(row.ceiling.value)}"
            words = escape(f"{size}{_SCALING[scales]}{why}")
            parts.append(f"<div>{words}<small>{figures}</small></div>")
    return "".join(parts) or "-"


def _holding_line(lines: list[Line]) -> str:
    """Return the lines that hold the GIL, at the sizes that do not release it."""
    holding = [line for line in lines if line.verdict != "releases"]
    if not holding:
        return "-"
    where = dict.fromkeys(
        line.where for line in holding if line.where and not line.inconclusive_reason
    )
    if where:
        return "<br>".join(f"<code>{escape(each)}</code>" for each in where)
    return "no single line"


def _claim(lines: list[Line], *, differs: bool) -> str:
    claim = lines[0].claim
    if claim is None:
        return "-"
    link = f'<a href="{escape(claim.link)}">{escape(claim.words)}</a>'
    if not differs:
        return link
    sizes = ", ".join(
        line.verdict if line.size is None else f"{line.verdict} at {line.size}"
        for line in _by_size(lines)
        if line.contradicts_claim
    )
    return f'{link} <strong class="atlas-differs">Measured otherwise: {sizes}</strong>'


def _details(result: Result, name: str, lines: list[Line]) -> str:
    """Return how a call was measured, and its figures with their intervals."""
    here = result.audit.environment
    others = [line for line in result.others if line.name == name]
    rows = "".join(
        _measured_row(line, *notes)
        for each, notes in (
            (lines, ()),
            (others, ("measured in another process, in this run or an earlier one",)),
        )
        for line in _by_size(each)
    )
    library = f"{_name(result.library)} {result.release}"
    versions = f"{library}; {here.implementation} {result.python}"
    system = f"{here.system} {here.architecture}"
    machine = f"{here.cpus.model}, {here.usable_cpus} CPUs, {system}"
    return f"""<details><summary>Measurement</summary>
<pre>{escape(command(result.library, name))}</pre>
<p>{escape(result.date)}; {escape(versions)}; {escape(machine)};
gilx {escape(here.gilx)}.</p>
<div class="atlas-figures"><table><thead><tr><th>size</th><th>one call</th><th>held</th>
<th>speedup of two threads</th><th>ceiling</th><th>notes</th></tr></thead>
<tbody>{rows}</tbody></table></div></details>"""


def _measured_row(line: Line, *notes: str) -> str:
    figures = "".join(
        f"<td>{row.speedup.text(times)}</td><td>{row.ceiling.text(times)}</td>"
        for row in line.scaling
    )
    figures = figures or "<td>-</td><td>-</td>"
    return (
        f"<tr><td>{'-' if line.size is None else line.size}</td>"
        f"<td>{_seconds(line)}</td><td>{line.held.text(percent)}</td>{figures}"
        f"<td>{escape('; '.join([*notes, *_notes(line)]))}</td></tr>"
    )


def _seconds(line: Line) -> str:
    return "-" if math.isnan(line.seconds) else duration(line.seconds)


def _notes(line: Line) -> list[str]:
    notes = [note for row in line.scaling for note in (row.reading, *row.notes)]
    return [each for each in (line.error, line.inconclusive_reason, *notes) if each]
