"""Lines and calls that hold the GIL, as the watch names them, against the truth.

Each case answers one question, prints a table, and returns 1 if a goal is missed. Run it
with nothing else running::

    python benchmarks/accuracy/where.py CASE [--seconds S] [--runs N] [--cost C]
        [--rate R] [--no-py-spy]

shares
    How far off are the shares of four functions, and how often is the truth within the
    stated intervals?
calls
    Are function, line and text right in samples that lie inside a known call?
attribution
    How much of Python code at full speed is attributed to code that did not run?
alternating
    How much weight does a function get that releases the GIL, in units of 20 µs?
slowdown
    How much longer does a program take while it is watched?
longest
    How far off is the longest hold?

Where py-spy is installed and knows the Python, it watches the programs of `shares` and
`slowdown`, at the rate that the sampler reaches or the one that is given.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any

import where_programs as programs

import gilx
from gilx.formatting import format_table
from gilx.sampling.sites import SiteSums
from gilx.speedup.statistics import median_interval
from gilx.system import conditions
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilx import Estimate, GilUsage
    from gilx.sampling.sites import Site

PROGRAMS = Path(programs.__file__)
POINTS = 100
Z = 1.96
NO_SUMS = SiteSums(0.0, 0.0, 0.0, 0.0)
MOST_PEER_RUNS = 5
MOST_AROUND = 0.0005
FIRST_RATE = 1000.0
LENGTHS = (0.005, 0.035, 0.2)


@dataclass(frozen=True)
class Options:
    """The command line."""

    seconds: float
    runs: int
    cost: float
    rate: float
    py_spy: str
    """Path of py-spy; empty if it is not there, or not wanted."""

    def watch(self) -> gilx.sampling.watch.Watch:
        """Return a watch."""
        return gilx.watch(cost=self.cost)


def plus_minus(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean of some values with its interval."""
    if len(values) < 2:
        return f"{mean(values):+.{digits}f}" if values else ""
    half = Z * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):+.{digits}f} ± {half:.{digits}f}"


def count_of(number: int, whole: int) -> str:
    """Return a number of cases, and the interval of their share (Wilson's)."""
    share = number / whole
    shrink = 1 + Z * Z / whole
    centre = (share + Z * Z / (2 * whole)) / shrink
    half = Z / shrink * math.sqrt(share * (1 - share) / whole + (Z / whole / 2) ** 2)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return f"{number} of {whole} ({low:.1%} to {high:.1%})"


def share_of(usage: GilUsage, sites: Iterable[Site]) -> Estimate:
    """Return the share of the watched time that some sites have together."""
    return sum((site.sums for site in sites), NO_SUMS).share(usage.sums)


def in_functions(usage: GilUsage, functions: Iterable[str]) -> list[Site]:
    """Return the sites of some functions, given by their qualified names."""
    names = set(functions)
    return [site for site in usage.sites if site.function in names]


def leftovers(usages: Sequence[GilUsage]) -> str:
    """Return in words how much is known in part only, or not at all."""
    usage = sum(usages[1:], usages[0])
    below = sum(site.below for site in usage.sites)
    kinds = [
        f"{kind} {share_of(usage, [s for s in usage.sites if s.kind == kind]).value:.2%}"
        for kind in ("no Python code", "unknown", "other lines")
    ]
    return (
        f"Of the watched time: in that line or below {below:.2%}, {', '.join(kinds)};"
        f" {usage.samples / usage.wall:.0f} samples a second, {usage.late} of"
        f" {usage.samples} late, {usage.cost:.1%} of a CPU."
    )


# ---- shares ----------------------------------------------------------------------------


