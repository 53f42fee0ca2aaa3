"""Lines that hold the GIL: shares, sums, JSON and words."""

from __future__ import annotations

import html
import json
import os
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from random import Random
from typing import Any

import pytest

import gilx
from gilx import cli
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.rendering.sites_table import sites_text
from gilx.sampling.longest_hold import HoldBounds, Stretch
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.sites import believed_stretches, by_chance
from gilx.sampling.source_files import short_path
from tests.unit.hold_sums import SLICE, sums, usage_of
from tests.unit.made_up_sites import collector, found, usage_with

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

TEXTS = {41: "row.tolist()", 50: "json.loads(line)"}


def test_sites_are_sorted_by_their_shares() -> None:
    usage = usage_with(found(20, line=50, end_line=50), found(380))
    assert [site.line for site in usage.sites] == [41, 50]
    assert [site.held.value for site in usage.sites] == [0.38, 0.02]
    for site in usage.sites:
        assert 0 < site.held.low < site.held.value < site.held.high < 1


def test_longest_hold_of_a_site_is_between_its_bounds() -> None:
    usage = usage_with(
        found(380, hold_low=34_000_000, hold_high=36_000_000), found(2, line=50)
    )
    first, second = usage.sites
    assert first.longest_hold.value == pytest.approx(0.035, rel=1e-3)
    assert first.longest_hold.interval == pytest.approx((0.034, 0.036))
    assert not second.longest_hold.known


@pytest.mark.parametrize(
    ("run", "hold_low", "mean", "expected"),
    [
        (2, 1_200_000, (1e-6, 3e-6), True),  # of 70 samples among 1000
        (2, 20_000_000, (1e-6, 3e-6), True),  # between which the sampler was late
        (20, 20_000_000, (1e-6, 3e-6), False),  # too many in a row
        (2, 1_200_000, (1e-6, 1.0), False),  # perhaps no hold ended meanwhile
        (1, 0, (1e-6, 3e-6), False),
    ],
)
def test_long_hold_of_a_site_may_be_short_ones_that_samples_found_by_chance(
    run: int, hold_low: int, mean: tuple[float, float], expected: bool
) -> None:
    holds = HoldBounds(
        least=1e-6,
        most=1.0,
        stretch=2e-3,
        run=2,
        mean=mean,
        samples=1000,
        resolution=1e-3,
        share=0.13,
    )
    longest = Stretch(hold_low, hold_low + 2_000_000, run)
    one = found(70, **{f"hold_{name}": x for name, x in longest._asdict().items()})
    (site,) = usage_with(one, held=130, free=870, holds=holds).sites
    assert by_chance(site.sums, sums(130, 870), longest, holds) == expected
    assert site.longest_hold.low == pytest.approx(0 if expected else hold_low / 1e9)
    assert site.longest_hold.high == pytest.approx((hold_low + 2_000_000) / 1e9)
    # Of other threads the words show nothing.
    elsewhere = one._replace(place=1)
    (site,) = usage_with(elsewhere, held=130, free=870, holds=holds).sites
    assert site.longest_hold.low == pytest.approx(hold_low / 1e9)


def test_long_hold_of_a_site_may_be_a_run_of_samples_in_no_order() -> None:
    high = 24 * SLICE
    # As of independent samples: one in five of the next ones is elsewhere.
    steps = 2 * 0.2 * 800.0 * SLICE**2
    chance = found(800, hold_low=22 * SLICE, hold_high=high, steps=steps)
    usage = usage_with(chance, held=800, free=200)
    (site,) = usage.sites
    assert site.longest_hold.interval == pytest.approx((0, high / 1e9))
    assert "  at most 24 ms  " in sites_text(usage)
    (site,) = usage_with(chance._replace(steps=2.0), held=800, free=200).sites
    assert site.longest_hold.low == pytest.approx(22 * SLICE / 1e9)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (1, "a thread without Python code"),
        (2, "unknown"),
        (3, "other lines (the tables were full)"),
        (4, "garbage collector"),
    ],
)
def test_holds_without_a_line_are_sites_with_plain_names(kind: int, place: str) -> None:
    nowhere = {"function": "", "file": "", "first_line": 0, "line": 0, "end_line": 0}
    usage = usage_with(
        found(400, kind=kind, **nowhere, column=-1, end_column=-1, place=-1)
    )
    (site,) = usage.sites
    assert (site.function, site.thread, site.place) == ("", "", place)
    assert f"\n  40 %  {place}\n" in str(usage)
    assert usage.main_line() == ("", "")


