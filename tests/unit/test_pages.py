"""Pages: structure, figures, words, colours, and hostile names."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import sys
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from gilx.demo.demo_record import Demo
from gilx.errors import MissingExtraError
from gilx.estimate import Estimate
from gilx.rendering import html_page
from gilx.rendering.html_page import Document, plain
from gilx.rendering.timeline_page import document_of, lanes_table
from gilx.rendering.vega_library import library
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.source_text import SourceTexts
from gilx.sampling.stacks import HeldStack, StackFrame, Stacks
from gilx.sampling.timeline import Lane, Span, Timeline
from gilx.sampling.waiting_sites import waiting_sites_of
from tests.demo_records import demo_record
from tests.made_up_rows import ROW, changed
from tests.page_parser import Page
from tests.unit.hold_sums import sums, usage_of
from tests.unit.made_up_sites import found, usage_with
from tests.unit.test_report import REPORT
from tests.unit.test_timeline import TIMELINE
from tests.unit.test_waiting_sites import found as wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilx.speedup.report import Report


pytestmark = pytest.mark.any_python


HARMFUL = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt; &amp;",
    "$ink",
    "{title}",
    "turned \u202e round, \x1b[31m, \0 and \udc80",
]


def told() -> Demo:
    """Every chapter, with lanes."""
    first = demo_record()
    assert first.pure is not None
    assert first.extension is not None
    return demo_record(
        pure=replace(first.pure, lanes=TIMELINE),
        extension=replace(first.extension, lanes_held=TIMELINE, lanes_released=TIMELINE),
    )


def report(*names: str) -> Report:
    """A curve, points that lack this or that, and a row for each name."""
    even = Estimate(1.0, 0.99, 1.01)
    rows = [
        changed(ROW, workers=1, speedup=even, ceiling=even),
        ROW,
        changed(ROW, workers=4, speedup=Estimate(1.1, 0, math.inf)),
        changed(ROW, pool="processes", ceiling=Estimate.unknown()),
        changed(ROW, pool="interpreters", speedup=Estimate.unknown()),
        *(changed(ROW, target=name) for name in names),
    ]
    return replace(REPORT, rows=tuple(rows))


def timeline(*names: str) -> Timeline:
    lanes = [Lane(name, None, (Span(0.0, 0.07, "holding"),)) for name in names]
    return replace(TIMELINE, lanes=(*TIMELINE.lanes, *lanes))


def places(name: str = "extract") -> Document:
    usage = usage_with(found(9, function=name), texts={41: f"{name}(row)"})
    frames = (StackFrame(name, "", 0), StackFrame("inner", "/x/y.py", 7))
    held = HeldStack(name, 1, (0,), 0.5), HeldStack(name, 1, (0, 1), 0.25)
    waits = waiting_sites_of([wait(9, 1, function=name)], usage.sums, SourceTexts(0.0))
    usage = replace(usage, waiting_sites=waits)
    return document_of(TIMELINE, "It holds", usage, Stacks(frames, held, 1.0, 0.125))


PAGES: dict[str, Callable[[], str]] = {
    "demo": lambda: told().to_html(),
    "report": lambda: report().to_html(),
    "timeline": TIMELINE.to_html,
    "places": lambda: places().html(),
}


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the library, so that these tests run where it is not installed."""
    monkeypatch.setattr(html_page, "library", lambda: "var vegaEmbed;")


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, no_library: None) -> Page:  # noqa: ARG001
    return Page(PAGES[request.param]())


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def test_what_people_and_screen_readers_need(page: Page) -> None:
    assert page.text.startswith("<!doctype html>\n")
    assert page.elements[0] == ("html", {"lang": "en"})
    for one in ("title", "header", "main", "footer", "h1"):
        assert page.tags(one) == [one]
    assert "width=device-width, initial-scale=1" in page.values("content")
    # The first thing that the keyboard reaches leads past all else.
    links = [each for tag, each in page.elements if tag == "a"]
    assert links[0] == {"class": "skip", "href": "#main"}
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    for link in links:
        assert str(link["href"]).removeprefix("#") in ids
    for name in (*page.values("aria-labelledby"), *page.values("aria-describedby")):
        assert name in ids


