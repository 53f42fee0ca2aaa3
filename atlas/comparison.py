"""Comparison of two results, each of one process or of several.

Short calls may be faster or slower for the whole life of a process, by how memory and
threads happen to lie in it, and the interval of one process does not cover that. So the
lines of other processes are kept beside those of the first, and a figure changed if it
differs between every process of then and every process of now, as far as they know it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gilx.audit import Audit, AuditChange, compare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atlas.results import Result
    from gilx.audit import Line

MOST_OTHERS = 5
"""Lines of other processes that a result keeps of a call at one size."""

CHANGED = ("better", "worse")


def changes(before: Result, after: Result) -> list[AuditChange]:
    """Return the changes from one result to another, in the order of the second.

    If there are several processes after, a change that only one of them knows is unknown.
    """
    found: dict[tuple[str, str], AuditChange] = {}
    differ: dict[tuple[str, str], set[int]] = {}
    alike: set[tuple[str, str]] = set()
    processes: dict[str, int] = {}
    for number, new in enumerate(_processes(after)):
        for line in new.lines:
            processes[line.label] = processes.get(line.label, 0) + 1
        for old in _processes(before):
            both_calls = _succeeding(old) & _succeeding(new)
            alike |= {(label, "call") for label in both_calls}
            for change in compare(old, new):
                key = change.label, change.figure
                earlier = found.setdefault(key, change)
                if change.verdict == "no difference":
                    alike.add(key)
                elif change.verdict in CHANGED:
                    differ.setdefault(key, set()).add(number)
                    if earlier.verdict not in CHANGED:
                        found[key] = change
    made: list[AuditChange] = []
    for key, change in found.items():
        verdict = change.verdict
        if key in alike:
            verdict = "no difference"
        elif len(differ.get(key, ())) < min(2, processes[change.label]):
            verdict = "unknown"
        made.append(replace(change, verdict=verdict))
    return made


def _succeeding(audit: Audit) -> set[str]:
    return {line.label for line in audit.lines if not line.error}


def changed_labels(
    before: Result, after: Result, verdicts: tuple[str, ...] = CHANGED
) -> set[str]:
    """Return the labels of lines with a figure that changed, or has another verdict."""
    return {
        change.label for change in changes(before, after) if change.verdict in verdicts
    }


def with_others_of(before: Result, made: Result) -> Result:
    """Return a result that keeps earlier lines that the new ones do not replace.

    They do not if processes of a call differ, or if a figure is unknown now. Lines from
    before a change of the library are not kept.
    """
    labels = {line.label for line in (*before.others, *made.others)}
    labels |= {line.label for line in made.audit.lines if not _is_known(line)}
    labels &= {line.label for line in made.audit.lines}
    if before.release != made.release:
        labels -= changed_labels(before, made)
    others: list[Line] = []
    for line in (*made.others, *before.audit.lines, *before.others):
        same = sum(other.label == line.label for other in others)
        if line.label in labels and same < MOST_OTHERS:
            others.append(line)
    return replace(made, others=tuple(others))


def _is_known(line: Line) -> bool:
    """Return whether later lines can be compared with all figures of a line."""
    figures = (line.held, *(row.ceiling_fraction for row in line.scaling))
    return not line.inconclusive_reason and all(each.bounded for each in figures)


def _processes(result: Result) -> Iterator[Audit]:
    """Yield an audit for each process that a result has lines of."""
    yield result.audit
    for line in result.others:
        yield Audit((line,), result.audit.environment)
