"""Stacks in a watch, with a sampler and a reader that are made up."""

from __future__ import annotations

import sys
import threading
from itertools import islice
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import gilx
from gilx.errors import WatchUnavailableError
from gilx.estimate import Estimate
from gilx.sampling import known_stacks, watch
from gilx.sampling.probe import probe, probe_warm
from tests.markers import needs_linux
from tests.unit.hold_sums import SLICE
from tests.unit.made_up_sites import found

_sampler = pytest.importorskip("gilx.sampling._sampler")

pytestmark = [
    needs_linux,
    pytest.mark.any_python,
    pytest.mark.thread_unsafe(reason="replaces the sampler"),
]

S = 10**9
SWITCH = sys.getswitchinterval()


class FakeSampler:
    """Sampler that saw a second, in which it found what its class says."""

    given: ClassVar[dict[str, Any]]
    sites_found: ClassVar[list[Any]] = []
    stretches: ClassVar[list[tuple[int, int, int, int]]] = []
    calls_found: ClassVar[list[Any]] = []
    recorded: ClassVar[list[Any]] = []
    changes: ClassVar[dict[str, Any]] = {}

    def __init__(self, cost: float, **options: Any) -> None:
        type(self).given = options | {"cost": cost}

    def start(self) -> None:
        """Begin."""

    def stop(self) -> Any:
        squares = float(1000 * SLICE**2)
        zero = dict.fromkeys(
            [
                "unknown",
                "unidentified",
                "lateness",
                "lateness_max_ns",
                "cost_ns",
                "switches",
                "releases",
                "own_dxx",
                "own_dxy",
                "own_dyy",
                "locked_dxx",
                "locked_dxy",
                "locked_dyy",
                "late",
                "burst_ns",
                *("waiters_x", "waiters_y", "waiters_xx", "waiters_xy", "waiters_yy"),
                *("waiters_dxx", "most_waiters", "asked", "askable"),
                *("calls", "addresses", "unread_errno", "wishes"),
            ],
            0,
        )
        whole = dict.fromkeys(
            ["own_x", "own_y", "locked_x", "locked_y", "counted", "stacks_counted"],
            float(S),
        )
        square = dict.fromkeys(
            [
                "own_xx",
                "own_xy",
                "own_yy",
                "locked_xx",
                "locked_xy",
                "locked_yy",
                "stacks_squares",
            ],
            squares,
        )
        totals = {
            "begin_ns": 0, "end_ns": S, "wakes": 1000, "slice_ns": SLICE, "reads": 9000,
            "hold_min_ns": 4000, "hold_max_ns": S, "stretch_ns": S - SLICE,
            "stretch_run": 999,
            "slack": 1, "short_turns": 1,
        }  # fmt: skip
        return SimpleNamespace(**zero, **whole, **square | totals | self.changes)

    def threads(self) -> list[Any]:
        here, nothing = threading.get_native_id(), (0.0, 0.0, 0.0, 0.0)
        return [
            (
                *(native_id, float(S), 0.0, 0.0, 0.0, -1, 0),
                ((held, held * SLICE, held * SLICE, 0.0), *[nothing] * 13),
            )
            for native_id, held in ((here, float(S)), (7, S / 2))
        ]

    def sites(self) -> list[Any]:
        return [tuple(one) for one in self.sites_found]

    def waits(self) -> list[Any]:
        return []

    def calls(self) -> list[Any]:
        return self.calls_found

    def longest_holds(self) -> list[tuple[int, int, int, int, float, float, float]]:
        return [(*stretch, 0.0, 0.0, 0.0) for stretch in self.stretches]

    def samples(self) -> list[Any]:
        return self.recorded

    def held_sites(self) -> list[Any]:
        return [(0, 0, False, 1.0)] * len(self.recorded)


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> type[FakeSampler]:
    class Fake(FakeSampler):
        pass

    monkeypatch.setattr(_sampler, "Sampler", Fake)
    monkeypatch.setattr(_sampler, "backend", lambda: ("made up", "made up"))
    monkeypatch.setattr(watch, "gil_enabled", lambda: True)
    monkeypatch.setattr(watch, "reason_against_stacks", lambda: "")
    return Fake


def watched(**options: Any) -> watch.Watch:
    with gilx.watch(**options) as watching:
        pass
    return watching


def test_usage_of_a_watch_has_sites_with_their_texts(sampler: type[FakeSampler]) -> None:
    code = sys._getframe().f_code
    line = code.co_firstlineno
    sampler.sites_found = [
        found(400, file=__file__, line=line, end_line=line, column=4, end_column=21),
        found(100, place=1),
    ]
    usage = watched().usage
    assert sampler.given["stacks"] is True
    first, second = usage.sites
    assert (first.held.value, second.held.value) == (0.4, 0.1)
    assert first.text == "test_usage_of_a_w"
    assert first.thread == threading.current_thread().name
    assert second.thread == "thread 7"
    assert usage.sites_missing == ""
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_usage_of_several_calls_has_sites_too(sampler: type[FakeSampler]) -> None:
    sampler.sites_found = [found(400)]
    usage = watched().usage_of_calls(3)
    assert usage.repeats == 3
    assert [site.line for site in usage.sites] == [41]


