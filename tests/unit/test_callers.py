"""Lines of a program's own code that called the libraries in which the GIL is held."""

from __future__ import annotations

import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.rendering.sites_table import sites_text
from gilx.sampling.source_files import is_library
from gilx.sampling.stacks import FoundCall
from tests.unit.hold_sums import SLICE
from tests.unit.made_up_sites import found, usage_with

if TYPE_CHECKING:
    from gilx.sampling.sites import FoundSite

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

PANDAS = "/venv/lib/python3.13/site-packages/pandas/core/frame.py"
GILX = str(Path(gilx.__file__).parent / "sampling/probe.py")
TEXTS = {9: "sort(values)", 41: "row.tolist()", 50: "load(line)"}
BELOW, OTHER, THREAD = -5, -2, -1


def library(samples: int, line: int = 9, **changes: Any) -> FoundSite:
    """Return a site in a library."""
    return found(samples, file=PANDAS, line=line, end_line=line, **changes)


def call(
    parent: int, site: FoundSite | None, samples: int = 0, cut: int = 0
) -> FoundCall:
    """Return the call of a function at a site, or that of a thread."""
    place = None if site is None else site[1:8]
    return FoundCall(parent, 0, place, samples * SLICE, cut * SLICE)


def own(line: int) -> FoundSite:
    return found(0, line=line, end_line=line)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (PANDAS, True),
        ("/usr/lib/python3/dist-packages/yaml/nodes.py", True),
        (f"{sysconfig.get_path('stdlib')}/json/decoder.py", True),
        ("<frozen importlib._bootstrap>", True),
        ("<__array_function__ internals>", True),
        (GILX, True),
        ("/home/me/features.py", False),
        ("features.py", False),
        ("/home/me/site-packages.py", False),
        ("<stdin>", False),
        ("<string>", False),
        ("<ipython-input-3-f00>", False),
    ],
)
def test_libraries_are_known_by_their_files(file: str, expected: bool) -> None:
    assert is_library(file) is expected


def test_site_in_a_library_knows_the_nearest_own_line() -> None:
    site = library(300)
    calls = [
        call(THREAD, None),
        call(0, own(50)),
        call(1, own(41)),
        call(2, library(0, line=7)),
        call(3, site, 300),
    ]
    usage = usage_with(site, calls=calls, texts=TEXTS)
    (caller,) = usage.sites[0].callers
    assert (caller.function, caller.line, caller.held) == ("extract", 41, 300 * SLICE)
    assert caller.label == "nowhere/features.py:41 `row.tolist()`"
    part, line = usage.main_line()
    assert part == "nearly all"
    assert line == (
        "pandas/core/frame.py:9 `sort(values)`,"
        " called from nowhere/features.py:41 `row.tolist()`"
    )
    row = "called from nowhere/features.py:41 `row.tolist()`"
    assert f"\n          {row}\n" in str(usage)
    assert sites_text(usage).endswith(f"\n  {row}")
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_share_of_the_caller_that_calls_most_is_said_below_90_percent() -> None:
    site = library(300)
    calls = [
        call(THREAD, None),
        call(0, own(41)),
        call(1, site, 186),
        call(0, own(50)),
        call(3, site, 100),
        # The stack changed: the line that this one called may have held it, too.
        FoundCall(4, BELOW, None, 14 * SLICE, 0.0),
    ]
    usage = usage_with(site, calls=calls, texts=TEXTS)
    callers = usage.sites[0].callers
    assert [(one.line, one.held / SLICE) for one in callers] == [(41, 186), (50, 114)]
    assert usage.main_line()[1].endswith(
        "`, called for 62 % of that from nowhere/features.py:41 `row.tolist()`"
    )
    total = usage + usage
    assert [one.held for one in total.sites[0].callers] == [
        2 * one.held for one in callers
    ]
    assert gilx.GilUsage.from_json(total.to_json()) == total


def test_own_lines_and_calls_by_gilx_itself_have_no_callers() -> None:
    site, inner = library(200), found(100)
    at_gilx = found(0, file=GILX, line=3)
    calls = [
        call(THREAD, None),
        call(0, own(50)),
        call(1, inner, 100),
        call(1, at_gilx),
        call(3, site, 150),
        call(0, site, 30),  # of a thread that a library started
        call(1, site, 20, cut=20),  # perhaps of another line
        FoundCall(0, OTHER, None, 5.0, 0.0),
    ]
    usage = usage_with(site, inner, calls=calls, texts=TEXTS)
    assert [each.callers for each in usage.sites] == [(), ()]
    assert "called from" not in str(usage)


def test_function_that_was_defined_twice_has_its_callers_once() -> None:
    site = library(100)
    calls = [call(THREAD, None), call(0, own(41)), call(1, site, 180)]
    usage = usage_with(site, library(80), calls=calls)
    assert [len(each.callers) for each in usage.sites] == [1, 0]
    (line,) = usage.lines()
    assert sum(one.held for one in line.callers) == 180 * SLICE


def test_callers_that_hold_longer_than_their_site_are_refused() -> None:
    site = library(100)
    calls = [call(THREAD, None), call(0, own(41)), call(1, site, 100)]
    usage = usage_with(site, calls=calls)
    cases: list[tuple[Any, str]] = [
        ({"held": 101.0 * SLICE}, r"^text\.sites\[0\]\.callers: expected at most"),
        ({"held": -1.0}, r"^text\.sites\[0\]\.callers\[0\]\.held: expected"),
        ({"line": -1}, r"^text\.sites\[0\]\.callers\[0\]\.line: expected"),
    ]
    for change, words in cases:
        caller = replace(usage.sites[0].callers[0], **change)
        wrong = replace(usage, sites=(replace(usage.sites[0], callers=(caller,)),))
        with pytest.raises(ArgumentError, match=words):
            gilx.GilUsage.from_json(wrong.to_json())


def test_line_that_calls_most_is_named_if_no_line_holds_most() -> None:
    sites = [library(40 + n, line=n) for n in range(1, 6)]
    calls = [call(THREAD, None), call(0, own(41))]
    calls += [call(1, site, site.samples) for site in sites]
    usage = usage_with(*sites, found(30, line=50, end_line=50), calls=calls, texts=TEXTS)
    named = "code called from nowhere/features.py:41 `row.tolist()`"
    assert usage.main_line() == ("nearly all", named)
    assert f"nearly all of it in {named}" in usage.sentence()


def test_three_lines_are_named_if_none_holds_most() -> None:
    sites = [found(n, line=n, end_line=n) for n in (88, 72, 64, 60, 50, 40, 26)]
    texts = {88: "f(x)", 72: "g(x)"}
    usage = usage_with(*sites, held=400, free=100, texts=texts)
    assert usage.main_line() == ("", "")
    assert usage.where_held() == (
        "spread over 7 lines (22 % in nowhere/features.py:88 `f(x)`,"
        " 18 % in nowhere/features.py:72 `g(x)`, 16 % in nowhere/features.py:64)"
    )
    few = [found(2, line=n, end_line=n) for n in range(1, 5)]
    assert usage_with(*few, held=8, free=992).where_held() == ""
    one = found(300, line=1, end_line=1)
    assert usage_with(one).where_held() == "nearly all of it in nowhere/features.py:1"


def test_lines_of_other_threads_are_not_named_as_those_of_a_call() -> None:
    others = [found(100, line=n, end_line=n, place=-1) for n in range(3)]
    usage = usage_with(*others)
    assert usage.where_held() == ""
    program = replace(usage, program="script.py")
    assert program.where_held().startswith("spread over 3 lines (33 % in ")