def test_site_knows_the_only_thread_that_held_there() -> None:
    usage = usage_with(found(10, place=1), found(5, line=7, place=-1))
    assert [site.thread for site in usage.sites] == ["worker", ""]


def test_names_and_files_are_kept_but_for_what_is_not_printable() -> None:
    usage = usage_with(found(10, function="f\x1b[31m\udcff", file="/a  b/\u202ec.py"))
    (site,) = usage.sites
    assert site.function == r"f\x1b[31m\udcff"
    assert site.file == r"/a  b/\u202ec.py"
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_text_is_one_line_of_at_most_80_characters() -> None:
    texts = {41: "f(\t'" + "x" * 100 + "')"}
    (site,) = usage_with(found(10), texts=texts).sites
    assert site.text == "f( 'xxxxx" + "x" * 68 + "..."
    assert len(site.text) == 80


def test_sites_in_json_and_back() -> None:
    usage = usage_with(
        found(380, below=3e6, hold_low=1, hold_high=9), found(20, line=50), texts=TEXTS
    )
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


@pytest.mark.parametrize(
    "change",
    [
        {"held": Estimate(0.5, 0.4, 0.6)},
        {"below": 0.9},
        {"sums": gilx.SiteSums(2000.0 * SLICE, 1.0, 1.0, 0.0)},
        {"sums": gilx.SiteSums(380.0 * SLICE, -1.0, 1.0, 0.0)},
    ],
)
def test_site_whose_shares_contradict_its_sums_is_refused(change: Any) -> None:
    usage = usage_with(found(380))
    wrong = replace(usage, sites=(replace(usage.sites[0], **change),))
    with pytest.raises(ArgumentError, match=r"text\.sites\[0\]: expected shares that"):
        gilx.GilUsage.from_json(wrong.to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"samples": -5},
        {"line": -3},
        {"end_line": -1},
        {"first_line": -4},
        {"column": -99},
        {"end_column": -7},
        {"longest_hold": Estimate(-1.0, -2.0, -0.5)},
        {"longest_hold": Estimate(1.0, 2.0, 0.5)},
    ],
)
def test_site_with_a_figure_that_makes_no_sense_is_refused(change: Any) -> None:
    usage = usage_with(found(380))
    wrong = replace(usage, sites=(replace(usage.sites[0], **change),))
    (name,) = change
    with pytest.raises(ArgumentError, match=rf"^text\.sites\[0\]\.{name}: expected a"):
        gilx.GilUsage.from_json(wrong.to_json())


def test_sites_that_hold_more_than_all_of_the_time_are_refused() -> None:
    usage = usage_with(found(380))
    wrong = replace(usage, sites=usage.sites * 3)
    with pytest.raises(ArgumentError, match=r"^text\.sites: expected .*, got 1\.14$"):
        gilx.GilUsage.from_json(wrong.to_json())
    whole = usage_with(*(found(100, line=n) for n in range(1, 11)), held=1000, free=0)
    assert gilx.GilUsage.from_json(whole.to_json()) == whole


def test_longest_hold_outside_its_bounds_is_refused() -> None:
    wrong = replace(usage_with(found(380)), longest_hold=Estimate(1.0, 2.0, 3.0))
    with pytest.raises(ArgumentError, match=r"^text\.longest_hold: expected a length"):
        gilx.GilUsage.from_json(wrong.to_json())


