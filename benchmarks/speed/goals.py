"""Goals for gilx's speed, whether they are met, and the reasons if they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from figures import Figure, Outcome, geometric_mean, judged
from parts import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from results import Results

__all__ = ["GOALS", "HEAD", "Ahead", "Goal", "Row", "ahead", "rows", "status"]

_EACH = PARTS["kernels"].subjects
_MATMUL, _HISTOGRAM = ("matmul",), ("histogram",)


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    what: str
    part: str
    figure: str
    """Its name in the part's pieces."""
    wanted: float
    """In the figure's unit."""
    unit: str = ""
    at_most: bool = False
    subjects: tuple[str, ...] = ("",)
    """Of which pieces; each of them has to be as wanted."""
    mean: bool = False
    """True if the goal applies to their geometric mean instead."""

    def text(self) -> str:
        """Return what is wanted in words."""
        unit = f" {self.unit}" if self.unit else ""
        return f"at {'most' if self.at_most else 'least'} {self.wanted:g}{unit}"


def _of(
    subject: str, against: str, peer: str, wanted: float, part: str = "kernels"
) -> Goal:
    what = f"`{subject}` against {against}"
    return Goal(what, part, f"c-nogil / {peer}", wanted, subjects=(subject,))


def _each(
    what: str, part: str, figure: str, wanted: float, mean: float | None = None
) -> tuple[Goal, ...]:
    every = Goal(what, part, figure, wanted, subjects=_EACH)
    if mean is None:
        return (every,)
    return every, Goal(
        "their geometric mean", part, figure, mean, subjects=_EACH, mean=True
    )


GOALS = (
    *_each(
        *("each C kernel against numba, one thread", "kernels", "c-nogil / numba"),
        *(1.0, 2.0),
    ),
    *_each(
        "each C kernel against straightforward C at `-O3 -march=native`",
        *("kernels", "c-nogil / plain C", 1.0, 1.5),
    ),
    *_each("each Cython kernel against numba", "kernels", "cython-nogil / numba", 0.9),
    _of("mandelbrot", "numba", "numba", 3.0),
    _of("matmul", "NumPy's OpenBLAS, one thread", "OpenBLAS", 0.5),
    _of("histogram", "`np.bincount`", "np.bincount", 3.0),
    _of("levenshtein", "rapidfuzz on the same pairs", "rapidfuzz", 0.7),
    _of("primes", "numba, the same algorithm", "numba", 1.5),
    _of("montecarlo", "NumPy's Generator and arithmetic", "NumPy", 3.0),
    _of("triad", "the bandwidth of a tuned copy loop", "copy", 0.95),
    _of("heat", "the bandwidth of a tuned copy loop", "copy", 0.85),
    *_each(
        "share of the ceiling on `threads`, 2 workers, each kernel",
        *("scaling", "ceiling fraction", 0.97, 0.985),
    ),
    Goal(
        "time per unit of work at 100 times the default's work, `c-nogil`",
        *("growth", "time per unit", 1.1),
        at_most=True,
        subjects=_EACH,
    ),
    Goal(
        "`import gilx`, above an empty interpreter",
        *("startup", "import gilx", 5, "ms", True),
    ),
    Goal(
        "pytest with the plugin installed but unused, above pytest without",
        *("startup", "the idle pytest plugin", 10, "ms", True),
    ),
)

# Why a figure is what it is, where a peer is ahead or a goal is missed; by its name and
# subject. A reason is shown only where that is so.
REASONS: Mapping[tuple[str, str], str] = {
    ("c-nogil / OpenBLAS", "matmul"): (
        "OpenBLAS fuses each multiplication with its addition. gilx's results are the"
        " same bits with every instruction set, which rules that out, so that half of"
        " OpenBLAS's rate is about what can be had."
    ),
    ("c-nogil / copy", "triad"): (
        "triad reads two arrays where the copy reads one. Runs on one machine differ by"
        " more than what is missing here."
    ),
    ("processes / ThreadPoolExecutor", ""): (
        "Its workers are other processes, which hear of a region and answer through the"
        " system's sockets."
    ),
    ("cython-nogil / numba", "mandelbrot"): (
        "The Cython kernels are compiled for the baseline, numba's for this machine."
    ),
    ("cython-nogil / numba", "levenshtein"): (
        "The Cython kernels are compiled for the baseline, numba's for this machine."
    ),
}

# What stands beside in ratios of which neither is gilx's.
_OTHERS = ("numba prange", "joblib threading")

HEAD = ("what", "wanted", "reached", "interval", "", "which")


