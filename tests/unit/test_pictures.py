"""Pictures: specifications, PNG and SVG files, notebooks, words and hostile names."""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
import zlib
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gilx.errors import ArgumentError, MissingExtraError
from gilx.estimate import Estimate
from gilx.rendering import picture as picture_module
from gilx.rendering.bar_chart import bars_picture
from gilx.rendering.html_page import plain
from gilx.rendering.timeline_chart import picture_of
from gilx.sampling.cluster_usage import ClusterUsage
from gilx.sampling.thread_states import STATES
from gilx.sampling.timeline import Lane, Span, Timeline
from tests.demo_records import demo_record
from tests.made_up_rows import ROW, changed
from tests.markers import needs
from tests.unit.test_pages import HARMFUL, report, timeline
from tests.unit.test_report import REPORT
from tests.unit.test_timeline import TIMELINE
from tests.unit.test_usage import USAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gilx.rendering.picture import Picture

pytestmark = pytest.mark.any_python

draws = needs("vl_convert")

LINE, BAR, HOLDING, WAITING = "#0072b2", "#4c78a8", "#c0392b", "#c3cad1"
IDEAL, PAPER = "#767d86", "#ffffff"
OTHER_STATES = "#1f8f4e", "#c76f0a", "#8467c0", "#3d87c9", "#ebedf0"


def bars(number: int) -> Picture:
    chapter = demo_record().chapters()[number - 1][2]
    chart = chapter.picture()
    assert chart is not None
    return bars_picture(chart, f"{number}. {chapter.title}")


def every_state() -> Lane:
    """Return a lane of a second in each state."""
    spans = (Span(float(at), at + 1.0, state) for at, state in enumerate(STATES))
    return Lane("main", 7, tuple(spans))


PICTURES: dict[str, Callable[[], Picture]] = {
    "report": lambda: report().plot(),
    "usage": USAGE.plot,
    "cluster": lambda: ClusterUsage.of(
        {
            "a": replace(USAGE, program="worker a"),
            "b": replace(USAGE, program="worker b"),
        },
        (),
    ).plot(),
    "timeline": TIMELINE.plot,
    "timeline of all states": lambda: Timeline((every_state(),), 7.0, 0.0).plot(),
    **{f"chapter {number}": partial(bars, number) for number in range(1, 7)},
}
EMPTY: dict[str, Callable[[], Picture]] = {
    "report without a speedup": lambda: replace(
        REPORT, rows=(changed(ROW, speedup=Estimate.unknown()),)
    ).plot(),
    "timeline without lanes": Timeline((), 0.0, 0.0).plot,
    "lane without spans": Timeline((Lane("a", None, ()),), 1.0, 0.5).plot,
    "cluster without workers": ClusterUsage.of({}, ()).plot,
    "usage without threads": replace(USAGE, by_thread=()).plot,
}


def svg_of(picture: Picture, directory: Path) -> ElementTree.Element:
    path = directory / "x.svg"
    picture.save(path)
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def words_of(svg: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in svg.iter() if each.tag.endswith("}text")]


def colours_of(png: bytes) -> Counter[str]:
    """Return the colours of a PNG file of 8-bit RGBA and how many pixels have each."""
    width, height, *kind = struct.unpack(">IIBBBBB", png[16:29])
    assert (kind, png[37:41]) == ([8, 6, 0, 0, 0], b"IDAT")
    data = np.frombuffer(zlib.decompressobj().decompress(png[41:]), np.uint8)
    rows = data.reshape(height, 1 + 4 * width)
    assert set(rows[:, 0]) == {1}  # each pixel is the difference to its left neighbour
    pixels = rows[:, 1:].reshape(height, width, 4).cumsum(axis=1, dtype=np.uint8)
    return Counter(f"#{pixel[:3].tobytes().hex()}" for pixel in pixels.reshape(-1, 4))


@draws
@pytest.mark.parametrize("make", [*PICTURES.values(), *EMPTY.values()])
def test_specification_compiles_without_warnings(
    make: Callable[[], Picture], capfd: pytest.CaptureFixture[str]
) -> None:
    convert = pytest.importorskip("vl_convert").vegalite_to_vega
    spec = make().spec
    convert(json.dumps(spec, allow_nan=False), show_warnings=True)
    assert capfd.readouterr() == ("", "")
    convert(
        {**spec, "layer": [{"mark": "bar", "encoding": {"x9": {}}}]}, show_warnings=True
    )
    assert "x9-encoding is dropped" in "".join(capfd.readouterr())