# ---- sums ---------------------------------------------------------------------------------


def test_sites_of_a_sum_are_those_of_one_watch_with_all_samples() -> None:
    parts = [
        usage_with(found(30), found(5, line=50), held=35, free=65, texts=TEXTS),
        usage_with(found(10, place=1), held=10, free=190),
    ]
    total = reduce(add, parts)
    whole = usage_with(
        found(40, steps=4.0 * SLICE**2, place=-1),
        found(5, line=50),
        held=45,
        free=255,
        texts=TEXTS,
    )
    assert total.sites == whole.sites
    assert total.sites[0].held.value == pytest.approx(40 / 300)


def test_the_longer_hold_of_a_site_stays_in_a_sum() -> None:
    short, long = (
        usage_with(found(10, hold_low=low, hold_high=low + 2)) for low in (8, 80)
    )
    for total in (short + long, long + short):
        assert total.sites[0].longest_hold == long.sites[0].longest_hold


def test_calls_on_one_line_are_sites_of_their_own() -> None:
    usage = usage_with(found(10), found(5, column=20, end_column=30))
    assert len((usage + usage).sites) == len(usage.sites) == 2


@pytest.mark.parametrize("seed", range(10))
def test_addition_of_sites_is_associative(seed: int) -> None:
    draw = Random(seed)

    def drawn() -> gilx.GilUsage:
        sites = [
            found(draw.randrange(1, 50), line=line, place=draw.randrange(-1, 2))
            for line in draw.sample(range(41, 47), 3)
        ]
        return usage_with(*sites)

    a, b, c = drawn(), drawn(), drawn()
    assert ((a + b) + c).sites == (a + (b + c)).sites


def test_reason_for_no_sites_stays_in_a_sum_only_if_both_have_it() -> None:
    without = usage_of(sums(40, 60), sites_missing="of reasons")
    assert (without + without).sites_missing == "of reasons"
    total = without + usage_with(found(10))
    assert total.sites_missing == ""
    assert len(total.sites) == 1


# ---- words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (380, ", nearly all of it in nowhere/features.py:41 `row.tolist()`\n"),
        (250, ", most of it in nowhere/features.py:41 `row.tolist()`\n"),
        (180, "about 400 ms\n"),
    ],
)
def test_sentence_names_the_line_that_holds_most(samples: int, words: str) -> None:
    rest = (380 - samples) // 2
    others = [found(rest, line=line) for line in (50, 51)] if rest else []
    usage = usage_with(found(samples), *others, texts=TEXTS)
    assert words in f"{usage.sentence()}\n"


def test_sentence_names_no_line_by_a_few_samples() -> None:
    assert usage_with(found(9), held=9, free=991).main_line() == ("", "")
    assert usage_with(found(10), held=10, free=990).main_line()[0] == "nearly all"


def test_sentence_of_a_call_counts_the_calling_thread_alone() -> None:
    usage = usage_with(found(100), found(300, place=1, line=50), texts=TEXTS)
    assert usage.main_line() == ("nearly all", "nowhere/features.py:41 `row.tolist()`")
    program = replace(usage, program="script.py")
    assert program.main_line() == ("most", "nowhere/features.py:50 `json.loads(line)`")
    assert "22.5" not in program.sentence()
    assert " of its 1 s, most of it in nowhere/features.py:50" in program.sentence()
    both = usage_with(found(100, place=-1), texts=TEXTS)
    assert both.main_line() == ("", "")


def test_sentence_does_not_name_the_line_of_gilx_that_makes_the_call() -> None:
    usage = usage_with(
        found(380, file=str(Path(gilx.__file__).parent / "sampling/probe.py"))
    )
    assert usage.main_line() == ("", "")


def rows_of(usage: gilx.GilUsage) -> list[str]:
    """Return the lines of the text from the advice on."""
    rows = str(usage).splitlines()
    return rows[next(n for n, row in enumerate(rows) if row.startswith("  Other thr")) :]