def shares(options: Options) -> bool:
    """Watch functions whose shares are known."""
    errors: dict[str, list[float]] = {part.name: [] for part in programs.PARTS}
    covered: Counter[str] = Counter()
    usages = []
    for _ in range(options.runs):
        with programs.released_work(options.seconds), options.watch() as watch:
            truth = programs.run_parts(options.seconds)
        usage = watch.usage
        usages.append(usage)
        whole = sum(truth.held.values()) / usage.wall
        for part in programs.PARTS:
            found = share_of(usage, in_functions(usage, part.functions))
            true = truth.held[part.name] / usage.wall
            errors[part.name].append(POINTS * (found.value - true) / whole)
            covered[part.name] += found.low <= true <= found.high
    peers = peer_shares(options, rate_of(options, usages))
    rows = []
    for part in programs.PARTS:
        own, others = errors[part.name], peers.get(part.name, [])
        rows.append(
            (
                f"{part.name}, {part.share:.0%}",
                f"{plus_minus(own)}",
                f"{max(map(abs, own)):.2f}",
                count_of(covered[part.name], len(own)),
                plus_minus(others),
                f"{max(map(abs, others)):.2f}" if others else "",
            )
        )
    whole_count = sum(covered.values()), options.runs * len(programs.PARTS)
    rows.append(("all", "", "", count_of(*whole_count), "", ""))
    head = ("function, share of what is held", "error in points", "worst")
    peer = ("py-spy's error", "worst")
    print(format_table((*head, "covered", *peer), rows, right=range(1, 6), width=120))
    print(f"\n{leftovers(usages)}")
    named = sum(len(part.functions) for part in programs.PARTS)
    print(f"Sites in the {named} functions and elsewhere, those of one run:")
    for site in usages[-1].sites[:12]:
        print(f"  {site.held.text('{:.2%}'.format)} {site.function} {site.label}")
    worst = max(max(map(abs, values)) for values in errors.values())
    return worst <= 2.0 and whole_count[0] >= 0.9 * whole_count[1]


def rate_of(options: Options, usages: Sequence[GilUsage]) -> float:
    """Return how often a second py-spy is to look: as often as the sampler did."""
    return options.rate or mean(usage.samples / usage.wall for usage in usages)


def under_py_spy(
    options: Options, rate: float, *words: str
) -> tuple[Any, Counter[str]] | None:
    """Run the programs under py-spy; return what they print, and samples by function.

    None if py-spy does not know the Python.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.txt")
        done = subprocess.run(
            [
                *(options.py_spy, "record", "--gil", "-r", f"{max(1, round(rate))}"),
                *("-f", "raw", "-o", str(file)),
                *("--", sys.executable, str(PROGRAMS), *words),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [
            line for line in done.stdout.splitlines() if line and line[0] in "{0123456789"
        ]
        if done.returncode or not lines or not file.exists():
            print(f"py-spy failed: {done.stderr.strip()[-200:]}")
            return None
        samples: Counter[str] = Counter()
        for line in file.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            samples[stack.rpartition(";")[2].partition(" (")[0]] += int(count)
        return json.loads(lines[0]), samples


def peer_shares(options: Options, rate: float) -> dict[str, list[float]]:
    """Return py-spy's errors by function, in points of what the functions hold."""
    errors: dict[str, list[float]] = {part.name: [] for part in programs.PARTS}
    for _ in range(min(options.runs, MOST_PEER_RUNS) if options.py_spy else 0):
        found = under_py_spy(options, rate, "--seconds", f"{options.seconds}")
        if found is None:
            return {}
        truth, samples = found
        own = {
            part.name: sum(samples[name.rpartition(".")[2]] for name in part.functions)
            for part in programs.PARTS
        }
        true, whole = sum(truth["held"].values()), max(1, sum(own.values()))
        for name, count in own.items():
            errors[name].append(POINTS * (count / whole - truth["held"][name] / true))
    return errors


# ---- calls -----------------------------------------------------------------------------


def calls(options: Options) -> bool:
    """Watch known calls, each in a watch of its own."""
    rows, wrong = [], []
    right = whole = 0
    here = {__file__, programs.__file__}
    for call in programs.calls():
        inside = samples = 0
        for _ in range(options.runs):
            with options.watch() as watch:
                for _ in range(math.ceil(options.seconds * 1e9 / programs.HOLD)):
                    call.run()
            for site in watch.usage.sites:
                found = site.function, site.line, site.text
                samples += site.samples
                if found == (call.function, call.line, call.text):
                    inside += site.samples
                else:
                    around = site.file in here or "gilx" in site.file
                    wrong.append((call.function, around, site))
        name = f"{call.function}:{call.line} {call.text}"
        rows.append((name, f"{inside}", f"{samples - inside}"))
        right, whole = right + inside, whole + samples
    print(format_table(("call", "right", "other"), rows, right=(1, 2), width=100))
    print(f"\nFunction, line and text: right in {count_of(right, whole)} samples.")
    for function, around, site in wrong:
        kind = "around it" if around else "WRONG"
        print(f"  {kind}: {function}: {site.samples} in {site.function} {site.label}")
    # Python code around a call runs for some microseconds of each tenth of a second.
    strays = sum(site.samples for _, around, site in wrong if around)
    return all(around for _, around, _ in wrong) and strays <= 1 + MOST_AROUND * whole