@pytest.mark.parametrize("why", ["reference", "uncertified"])
def test_watch_without_stacks_says_why(
    sampler: type[FakeSampler], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "usable_cpus", lambda: 2)
    monkeypatch.setattr(watch, "reason_against_stacks", lambda: "stacks are strange")
    usage = watched(reference=why == "reference").usage
    assert not sampler.given.get("stacks")
    assert usage.sites == ()
    assert usage.sums.stacks == 0
    assert usage.sites_missing == (
        "a reference watch reads no stacks"
        if why == "reference"
        else "stacks are strange"
    )
    # All that is known of a hold that may be one call.
    assert usage.longest_hold.interval == (4e-6, 1.0)


def test_watch_keeps_stacks_if_asked_for(sampler: type[FakeSampler]) -> None:
    place = "f", "/x/y/z.py", 1, 2, 2, 4, 9
    sampler.calls_found = [(-1, 1, None, 0.0, 0.0), (0, 5, place, S / 2, 0.0)]
    watching = watched(stacks=True)
    assert sampler.given["calls"] is True
    assert watching.stacks.collapsed() == "thread 7;f (y/z.py:2) 500000\n"
    assert watching.stacks.wall == watching.usage.wall
    assert watching.stacks is watching.stacks


def test_watch_keeps_no_stacks_if_not_asked_for(sampler: type[FakeSampler]) -> None:
    watching = watched()
    assert sampler.given["calls"] is False
    with pytest.raises(RuntimeError, match=r"keeps no stacks: gilx\.watch\(stacks=True"):
        _ = watching.stacks
    with pytest.raises(RuntimeError, match="there is no stack yet"):
        _ = gilx.watch(stacks=True).stacks


@pytest.mark.usefixtures("sampler")
def test_watch_refuses_to_keep_stacks_that_are_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "reason_against_stacks", lambda: "stacks are strange")
    with pytest.raises(WatchUnavailableError, match="no stacks can be kept: stacks are"):
        watched(stacks=True)


@pytest.mark.usefixtures("sampler")
def test_longest_hold_of_a_python_loop_is_the_switch_interval() -> None:
    assert watched().usage.longest_hold == Estimate(SWITCH, SWITCH, SWITCH)