def test_text_shows_five_lines_and_the_sum_of_the_rest() -> None:
    sites = [found(50 - n, line=41 + n, end_line=41 + n) for n in range(8)]
    rows = rows_of(usage_with(*sites, texts={41: "f(" + "x" * 90 + ")"}))
    assert rows[1] == "  5.0 %  nowhere/features.py:41  f(" + "x" * 42 + "..."
    assert len(rows[1]) == 80
    assert rows[5] == "  4.6 %  nowhere/features.py:45 extract"
    assert rows[6] == "  3 more lines hold 13 %"
    assert rows[7].startswith("  thread main, GIL held, share of the time when no other ")
    rows = rows_of(usage_with(*sites[:6]))
    assert rows[6] == "  1 more line holds 4.5 %"


def test_line_of_one_late_sample_is_not_among_the_first() -> None:
    late = found(1, line=9)._replace(held=300 * SLICE, squares=300 * SLICE**2)
    rows = rows_of(usage_with(late, found(100)))
    assert rows[1].startswith("  10 %  nowhere/features.py:41")
    assert rows[2] == "  1 more line holds 30 %"
    assert rows_of(usage_with(late))[1].startswith("  30 %")


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (100, 100), (120, 100)])
def test_rows_fit_the_terminal_and_are_at_most_100_characters_wide(
    monkeypatch: pytest.MonkeyPatch, columns: int, widest: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    usage = usage_with(found(380, below=20.0 * SLICE), texts={41: "x" * 99})
    lines = rows_of(usage)[1:]
    assert len(lines[0]) == widest
    assert max(map(len, str(usage).splitlines())) == widest


def test_text_of_a_line_with_several_sites_is_that_of_the_main_one() -> None:
    loop = [found(n, line=9, column=n, end_column=99) for n in (10, 11, 12)]
    texts = {9: "x += i * i"}
    assert "  3.3 %  nowhere/features.py:9 extract  x += i * i\n" in str(
        usage_with(*loop, texts=texts)
    )


def test_share_of_lines_that_may_be_below_is_stated_above_one_percent() -> None:
    words = "a line called from these may have held the GIL"
    assert words not in str(usage_with(found(380, below=9.0 * SLICE)))
    assert f"  for 2.0 % of the time, {words}\n" in str(
        usage_with(found(380, below=20.0 * SLICE))
    )


def test_reason_for_no_sites_is_said() -> None:
    usage = usage_of(sums(40, 60), sites_missing="a reference watch reads no stacks")
    assert str(usage).endswith(
        "\n  lines: unknown, since a reference watch reads no stacks"
    )


def test_html_has_the_lines() -> None:
    page = usage_with(found(380), texts={41: "a < b"})._repr_html_()
    assert ">38 %  nowhere/features.py:41 extract  a &lt; b</td>" in page


def test_paths_are_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path))
    assert short_path(f"{tmp_path}/src/features.py") == "src/features.py"
    assert short_path("/usr/lib/python3/json/decoder.py") == "json/decoder.py"
    assert short_path(os.__file__) == "os.py"
    packages = tmp_path / "venv/lib/python3.13/site-packages"
    assert short_path(f"{packages}/pandas/core/sorting.py") == "pandas/core/sorting.py"
    assert short_path("/usr/lib/python3/dist-packages/yaml/nodes.py") == "yaml/nodes.py"
    assert short_path("/x.py") == "/x.py"
    assert short_path("<string>") == "<string>"
    assert short_path("<ipython-input-4-ed0f0fc415e1>") == "Cell In[4]"

    def gone() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", gone)
    assert short_path(f"{tmp_path}/src/features.py") == "src/features.py"


# ---- tables -------------------------------------------------------------------------------