def test_every_figure_has_a_caption_and_a_table(page: Page) -> None:
    sections = page.text.split("<section")[1:]
    with_figures = [section for section in sections if "<figure" in section]
    assert with_figures
    for section in with_figures:
        assert "<table>" in section
    assert len(page.tags("figure")) == len(page.tags("figcaption")) == len(page.figures())
    assert len(page.tags("table")) == len(page.tags("caption"))
    # What scrolls by itself, or zooms, can be reached.
    for _, attributes in page.elements:
        if attributes.get("class") in ("wide", "chart zooms"):
            assert attributes["tabindex"] == "0"
    zooming = [one for one in page.figures() if one["whole"] is not None]
    assert len(page.tags("button")) == 5 * len(zooming)
    for figure in zooming:
        assert figure["spec"]["params"] == [{"name": "shown", "value": figure["whole"]}]


def test_the_demo_has_its_chapters(no_library: None) -> None:  # noqa: ARG001
    whole = told()
    page = Page(whole.to_html())
    assert page.tags("h2") == ["h2"] * 9
    for number, _, chapter in whole.chapters():
        assert f"{number}. {chapter.title}" in page.words
        for words in (*chapter.sentences(), *chapter.missing, chapter.depends):
            assert words.replace("`", "") in page.words
    assert "Recommendations" in page.words
    # Six pictures of bars, three of lanes.
    assert [one["whole"] is not None for one in page.figures()].count(True) == 3
    assert len(page.figures()) == 9
    part = Page(replace(whole, lock=None).to_html())
    assert part.tags("h2") == ["h2"] * 7
    assert "Recommendations" not in part.words


def test_bars_that_are_not_known_are_not_drawn(no_library: None) -> None:  # noqa: ARG001
    libraries = Page(told().to_html()).figures()[5]
    bars, intervals, names = libraries["spec"]["layer"]
    assert [row["value"] for row in bars["data"]["values"]] == [0.1, 100.0]
    assert len(intervals["data"]["values"]) == 2
    labels = [row["label"] for row in names["data"]["values"]]
    assert labels == ["NumPy sort: 0.10", "NumPy tolist: 100", "NumPy x: unknown"]


def test_where_all_bars_are_nothing_there_is_an_axis(no_library: None) -> None:  # noqa: ARG001
    lock = told().lock
    assert lock is not None
    none = tuple(replace(one, kept=one.made) for one in lock.additions)
    page = (
        Page(told().to_html()),
        Page(replace(told(), lock=replace(lock, additions=none)).to_html()),
    )
    domains = [
        each.figures()[2]["spec"]["layer"][0]["encoding"]["x"]["scale"]["domain"]
        for each in page
    ]
    assert domains == [[0, 49], [0, 1]]


def test_curves(no_library: None) -> None:  # noqa: ARG001
    (figure,) = Page(report().to_html()).figures()
    layers = figure["spec"]["layer"]
    ideal, points = layers[0]["data"]["values"], layers[-1]["data"]["values"]
    assert ideal == [{"x": 1, "y": 1}, {"x": 4, "y": 4}]
    # The row without a speedup has no point, that without an interval an empty one.
    assert [(one["workers"], one["value"]) for one in points] == [
        (1, 1.0),
        (2, 1.05),
        (4, 1.1),
        (2, 1.05),
    ]
    assert [one["high"] for one in points] == [1.01, 1.06, None, 1.06]
    assert points[-1]["ceiling"] is None