# ---- attribution -----------------------------------------------------------------------


def attribution(options: Options) -> bool:
    """Watch Python code at full speed, whose shares follow from how it is made."""
    rows, fine = [], True
    usages = []
    for code in programs.CODES:
        dead = {
            number
            for number, line in enumerate(programs.CODES[code].splitlines(), 1)
            if "{side}_never(" in line
        }
        programs.leave_frames(code)
        alternated, phased = [], []
        truths = []
        for _ in range(options.runs):
            with options.watch() as watch:
                programs.alternate(code, options.seconds)
            alternated.append(watch.usage)
            with options.watch() as watch:
                truths.append(programs.phases(code, options.seconds))
            phased.append(watch.usage)
        usages += [*alternated, *phased]
        together = sum(usages[-2 * options.runs + 1 :], usages[-2 * options.runs])
        never = [
            site
            for site in together.sites
            if site.file == programs.file_of(code)
            and (site.line in dead or site.function.startswith("other_"))
        ]
        impossible = share_of(together, never)
        balance = sides_of(sum(alternated[1:], alternated[0]))
        left, right = (sum(side) for side in zip(*truths, strict=True))
        turns = sides_of(sum(phased[1:], phased[0]))
        error = POINTS * (turns[0] - left / (left + right))
        below = sum(site.below for site in together.sites)
        unknown = share_of(together, [s for s in together.sites if s.kind == "unknown"])
        rows.append(
            (
                code,
                f"{together.samples}",
                f"{impossible.value:.2%} (to {impossible.high:.2%})",
                f"{POINTS * (balance[0] - 0.5):+.2f} ± {POINTS * balance[1]:.2f}",
                f"{error:+.2f} ± {POINTS * turns[1]:.2f}",
                f"{below:.2%}",
                f"{unknown.value:.2%}",
            )
        )
        fine &= impossible.value < 0.01 and abs(error) < 1 + POINTS * turns[1]
        for site in never:
            print(f"never ran: {site.samples} in {site.function} {site.label}")
    head = ("code", "samples", "in lines that never ran", "even halves, points off")
    rest = ("known turns, points off", "or below", "unknown")
    print(format_table((*head, *rest), rows, right=range(1, 7), width=140))
    print(f"\n{leftovers(usages)}")
    return fine


def sides_of(usage: GilUsage) -> tuple[float, float]:
    """Return the left side's share of what both sides have, and half its interval."""
    left, right = (
        share_of(
            usage,
            [
                site
                for site in usage.sites
                # In a side's own functions, or where one of them is called.
                if site.function.startswith(f"{side}_") or site.text == f"{side}(False)"
            ],
        )
        for side in ("left", "right")
    )
    whole = left.value + right.value
    share = left.value / whole
    return share, max(left.high - left.value, left.value - left.low) / whole


# ---- alternating -----------------------------------------------------------------------


def alternating(options: Options) -> bool:
    """Watch units that hold and units that release, in turns."""
    rows, fine = [], True
    for name, kind in programs.ALTERNATIONS.items():
        weights, beyond = [], []
        for _ in range(options.runs):
            work = kind(20_000)
            with options.watch() as watch:
                work.run(options.seconds)
            held, released = (
                share_of(watch.usage, in_functions(watch.usage, [each.__qualname__]))
                for each in (kind.hold, kind.release)
            )
            weight = released.value / (held.value + released.value)
            least, most = work.weight
            weights.append(POINTS * weight)
            beyond.append(POINTS * (weight - (least + most) / 2))
        fine &= mean(beyond) <= 1.5
        rows.append(
            (
                name,
                f"{watch.usage.samples}",
                plus_minus(weights),
                f"{POINTS * least:.2f} to {POINTS * most:.2f}",
                plus_minus(beyond),
            )
        )
    head = ("released by", "samples in a run", "weight on it, %", "truth, %", "beyond it")
    print(format_table(head, rows, right=range(1, 5), width=120))
    return fine


# ---- slowdown --------------------------------------------------------------------------