def test_table_has_every_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    library = f"/{'long/' * 30}site-packages/fast/quick.so"
    usage = usage_with(
        found(380, hold_low=34_000_000, hold_high=36_000_000),
        *(found(1, line=n, end_line=n, place=-1) for n in range(1, 9)),
        texts=TEXTS,
    )
    usage = replace(
        usage, sites=(replace(usage.sites[0], library=library), *usage.sites[1:])
    )
    assert sites_text(usage).splitlines()[:5] == [
        " held            95 %  longest hold  samples  thread",
        " 38 %    38 % to 38 %         35 ms      380  main",
        "  nowhere/features.py:41 extract  row.tolist() [fast/quick.so]",
        "0.1 %  0.0 % to 0.6 %             -        1  several",
        "  nowhere/features.py:1 extract",
    ]
    assert len(sites_text(usage).splitlines()) == 1 + 9 * 2
    assert sites_text(usage_with()) == "No place in the code was found to hold the GIL."


@pytest.mark.parametrize("columns", [80, 120])
def test_table_with_names_of_any_length_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    long = found(
        100, function="f" * 10_000, file=f"/{'b' * 10_000}/\x1b[31m{'c' * 10_000}.py"
    )
    usage = usage_with(found(200, line=50), long, texts={41: "x" * 500})
    sites = [replace(site, thread="t" * 10_000) for site in usage.sites]
    usage = replace(usage, sites=tuple(sites))
    lines = sites_text(usage).splitlines()
    assert max(map(len, lines)) <= columns
    assert "ccc.py:41" in "".join(lines)
    assert "\x1b" not in "".join(lines)
    text = usage.to_json()
    for whole in ("f" * 10_000, "b" * 10_000, "c" * 10_000, "t" * 10_000):
        assert whole in text


def test_table_of_a_watch_without_stacks_says_why_it_has_none() -> None:
    usage = usage_of(sums(40, 60), sites_missing="a reference watch reads no stacks")
    assert sites_text(usage) == (
        "Where the GIL was held is unknown, since a reference watch reads no stacks."
    )


@pytest.mark.parametrize("verbose", [False, True])
def test_probe_lists_all_sites_if_asked(
    verbose: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = usage_with(found(380), texts=TEXTS)
    monkeypatch.setattr("gilx.cli.probe.probe", lambda *_, **__: usage)
    arguments = ["probe", "time:sleep", "0", *["--verbose"] * verbose]
    assert cli.main(arguments) == 0
    text = f"{usage.details()}\n\n{sites_text(usage)}" if verbose else str(usage)
    assert capsys.readouterr().out == f"{text}\n"
    assert cli.main([*arguments, "--json", "-"]) == 0
    assert capsys.readouterr().out == f"{usage.to_json()}\n"


@pytest.mark.parametrize(("share", "believed"), [(0.8, False), (0.02, True)])
def test_stretch_that_chance_makes_is_no_lower_bound(
    share: float,
    believed: bool,
) -> None:
    watch = usage_with(found(380)).sums  # 1000 samples
    held = share * watch.stacks
    # As of independent samples: one in 1 - share of the next ones is elsewhere.
    site = held, held * SLICE, 2 * (1 - share) * held * SLICE
    longest = Stretch(22 * SLICE, 24 * SLICE, 23), Stretch(20 * SLICE, 23 * SLICE, 21)
    found_so = believed_stretches([(*one, *site) for one in longest], watch)
    assert found_so == ([*longest] if believed else [Stretch(0, 24 * SLICE, 0)])


def test_sum_keeps_both_sites_of_code_that_was_compiled_twice() -> None:
    twice, once = usage_with(found(100), found(50)), usage_with(found(10))
    for total in (twice + once, once + twice):
        (site,) = total.sites
        assert site.samples == 160
        assert site.sums.held == 160.0 * SLICE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("print('a  b',   c)", "print('a  b',   c)"),
        ("f(1,\t2)", "f(1, 2)"),
        ("f(1,\n    2)", "f(1, 2)"),
        ("f('\x1b[m\xa0')", r"f('\x1b[m\xa0')"),
    ],
)
def test_source_text_keeps_its_spaces(text: str, shown: str) -> None:
    usage = usage_with(found(380), texts={41: text})
    assert usage.sites[0].text == shown
    for page in (str(usage), sites_text(usage)):
        assert shown in page
    assert f"{html.escape(shown)}</td>" in usage._repr_html_()


