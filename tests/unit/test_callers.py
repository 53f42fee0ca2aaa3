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
from gilx.testing.release_verdict import why_held
from gilx.testing.verdict import ReleaseEvidence
from tests.unit.hold_sums import SLICE
from tests.unit.made_up_sites import collector, found, usage_with

if TYPE_CHECKING:
    from gilx.sampling.sites import FoundSite

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

PANDAS = "/venv/lib/python3.13/site-packages/pandas/core/frame.py"
GILX = str(Path(gilx.__file__).parent / "sampling/probe.py")
TEXTS = {9: "sort(values)", 41: "row.tolist()", 50: "load(line)"}
BELOW, COLLECTOR, OTHER, THREAD = -5, -6, -2, -1


def library(samples: int, line: int = 9, **changes: Any) -> FoundSite:
    """Return a site in a library."""
    return found(samples, file=PANDAS, line=line, end_line=line, **changes)


def call(
    parent: int, site: FoundSite | None, samples: int = 0, cut: int = 0
) -> FoundCall:
    """Return the call of a function at a site, or that of a thread."""
    place = None if site is None else site[1:8]
    return FoundCall(parent, 0, place, samples * SLICE, cut * SLICE)


def collection(parent: int, samples: int) -> FoundCall:
    return FoundCall(parent, COLLECTOR, None, samples * SLICE, 0.0)


def own(line: int) -> FoundSite:
    return found(0, line=line, end_line=line)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (PANDAS, True),
        ("/usr/lib/python3/dist-packages/yaml/nodes.py", True),
        (f"{sysconfig.get_path('stdlib')}/json/decoder.py", True),
        ("/opt/lib/python3.99/json/decoder.py", True),
        ("/opt/lib64/python3.14t/json/decoder.py", True),
        ("/home/me/python3.11/decoder.py", False),
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


def test_garbage_collector_knows_the_nearest_own_line() -> None:
    calls = [
        call(THREAD, None),
        call(0, own(50)),
        call(1, library(0)),
        collection(2, 100),  # below a library
        call(0, own(41)),
        collection(4, 250),  # in the line itself
        call(0, found(0, file=GILX, line=3)),
        collection(6, 30),
    ]
    unknown = collector(20, kind=2)  # has no position, either
    usage = usage_with(unknown, collector(380), calls=calls, texts=TEXTS)
    site, other = usage.sites
    assert [(one.line, one.held / SLICE) for one in site.callers] == [
        (41, 250),
        (50, 100),
    ]
    assert site.callers[0].place == "nowhere/features.py:41"
    assert other.callers == ()
    row = "called for 66 % of that from nowhere/features.py:41 `row.tolist()`"
    assert f"garbage collector\n           {row}\n" in str(usage)
    assert f"\n  {row}\n" in sites_text(usage)
    assert usage.where_held() == f"nearly all of it in the garbage collector, {row}"
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_garbage_collector_is_one_of_three_lines_that_are_named() -> None:
    sites = [found(n, line=n, end_line=n) for n in (90, 80, 70)]
    usage = usage_with(collector(160), *sites, texts={90: "f(x)"})
    assert usage.where_held() == (
        "spread over 4 lines (40 % in the garbage collector,"
        " 22 % in nowhere/features.py:90 `f(x)`, 20 % in nowhere/features.py:80)"
    )


@pytest.mark.parametrize(("collected", "expected"), [(380, True), (150, False)])
def test_advice_for_garbage_collection_is_about_the_collector(
    collected: int, expected: bool
) -> None:
    usage = usage_with(
        *(collector(collected), found(380 - collected), found(600, place=1, line=7)),
        held=999,
        free=1,
    )
    advice = why_held(ReleaseEvidence(0.1, 0.99, 1, 1.0, usage, ""))
    assert ("gc.freeze()" in advice) is expected
    assert ("Py_BEGIN_ALLOW_THREADS" in advice) is not expected


@pytest.mark.parametrize(
    ("texts", "label"),
    [
        (("f(x)", "f(x)", "f(x)"), "nowhere/features.py:41 `f(x)`"),
        (("f(x)", "f(x)", "g(x)"), "nowhere/features.py:41"),
        (("f(x)", "g(x)", "f(x)"), "nowhere/features.py:41"),
        (("f(x)", "", ""), "nowhere/features.py:41"),
    ],
)
def test_own_line_and_what_it_calls_are_named_together(
    texts: tuple[str, str, str], label: str
) -> None:
    # Three expressions of one line: two that hold, and one that calls a library.
    at = [found(n, end_line=41, column=c, end_column=99) for n, c in ((80, 1), (40, 2))]
    calling = found(0, end_line=41, column=3, end_column=99)
    inside = [library(60, line=n) for n in (1, 2)]
    calls = [call(THREAD, None), call(0, calling)]
    calls += [call(1, site, site.samples) for site in inside]
    other = found(130, function="rest", line=50, end_line=50)
    by_column = {1: texts[0], 2: texts[1], 3: texts[2]}
    usage = usage_with(
        *(*at, *inside, other),
        calls=calls,
        texts_by_column=by_column,
    )
    assert usage.where_held() == f"most of it in {label} and what it calls"


def test_text_of_code_called_from_several_expressions_is_left_out() -> None:
    sites = [library(76, line=n) for n in range(1, 6)]
    calling = [found(0, column=n, end_column=99) for n in range(5)]
    calls = [call(THREAD, None)]
    for expression, site in zip(calling, sites, strict=True):
        calls += [call(0, expression), call(len(calls), site, 76)]
    texts = {n: f"f({n})" for n in range(5)}
    usage = usage_with(*sites, calls=calls, texts_by_column=texts)
    assert usage.main_line() == (
        "nearly all",
        "code called from nowhere/features.py:41",
    )


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