def test_lanes(no_library: None) -> None:  # noqa: ARG001
    (figure,) = Page(TIMELINE.to_html()).figures()
    spans, names = (layer["data"]["values"] for layer in figure["spec"]["layer"])
    assert figure["whole"] == [0, pytest.approx(70)]
    assert figure["unit"] == "ms"
    assert [one["name"] for one in names] == ["main", "free", "unknown"]
    assert len(spans) == 9
    assert spans[0] == {
        "lane": 0,
        "name": "main",
        "begin": 0,
        "end": 25,
        "state": "holding the GIL",
    }
    table = lanes_table(TIMELINE, "shares")
    assert table.rows[0] == ("main", "36 %", "29 %", "36 %", "25 ms")
    cut = replace(TIMELINE, since=0.01)
    assert "earlier samples did not fit" in cut.to_html()


def test_page_without_a_gil_has_no_words_on_one() -> None:
    spans = (Span(0.0, 0.02, "waiting_lock"), Span(0.02, 0.07, "unknown"))
    lanes = replace(TIMELINE, lanes=(Lane("main", 1, spans),))
    table = lanes_table(lanes, "shares")
    assert table.head == ("thread", "waiting for a lock", "in an unknown state")
    assert [len(row) for row in table.rows] == [3]
    assert table.right == (1, 2)
    nothing = Ratio(*(0.0,) * 8)
    usage = usage_of(sums(0, 100, own=nothing, locked=nothing), by_thread=())
    missing = replace(usage, sites_missing="none can be read")
    _, section = document_of(lanes, usage=missing).sections
    words = "Where threads waited is unknown, since none can be read."
    assert section.blocks == (html_page.Text(words),)
    assert "GIL" not in str(document_of(lanes, usage=missing))


def test_places_lead_the_rows_of_their_table() -> None:
    _, section, *_ = places().sections
    (table,) = section.blocks
    assert isinstance(table, html_page.Table)
    assert table.head[:2] == ("place", "source text")
    assert table.rows[0][0].endswith(":41")
    assert table.right == (2, 3, 4, 5)


def test_many_places_are_folded() -> None:
    usage = usage_with(*(found(1, line=line, end_line=line) for line in range(1, 31)))
    _, section = document_of(TIMELINE, usage=usage).sections
    table, folded = section.blocks
    assert isinstance(table, html_page.Table)
    assert isinstance(folded, html_page.Folded)
    assert folded.title == "20 more places"
    places = [row[0] for row in (*table.rows, *folded.table.rows)]
    assert len(set(places)) == len(places) == 30


def test_page_shows_where_threads_waited() -> None:
    _, _, section, _ = places().sections
    assert section.title == "Where threads waited"
    (table,) = section.blocks
    assert isinstance(table, html_page.Table)
    assert [row[0] for row in table.rows] == ["nowhere/queues.py:41"]


def test_page_says_why_places_are_not_known() -> None:
    usage = replace(usage_with(), sites_missing="none can be read")
    _, section = document_of(TIMELINE, usage=usage).sections
    words = "Where the GIL was held is unknown, since none can be read."
    assert section.blocks == (html_page.Text(words),)


def test_a_watch_of_which_nothing_is_known(no_library: None) -> None:  # noqa: ARG001
    for empty in (Timeline((), 0.0, 0.0), Timeline((Lane("a", None, ()),), 1.0, 0.5)):
        assert len(Page(empty.to_html()).figures()) == 1


def test_a_demo_keeps_its_lanes() -> None:
    whole = told()
    again = Demo.from_json(whole.to_json())
    assert again.pure == whole.pure
    assert again.extension is not None
    assert [name for name, _ in again.extension.timelines()] == [
        "C that holds it, in threads",
        "C that releases it, in threads",
    ]