def test_waiting_that_sites_cause_adds_up() -> None:
    """Two threads wait while one line holds the GIL, and one thread while another does."""

    def waiting(samples: int, waiters: int) -> dict[str, float]:
        weight = float(waiters * SLICE)
        return {
            "waited": samples * weight,
            "waited_squares": samples * weight**2,
            "waited_steps": 2 * weight**2,
        }

    many = found(200, **waiting(200, 2))
    few = found(200, line=50, **waiting(200, 1))
    free = found(0, line=60)
    total = 600.0
    waiters = Ratio(
        *(total * SLICE, 1000.0 * SLICE, 1000.0 * SLICE**2, total * SLICE**2),
        *(1000.0 * SLICE**2, 6.0 * SLICE**2, 0.0, 0.0),
    )
    changes: Any = {"waiters": waiters, "most_waiters": 2.0}
    usage = usage_with(many, few, free, sums_changes=changes)
    caused = [site.waiting_caused for site in usage.sites]
    assert [one.value for one in caused] == pytest.approx([0.4, 0.2, 0.0])
    assert usage.waited.value == pytest.approx(0.6)
    for one in (*caused, usage.waited):
        assert one.low <= one.value < one.high
    assert "threads waited 600 ms for the GIL, all together, 400 ms of it while" in str(
        usage
    )
    head, *rows = sites_text(usage).splitlines()
    assert head.split("  ")[-2:] == ["waiting caused", "thread"]
    assert [row[-13:] for row in rows[::2]] == [
        " 400 ms  main",
        " 200 ms  main",
        "   0 ns  main",
    ]
    assert gilx.GilUsage.from_json(usage.to_json()) == usage
    both = usage + usage
    assert both.waited.value == pytest.approx(1.2)
    assert both.sites[0].waiting_caused.value == pytest.approx(0.8)
    assert both.sites[0].waiting_caused.high - both.sites[0].waiting_caused.value < (
        2 * (usage.sites[0].waiting_caused.high - 0.4)
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (1, "all together"),
        (2, "all together"),
        (4, "while the garbage collector held it"),
    ],
)
def test_waiting_names_the_collector_and_no_unknown_place(kind: int, words: str) -> None:
    one = collector(200, kind=kind, waited=200.0 * SLICE, waited_squares=200.0 * SLICE**2)
    whole = 400.0 * SLICE
    waiters = Ratio(
        *(whole, 1000.0 * SLICE, 400.0 * SLICE**2, 400.0 * SLICE**2),
        *(1000.0 * SLICE**2, 2.0 * SLICE**2, 0.0, 0.0),
    )
    changes: Any = {"waiters": waiters, "most_waiters": 1.0}
    text = " ".join(str(usage_with(one, sums_changes=changes)).split())
    assert f"{words} " in text
    assert "while unknown" not in text


def test_waiting_is_unknown_if_waiting_threads_are_not_counted() -> None:
    changes: Any = {"waiters": Ratio(*[0.0] * 8)}
    usage = usage_with(found(400), sums_changes=changes)
    assert not usage.waited.known
    assert not usage.sites[0].waiting_caused.known
    assert "waited" not in str(usage)
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_more_waiting_than_threads_could_do_is_refused() -> None:
    usage = json.loads(usage_with(found(400)).to_json())
    usage["sites"][0]["sums"]["waited"] = 1.0
    with pytest.raises(ArgumentError, match=r"text\.sites\[0\]: expected shares that"):
        gilx.GilUsage.from_json(json.dumps(usage))