@draws
@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("report", {LINE, IDEAL}),
        ("usage", {HOLDING, WAITING}),
        ("timeline of all states", {HOLDING, WAITING, *OTHER_STATES}),
        ("chapter 1", {BAR, "#c2410c", IDEAL}),
    ],
)
def test_png_has_the_colours_of_what_it_shows(
    name: str, colours: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PICTURES[name]().save(tmp_path / "x.png")
    large = (tmp_path / "x.png").read_bytes()
    assert large.startswith(b"\x89PNG")
    monkeypatch.setattr(picture_module, "_SCALE", 1)
    PICTURES[name]().save(tmp_path / "x.png")
    small = (tmp_path / "x.png").read_bytes()
    width, height = struct.unpack(">II", small[16:24])
    assert 660 <= width <= 720
    assert height >= 160
    assert struct.unpack(">II", large[16:24]) == (2 * width, 2 * height)
    found = colours_of(small)
    assert found.most_common(1)[0][0] == PAPER
    assert all(found[colour] > 20 for colour in colours)


@draws
@pytest.mark.parametrize("name", EMPTY)
def test_picture_of_a_record_without_figures(name: str, tmp_path: Path) -> None:
    EMPTY[name]().save(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000


@draws
def test_svg_has_every_name_and_the_words_around_it(tmp_path: Path) -> None:
    words = words_of(svg_of(report().plot(), tmp_path))
    assert {"f, threads", "f, processes"} <= {*words}
    assert {"workers", "speedup (serial time / parallel time)", "1", "2", "4"} <= {*words}
    assert REPORT.environment.summary() in words
    assert any(
        one.startswith("Speedup against workers. Bars: intervals") for one in words
    )
    words = words_of(svg_of(USAGE.plot(), tmp_path))
    assert {"<Main>: 4.0 %", "unknown: 46 %", "nobody: 50 %"} <= {*words}
    # It may be on two lines.
    assert USAGE.sentence().replace(" ", "") in "".join(words).replace(" ", "")
    words = words_of(svg_of(TIMELINE.plot(), tmp_path))
    assert {"main", "free", "unknown", "time (ms)", "holding the GIL"} <= {*words}
    words = words_of(svg_of(bars(5), tmp_path))
    assert {"NumPy sort: 0.10", "NumPy x: unknown", "interval at 95 %"} <= {*words}


@draws
def test_names_that_look_like_markup_stay_text(tmp_path: Path) -> None:
    for record, name_of in (
        (report(*HARMFUL), "{}, threads"),
        (timeline(*HARMFUL), "{}"),
    ):
        svg = svg_of(record.plot(), tmp_path)
        words = words_of(svg)
        for name in HARMFUL:
            assert name_of.format(plain(name)) in words
        tags = {each.tag.partition("}")[2] for each in svg.iter()}
        assert tags <= {
            "svg",
            "g",
            "rect",
            "path",
            "line",
            "text",
            "tspan",
            "defs",
            "clipPath",
        }
        attributes = {name for each in svg.iter() for name in each.attrib}
        assert not [
            name for name in attributes if name.startswith("on") or "href" in name
        ]
    finding = f"{HARMFUL[0]} held the GIL; $ink"
    assert finding in words_of(svg_of(picture_of(TIMELINE, finding), tmp_path))


@draws
def test_point_without_an_interval_is_hollow(tmp_path: Path) -> None:
    def points(*speedups: Estimate) -> list[tuple[str | None, str | None]]:
        rows = [
            changed(ROW, workers=2 + n, speedup=one) for n, one in enumerate(speedups)
        ]
        svg = svg_of(replace(REPORT, rows=tuple(rows)).plot(), tmp_path)
        return [
            (mark.get("fill"), mark.get("stroke"))
            for group in svg.iter()
            if "mark-symbol role-mark" in group.get("class", "")
            for mark in group
        ]

    known, unknown = Estimate(1.5, 1.4, 1.6), Estimate(1.5, 0, math.inf)
    assert points(known, unknown) == [(LINE, LINE), (PAPER, LINE)]
    assert points(known, known) == [(LINE, LINE)] * 2


@draws
def test_lines_of_a_report(tmp_path: Path) -> None:
    svg = svg_of(report().plot(), tmp_path)
    lines = Counter(
        (mark.get("stroke"), mark.get("stroke-dasharray") or None)
        for mark in svg.iter()
        if mark.get("stroke-width") in ("1.5", "2") and mark.get("fill") is None
    )
    assert lines[IDEAL, None] == 1
    assert lines[IDEAL, "2,3"] == 1  # two usable CPUs, four workers
    assert lines[LINE, "6,4"] >= 1  # the ceiling, in its line's colour
    assert lines[LINE, None] >= 2  # the speedups and their intervals
    assert "2 usable CPUs" in report().plot().spec["description"]


@draws
def test_picture_says_in_words_what_it_shows(tmp_path: Path) -> None:
    svg = svg_of(USAGE.plot(), tmp_path)
    words = (
        f"{USAGE.sentence()}. Time holding the GIL:"
        " <Main>: 4.0 %; unknown: 46 %; nobody: 50 %."
    )
    assert (svg.get("role"), svg.get("aria-label")) == ("img", words)
    data, metadata = USAGE.plot()._repr_mimebundle_(include=None, exclude=None)
    png = base64.b64decode(data["image/png"])
    assert png.startswith(b"\x89PNG")
    size = metadata["image/png"]
    assert size.pop("alt") == words
    assert struct.unpack(">II", png[16:24]) == (
        2 * int(str(size["width"])),
        2 * int(str(size["height"])),
    )


@draws
def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pdf").write_text("kept")
    for name in ("x.pdf", "x", "x.png.gz"):
        with pytest.raises(ArgumentError, match=r"^path: expected a name that ends with"):
            USAGE.plot().save(tmp_path / name)
    assert [each.name for each in tmp_path.iterdir()] == ["x.pdf"]
    assert (tmp_path / "x.pdf").read_text() == "kept"
    USAGE.plot().save(str(tmp_path / "X.PNG"))
    assert (tmp_path / "X.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "record", [REPORT, USAGE, TIMELINE], ids=["report", "usage", "timeline"]
)
def test_picture_without_the_extra(record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gilx\[plot\]'"):
        record.plot()