def slowdown(options: Options) -> bool:
    """Time a program with and without a watch, in pairs, and the same for py-spy."""
    programs.run_rounds(1)
    rounds = max(1, round(options.seconds / programs.run_rounds(1)))
    words = "--rounds", f"{rounds}"
    watched, peers, usages = [], [], []
    for _ in range(options.runs):
        seconds: dict[str, float] = {}
        arms = ["alone", "watched", *(["child", "py-spy"] if options.py_spy else [])]
        for arm in random.sample(arms, len(arms)):
            if arm == "alone":
                seconds[arm] = programs.run_rounds(rounds)
            elif arm == "watched":
                with options.watch() as watch:
                    seconds[arm] = programs.run_rounds(rounds)
                usages.append(watch.usage)
            elif arm == "child":
                done = subprocess.check_output([sys.executable, PROGRAMS, *words])
                seconds[arm] = json.loads(done)
            else:
                rate = rate_of(options, usages) if usages or options.rate else FIRST_RATE
                found = under_py_spy(options, rate, *words)
                if found is not None:
                    seconds[arm] = found[0]
        watched.append(seconds["watched"] / seconds["alone"])
        if "py-spy" in seconds:
            peers.append(seconds["py-spy"] / seconds["child"])
    rows = []
    for name, ratios in (("gilx", watched), ("py-spy, pausing", peers)):
        if ratios:
            low, high = median_interval(ratios)
            figures = [f"{POINTS * (ratio - 1):+.2f} %" for ratio in (low, high)]
            middle = f"{POINTS * (median(ratios) - 1):+.2f} %"
            rows.append((name, f"{len(ratios)}", middle, " to ".join(figures)))
    print(format_table(("watched by", "pairs", "slower by", "95 %"), rows, right=(1, 2)))
    print(f"\n{leftovers(usages)}")
    return median_interval(watched)[1] <= 1.03


# ---- the longest hold ------------------------------------------------------------------


def longest(options: Options) -> bool:
    """Watch and probe holds of known lengths."""
    rows, fine = [], True
    for length in LENGTHS:
        for way in ("watch", "watch beside a waiter", "probe", "probe beside a waiter"):
            ratios, covered = [], 0
            for _ in range(options.runs):
                with programs.waiter() if "waiter" in way else nullcontext():
                    found, true = one_longest(length, options, probe="probe" in way)
                ratios.append(found.value / true)
                covered += found.low <= true <= found.high
            rows.append(
                (
                    f"{length * 1000:g} ms, {way}",
                    f"{median(ratios):.3f}",
                    f"{min(ratios):.2f} to {max(ratios):.2f}",
                    count_of(covered, len(ratios)),
                    f"{found.text('{:.4f}'.format)}",
                )
            )
            fine &= all(0.75 <= ratio <= 1.25 for ratio in ratios)
    head = ("holds", "found / truth", "all runs", "covered", "the last one, s")
    print(format_table(head, rows, right=range(1, 4), width=120))
    return fine


def one_longest(
    length: float, options: Options, *, probe: bool
) -> tuple[Estimate, float]:
    """Return the longest hold that was found, and the true one, in seconds."""
    holds = programs.Holds(length)
    if probe:
        usage = gilx.probe(holds.hold, budget=options.seconds, cost=options.cost)
    else:
        with options.watch() as watch:
            holds.hold_often(options.seconds)
        usage = watch.usage
    return usage.longest_hold, holds.longest


# ---- the command -----------------------------------------------------------------------


CASES: dict[str, tuple[Callable[[Options], bool], float, int]] = {
    "shares": (shares, 10.0, 5),
    "calls": (calls, 3.0, 1),
    "attribution": (attribution, 10.0, 1),
    "alternating": (alternating, 4.0, 5),
    "slowdown": (slowdown, 1.0, 24),
    "longest": (longest, 2.0, 3),
}
"""Each case with the seconds of a run and the number of runs."""


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seconds", type=float, help="length of a run")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--cost", type=float, default=0.03)
    parser.add_argument("--rate", type=float, default=0.0, help="py-spy's; 0: as gilx")
    parser.add_argument("--no-py-spy", action="store_true")
    given = parser.parse_args()
    case, seconds, runs = CASES[given.case]
    # Beside the interpreter: the command need not be on the path.
    beside = str(Path(sys.executable).parent)
    path = shutil.which("py-spy", path=beside) or shutil.which("py-spy") or ""
    options = Options(
        seconds=given.seconds or seconds,
        runs=given.runs or runs,
        cost=given.cost,
        rate=given.rate,
        py_spy="" if given.no_py_spy else path,
    )
    print(describe(), "\n")
    before = conditions.snapshot()
    fine = case(options)
    during = conditions.between(before, conditions.snapshot())
    print(
        f"{given.case}: {'as wanted' if fine else 'MISSED'}; other processes took"
        f" {during.others or 0:.2f} CPUs, other guests {during.steal or 0:.1%}"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