@dataclass(frozen=True)
class Row:
    """A goal, and what was reached: of several figures, the one farthest behind."""

    goal: Goal
    figure: Figure | None
    outcome: Outcome
    absent: Mapping[str, str]
    """Of each subject that was not measured, why."""
    which: str
    """The kernel of the figure, and the results of all kernels."""

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        reached = between = "-"
        if self.figure is not None:
            reached, between = self.figure.text(), self.figure.between()
        what = self.goal.what
        return what, self.goal.text(), reached, between, self.outcome, self.which


@dataclass(frozen=True)
class Ahead:
    """A peer that is faster, or a goal that is not met, and the reason."""

    what: str
    figure: Figure
    reason: str


def rows(results: Results, *, all_of_them: bool = False) -> list[Row]:
    """Return a row for each goal, or only for those of which there is a piece."""
    return [
        _row(goal, results)
        for goal in GOALS
        if all_of_them or any(results.piece(goal.part, one) for one in goal.subjects)
    ]


def _row(goal: Goal, results: Results) -> Row:
    found: dict[str, Figure] = {}
    absent: dict[str, str] = {}
    for subject in goal.subjects:
        figure = results.figure(goal.part, subject, goal.figure)
        if isinstance(figure, Figure):
            found[subject] = figure
        else:
            absent[subject] = figure
    if not found:
        return Row(goal, None, "not measured", absent, _reasons(absent))
    missing = _reasons(absent)
    if goal.mean:
        mean = geometric_mean(goal.figure, list(found.values()))
        outcome = judged(mean, goal.wanted, at_most=goal.at_most)
        if absent:
            outcome = "not measured"
            missing = f"of {len(found)} of {len(goal.subjects)} only; {missing}"
        return Row(goal, mean, outcome, absent, missing)
    each = {
        subject: judged(figure, goal.wanted, at_most=goal.at_most)
        for subject, figure in found.items()
    }
    behind = max if goal.at_most else min
    worst = behind(found, key=lambda subject: found[subject].value)
    outcome = next(
        word for word in ("not met", "can't tell", "met") if word in each.values()
    )
    if absent and outcome == "met":
        outcome = "not measured"
    words = [worst] if worst else []
    if len(goal.subjects) > 1:
        met = [subject for subject, word in each.items() if word == "met"]
        words[0] += f"; met by {len(met)} of {len(goal.subjects)}"
        words += [
            f"{word}: {', '.join(one for one in each if each[one] == word)}"
            for word in ("not met", "can't tell")
            if word in each.values()
        ]
    if found[worst].note and outcome != "met":
        words.append(found[worst].note)
    return Row(
        goal, found[worst], outcome, absent, "; ".join([*words, missing]).strip("; ")
    )


def _reasons(absent: Mapping[str, str]) -> str:
    """Return why there are no figures, each reason once with what it holds for."""
    subjects: dict[str, list[str]] = {}
    for subject, why in absent.items():
        subjects.setdefault(why, []).append(subject)

    def which(these: list[str]) -> str:
        return f"{len(these)} of them" if len(these) > 3 else ", ".join(these)

    return "; ".join(
        f"{which(these)}: {why}" if any(these) else why for why, these in subjects.items()
    )


def ahead(results: Results) -> list[Ahead]:
    """Return where a peer is ahead or a goal is not met, with the reason if known."""
    found: dict[tuple[str, str], Ahead] = {}
    for piece in results.pieces:
        side = PARTS[piece.part].peers_ahead
        for figure in piece.measured.figures:
            ours, _, peer = figure.name.partition(" / ")
            if not peer or ours in _OTHERS:
                continue
            if figure.high < 1 if side == "below 1" else side and figure.low > 1:
                _note(found, piece.subject, figure)
    for row in rows(results):
        goal = row.goal
        if goal.mean:
            continue
        for subject in goal.subjects:
            one = results.figure(goal.part, subject, goal.figure)
            if isinstance(one, Figure) and (
                judged(one, goal.wanted, at_most=goal.at_most) == "not met"
            ):
                _note(found, subject, one)
    return list(found.values())


def _note(found: dict[tuple[str, str], Ahead], subject: str, figure: Figure) -> None:
    key = figure.name, subject
    what = f"`{subject}`: {figure.name}" if subject else figure.name
    reason = REASONS.get(key, figure.note or "The reason is not known.")
    found[key] = Ahead(what, figure, reason)


def status(table: Iterable[Row], *, failed: bool = False) -> int:
    """Return the command's exit status: a sum, so that none hides another.

    Parameters
    ----------
    table : iterable of Row
        What was reached.
    failed : bool
        Whether a piece could not be measured, for an error.

    Returns
    -------
    int
        0 if all goals are met; else the sum of 1 if one is not met, 4 if one is
        inconclusive, and 8 if something was not measured.

    """
    lines = list(table)
    outcomes = {row.outcome for row in lines}
    absent = failed or any(row.absent for row in lines)
    return ("not met" in outcomes) + 4 * ("can't tell" in outcomes) + 8 * absent