def test_the_policy_allows_the_pages_own_scripts_and_style_only(page: Page) -> None:
    (policy,) = (
        each["content"] for _, each in page.elements if each.get("http-equiv") is not None
    )
    # It comes before all that it is about.
    assert page.text.index("http-equiv") < page.text.index("<style")
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for tag, kind, text in page.raw:
        if kind is None:
            digest = hashlib.sha256(text.encode()).digest()
            hashes[tag].append(f"'sha256-{base64.b64encode(digest).decode()}'")
    assert policy == (
        f"default-src 'none'; script-src {' '.join(hashes['script'])}; style-src"
        f" {' '.join(hashes['style'])}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert len(hashes["script"]) == 2
    assert len(hashes["style"]) == 1


def test_nothing_comes_from_elsewhere(page: Page) -> None:
    for name in ("src", "srcset", "action", "data", "poster", "style"):
        assert page.values(name) == []
    for where in page.values("href"):
        assert where == "data:," or where.startswith("#")
    assert not [name for _, each in page.elements for name in each if name[:2] == "on"]
    assert "http:" not in page.text
    assert "https:" not in page.text
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_colours_can_be_told_from_the_paper() -> None:
    """Contrasts as WCAG 2.2 wants them: 4.5 for text, 3 for what is drawn."""
    css = files("gilx.rendering").joinpath("page.css").read_text()
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )
    assert light.keys() == dark.keys()
    faint = {
        "paper",
        "line",
        "grid",
        "shade",
        "waiting",
        "system_call",
        "unknown",
    }  # what is not looked for
    for colours in (light, dark):
        for name in colours.keys() - faint:
            least = 4.5 if name in ("ink", "faint", "link") else 3
            assert contrast(colours[name], colours["paper"]) >= least, name
        for name in ("flame", "waiting"):  # names of calls and threads are on these
            assert contrast(colours["ink"], colours[name]) >= 4.5, name
        # On the bars, too.
        assert contrast(colours["ink"], colours["bar"]) >= 2


def contrast(one: str, other: str) -> float:
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_no_name_is_more_than_text(no_library: None) -> None:  # noqa: ARG001
    plainly = Page(report(*"abcdefgh").to_html()), Page(timeline(*"abcdefgh").to_html())
    harmed = Page(report(*HARMFUL).to_html()), Page(timeline(*HARMFUL).to_html())
    for before, after in zip(plainly, harmed, strict=True):
        tags = [tag for tag, _ in before.elements]
        assert [tag for tag, _ in after.elements] == tags
        after.text.encode()
        found = list(strings(after.figures()))
        for name in HARMFUL:
            assert plain(name) in after.words
            assert any(text.startswith(plain(name)) for text in found)
        assert not re.search("[\u202e\x1b\0]", after.text)
        # A colour's name means one in the picture only, never in its data.
        for figure in after.figures():
            for layer in figure["spec"]["layer"]:
                rest = {key: value for key, value in layer.items() if key != "data"}
                assert not set(strings(rest)) & set(HARMFUL[:5])


@pytest.mark.parametrize("name", HARMFUL)
def test_no_name_of_a_call_is_more_than_text(name: str, no_library: None) -> None:  # noqa: ARG001
    before, after = Page(places().html()), Page(places(name).html())
    assert [tag for tag, _ in after.elements] == [tag for tag, _ in before.elements]
    assert after.words.count(plain(name)) >= 3  # site, thread and call
    assert plain(name) in strings(after.figures())


def test_text_that_hides_something_is_shown() -> None:
    assert plain("a\u202eb\n\0\udc80\u00e9") == "a\\u202eb\\n\\x00\\udc80\u00e9"


def test_every_picture_is_one_that_vega_lite_takes() -> None:
    convert = pytest.importorskip("vl_convert")
    for make in PAGES.values():
        for figure in Page(make()).figures():
            # Colours have their names: to a compiler they are but texts.
            vega = convert.vegalite_to_vega(json.dumps(figure["spec"]))
            assert vega["marks"]


def test_the_real_library_is_in_the_page() -> None:
    pytest.importorskip("vl_convert")
    page = Page(TIMELINE.to_html())
    scripts = [text for tag, kind, text in page.raw if tag == "script" and kind is None]
    assert "vegaEmbed" in scripts[0]
    assert 500_000 < len(page.text) < 2_000_000


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_without_the_library(
    make: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gilx\[html\]'"):
        make()