def test_longest_hold_of_a_call_is_that_of_the_calling_thread(
    sampler: type[FakeSampler],
) -> None:
    sampler.stretches = [(1, S // 2, S // 2, 500), (0, S // 10, S // 10, 100)]
    watching = watched()
    assert watching.usage.longest_hold.value == pytest.approx(0.1)
    program = watching.usage_of_program("script.py")
    assert program.longest_hold.value == pytest.approx(0.5)
    assert program.program == "script.py"


def test_longest_hold_of_a_program_counts_python_code_of_other_threads(
    sampler: type[FakeSampler],
) -> None:
    # The main thread was seen to hold for an instant only; the other one for a while.
    sampler.changes = {"stretch_ns": 0, "hold_max_ns": 100_000}
    worker = ((1, _sampler.MOST_SHARE),)
    sampler.recorded = [(i * SLICE, False, worker, ()) for i in range(100)]
    watching = watched()
    assert watching.usage.longest_hold.high == 1e-4
    assert watching.usage_of_program("x").longest_hold.value == SWITCH
    sampler.recorded = [(i * SLICE, False, worker * (i % 2), ()) for i in range(100)]
    program = watched().usage_of_program("x")
    assert program.longest_hold == Estimate(4e-6, 4e-6, SWITCH)


def ticking(*moments: float) -> SimpleNamespace:
    """Return a clock that shows these moments, one after another."""
    return SimpleNamespace(perf_counter=iter(moments).__next__)


def test_probe_bounds_the_longest_hold_by_its_longest_call(
    sampler: type[FakeSampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler.stretches = [(0, S // 10, S, 100)]
    sampler.sites_found = [found(400, hold_low=S // 10, hold_high=S)]
    monkeypatch.setattr("gilx.sampling.probe.time", ticking(0.0, 0.1, 0.3, 0.4))
    usage = probe(lambda: None, repeat=3)
    for hold in (usage.longest_hold, usage.sites[0].longest_hold):
        assert hold.low == 0.1
        assert hold.high == hold.value == pytest.approx(0.2)
    # A stretch of more than a call was one of several calls.
    sampler.stretches = [(0, S // 2, S, 500)]
    monkeypatch.setattr("gilx.sampling.probe.time", ticking(0.0, 0.1, 0.3, 0.4))
    usage = probe(lambda: None, repeat=3)
    assert usage.longest_hold.low == 0
    assert usage.longest_hold.high == usage.longest_hold.value == pytest.approx(0.2)


def test_probe_does_not_time_calls_of_less_than_10_microseconds(
    sampler: type[FakeSampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler.changes = {"end_ns": 1000}
    monkeypatch.setattr("gilx.sampling.probe.time", ticking())
    assert probe(lambda: None, repeat=3).repeats == 3


@pytest.mark.usefixtures("sampler")
def test_longest_call_does_not_bound_python_code_between_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = ticking(*(i * 1e-4 for i in range(1000)))
    monkeypatch.setattr("gilx.sampling.probe.time", ticks)
    usage = probe_warm(lambda: None, (), 0.05, 1.0)
    assert usage.longest_hold == Estimate(SWITCH, SWITCH, SWITCH)


# ---- known stacks -------------------------------------------------------------------------


def stack_of_caller() -> list[tuple[Any, ...]]:
    """Return the caller's stack, as the sampler should read it."""
    stack, frame = [], sys._getframe(1)
    at: Any = frame
    while at is not None:
        code = at.f_code
        position = next(islice(code.co_positions(), at.f_lasti // 2, None))
        lines = [line or 0 for line in position[:2]]
        columns = [-1 if column is None else column for column in position[2:]]
        name = code.co_qualname
        stack.append((name, code.co_filename, code.co_firstlineno, *lines, *columns))
        at = at.f_back
    return stack


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    def replace(own_stack: Any) -> str:
        monkeypatch.setattr(_sampler, "own_stack", own_stack, raising=False)
        known_stacks._reason.cache_clear()
        return known_stacks.reason_against_stacks()

    yield replace
    monkeypatch.undo()
    known_stacks._reason.cache_clear()


def test_stacks_that_are_read_as_they_are_pass(read: Any) -> None:
    assert read(stack_of_caller) == ""


def spoiled(name: str, place: int, change: Any) -> Any:
    """Return a reader that errs in one place of the frames whose names end so."""

    def read() -> Any:
        return [
            (*one[:place], change(one[place]), *one[place + 1 :])
            if one[0].endswith(name)
            else one
            for one in stack_of_caller()[1:]
        ]

    return read


KINDS = [
    "_read_and_compare",
    "_recursion",
    "key",
    "<genexpr>",
    "coroutine",
    "<locals>._Body",
]
NAMES = known_stacks._NAMES


@pytest.mark.parametrize(
    "reader",
    [
        *(spoiled(name, 3, lambda line: line + 1) for name in (*KINDS, *NAMES)),
        *(spoiled(name, 5, lambda column: column + 1) for name in KINDS),
        *(spoiled(name, 6, lambda column: column - 1) for name in KINDS),
        *(spoiled(name, 0, lambda text: text[:-1]) for name in NAMES),
        *(spoiled(name, 1, lambda text: text.replace(".py", "")) for name in NAMES),
        spoiled("_recursion", 2, lambda line: line - 1),
        lambda: stack_of_caller()[1:40],
        lambda: stack_of_caller()[2:],
        list,
    ],
)
def test_stacks_that_are_read_otherwise_are_refused(reader: Any, read: Any) -> None:
    assert read(reader).startswith("Python's stack is not read rightly here, at frame ")


def test_reader_that_refuses_says_why(read: Any) -> None:
    def refuse() -> Any:
        raise WatchUnavailableError("a free-threaded build keeps its stacks elsewhere")

    assert read(refuse) == "a free-threaded build keeps its stacks elsewhere"


def test_stack_without_space_for_the_comparison_is_compared_later(read: Any) -> None:
    def at_the_limit() -> str:
        try:
            return at_the_limit()
        except RecursionError:
            return known_stacks.reason_against_stacks()

    assert read(stack_of_caller) == ""
    known_stacks._reason.cache_clear()
    words = "fewer than 50 calls were left to Python's recursion limit"
    assert at_the_limit() == words
    assert known_stacks.reason_against_stacks() == ""


def test_stacks_are_compared_once(read: Any) -> None:
    assert read(stack_of_caller) == ""
    monkey = pytest.MonkeyPatch()
    with monkey.context() as context:
        context.setattr(_sampler, "own_stack", None)
        assert known_stacks.reason_against_stacks() == ""


def test_environment_switches_stacks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GILX_STACKS", "off")
    assert known_stacks.reason_against_stacks() == "GILX_STACKS=off switches stacks off"
    monkeypatch.setenv("GILX_STACKS", "of")
    with pytest.raises(
        WatchUnavailableError, match="GILX_STACKS: expected off, got 'of'"
    ):
        known_stacks.reason_against_stacks()
