"""Pages in Chromium: they draw, zoom and answer, and ask the network for nothing."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from atlas.page import table
from atlas.results import Result

from gilx.rendering.html_page import plain
from tests.audit_records import audit, line
from tests.docs.pages import ROOT
from tests.unit.test_pages import HARMFUL, PAGES, places, report, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("vl_convert", reason="needs the extra html")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.any_python,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]

PATIENCE = 60_000  # ms: only a broken page needs them


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            # Root has no sandbox; what is opened is ours.
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page, and two with names that would do harm."""
    directory = tmp_path_factory.mktemp("pages")
    made = {name: make() for name, make in PAGES.items()}
    made["harmful report"] = report(*HARMFUL).to_html()
    made["harmful timeline"] = timeline(*HARMFUL).to_html()
    made["harmful calls"] = places(HARMFUL[0]).html()
    paths = {}
    for name, text in made.items():
        paths[name] = directory / f"{name}.html"
        paths[name].write_text(text, encoding="utf-8")
    return paths


@contextmanager
def opened(
    chromium: Any,
    path: Path,
    width: int = 1280,
    scheme: str = "light",
    *,
    quiet: bool = True,
    **options: Any,
) -> Iterator[Any]:
    """A page when all of it is drawn. It must not complain, nor ask for anything."""
    said: list[str] = []
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, **options
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: said.append(f"request: {request.url}"))
    page.goto(path.as_uri())
    assert said.pop(0) == f"request: {path.as_uri()}"
    if options.get("java_script_enabled", True):
        wait_until_drawn(page, scheme)
    yield page
    if quiet:
        assert said == []
    context.close()


def wait_until_drawn(page: Any, scheme: str) -> None:
    # No functions that are waited for: the policy lets the page evaluate none.
    others = page.locator(f'figure:not([data-drawn="{scheme}"])')
    playwright.expect(others).to_have_count(0, timeout=PATIENCE)


def shown(page: Any) -> list[float]:
    """Return the visible part of the first picture that zooms, in milliseconds."""
    found = re.fullmatch(r"([\d.]+) to ([\d.]+) ms", page.text_content("output"))
    assert found
    return [float(found[1]), float(found[2])]


WHOLE = [0, 70]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize(
    "kind", [*PAGES, *(f"harmful {name}" for name in ("report", "timeline", "calls"))]
)
def test_it_draws(
    chromium: Any, pages: dict[str, Path], kind: str, width: int, scheme: str
) -> None:
    with opened(chromium, pages[kind], width, scheme) as page:
        assert page.locator(".broken").count() == 0
        for chart in page.locator(".chart").all():
            drawn = chart.locator("svg, canvas")
            assert drawn.count() == 1
            box = drawn.bounding_box()
            assert 0.8 * min(width - 32, 900) <= box["width"] <= width
            assert box["height"] > 50
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_names_are_text_in_pictures_and_tables(
    chromium: Any, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["harmful report"]) as page:
        words = " ".join(page.locator("table").first.inner_text().split())
        labels = page.locator("svg text").all_text_contents()
        for name in HARMFUL:
            assert " ".join(plain(name).split()) in words
            # Where there is little room, the end is cut.
            assert any(label.startswith(plain(name)[:20]) for label in labels)
        assert page.locator("main img, main b, table script").count() == 0


def test_what_is_under_the_pointer_is_told(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["harmful timeline"]) as page:
        box = page.locator("canvas").bounding_box()
        tip = page.locator("#vg-tooltip-element.visible")
        # Eight lanes follow the first three: the fourth is that of the first name.
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 3 * 58 + 38)
        tip.wait_for()
        cells = tip.locator("td").all_text_contents()
        told = dict(zip(cells[::2], cells[1::2], strict=True))
        name = HARMFUL[0]
        assert told.pop("thread") == name
        assert told == {"was": "holding the GIL", "from": "0 ms", "for": "70 ms"}
        assert tip.locator("script").count() == 0
        page.mouse.move(5, 5)
        page.locator("#vg-tooltip-element:not(.visible)").wait_for(state="attached")
    with opened(chromium, pages["demo"]) as page:
        page.locator("figure svg path[aria-roledescription=bar]").first.hover()
        tip = page.locator("#vg-tooltip-element.visible")
        tip.wait_for()
        assert "mandelbrot: 1" in tip.text_content()


def test_lanes_zoom_and_move(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["timeline"]) as page:
        chart = page.locator(".zooms")
        before = chart.screenshot()
        assert shown(page) == WHOLE
        page.get_by_role("button", name="Zoom in").click()
        assert shown(page) == [17.5, 52.5]
        while chart.screenshot() == before:  # until it is drawn, or the test's time is up
            page.wait_for_timeout(50)
        page.get_by_role("button", name="Later").click()
        page.get_by_role("button", name="Later").click()
        page.get_by_role("button", name="Later").click()
        assert shown(page) == [35, 70]  # there is no more
        page.get_by_role("button", name="Zoom out").click()
        assert shown(page) == WHOLE
        for _ in range(40):
            page.get_by_role("button", name="Zoom in").click()
        begin, end = shown(page)
        assert 0 < end - begin < 0.01
        page.get_by_role("button", name="All").click()
        assert shown(page) == WHOLE
        chart.focus()
        for key in ("+", "ArrowLeft"):
            page.keyboard.press(key)
        assert shown(page) == pytest.approx([8.75, 43.75], abs=0.1)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("-")
        assert shown(page) == WHOLE


def test_press_of_a_call_shows_it_as_wide_as_the_picture(
    chromium: Any, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["harmful calls"]) as page:
        figure = page.locator("figure").last
        output = figure.locator("output")
        playwright.expect(output).to_have_text("0 to 750 ms")
        figure.locator("canvas").scroll_into_view_if_needed()
        box = figure.locator("canvas").bounding_box()
        # Rows are 22 pixels high: a thread, its call, and what that called.
        place = box["x"] + 60, box["y"] + 5 + 2.5 * 22
        page.mouse.move(*place)
        tip = page.locator("#vg-tooltip-element.visible")
        tip.wait_for()
        cells = tip.locator("td").all_text_contents()
        assert dict(zip(cells[::2], cells[1::2], strict=True)) == {
            "call": "inner (x/y.py:7)",
            "held": "250 ms, 33.3 %",
            "itself": "250 ms",
        }
        page.mouse.move(place[0], place[1] - 22)
        playwright.expect(tip).to_contain_text(HARMFUL[0])
        page.mouse.click(*place)
        playwright.expect(output).to_have_text("0 to 250 ms")
        # A drag is not a press.
        page.mouse.down()
        page.mouse.move(place[0] + 30, place[1], steps=3)
        page.mouse.up()
        playwright.expect(output).to_have_text("0 to 250 ms")
        figure.get_by_role("button", name="All").click()
        playwright.expect(output).to_have_text("0 to 750 ms")


def test_tap_of_a_call_shows_it_as_wide_as_the_picture(
    chromium: Any, pages: dict[str, Path]
) -> None:
    with opened(
        chromium, pages["places"], width=390, has_touch=True, is_mobile=True
    ) as page:
        figure = page.locator("figure").last
        figure.locator("canvas").scroll_into_view_if_needed()
        box = figure.locator("canvas").bounding_box()
        page.touchscreen.tap(box["x"] + 60, box["y"] + 5 + 2.5 * 22)
        output = figure.locator("output")
        playwright.expect(output).to_have_text("0 to 250 ms")
        # Below the calls is none.
        page.touchscreen.tap(box["x"] + 60, box["y"] + 5 + 3.2 * 22)
        page.wait_for_timeout(300)
        playwright.expect(output).to_have_text("0 to 250 ms")


def test_table_of_calls_unfolds_by_keyboard(
    chromium: Any, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["places"]) as page:
        table = page.locator("details table")
        assert not table.is_visible()
        page.locator("summary").focus()
        page.keyboard.press("Enter")
        assert "inner (x/y.py:7)" in table.inner_text()


def test_wheel_and_pointer(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["timeline"], width=390) as page:
        box = page.locator("canvas").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + 40
        page.mouse.move(*middle)
        page.keyboard.down("Control")
        page.mouse.wheel(0, -200)
        output = page.locator("output")
        playwright.expect(output).not_to_have_text(re.compile("^0"), timeout=PATIENCE)
        page.keyboard.up("Control")
        begin, end = shown(page)
        assert 5 < begin < 30
        assert 40 < end < 65
        # Time follows the pointer, in either direction.
        page.mouse.down()
        page.mouse.move(middle[0] - 60, middle[1], steps=4)
        page.mouse.up()
        later = shown(page)
        assert later[0] > begin
        assert later[1] - later[0] == pytest.approx(end - begin, abs=0.3)
        page.mouse.move(*middle)  # with no button down, nothing moves
        assert shown(page) == later
        # A wheel alone is for the page.
        page.mouse.wheel(0, 300)
        playwright.expect(page.locator("h1")).not_to_be_in_viewport(timeout=PATIENCE)
        assert shown(page) == later


def test_two_fingers(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(
        chromium, pages["timeline"], width=390, has_touch=True, is_mobile=True
    ) as page:
        box = page.locator("canvas").bounding_box()
        middle, y = box["x"] + box["width"] / 2, box["y"] + 40
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *apart: float) -> None:
            points = [
                {"x": middle + side * one, "y": y, "id": number}
                for one in apart
                for number, side in enumerate((-1, 1))
            ]
            session.send(
                "Input.dispatchTouchEvent",
                {"type": f"touch{kind}", "touchPoints": points},
            )

        touch("Start", 30)
        for apart in (45, 60, 75, 90):
            touch("Move", apart)
        touch("End")
        begin, end = shown(page)
        # Three times as far from each other: a third is seen.
        assert end - begin == pytest.approx(70 / 3, rel=0.3)
        assert (begin + end) / 2 == pytest.approx(35, abs=5)


def test_colours_follow_the_scheme(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["demo"]) as page:
        bar = page.locator("figure svg path[aria-roledescription=bar]").first
        light = bar.get_attribute("fill")
        page.locator(".zooms").first.focus()
        page.keyboard.press("+")
        page.emulate_media(color_scheme="dark")
        wait_until_drawn(page, "dark")
        assert bar.get_attribute("fill") != light
        assert shown(page) == [17.5, 52.5]  # it stays where it was


def test_pictures_follow_the_window(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["demo"]) as page:
        for drawn in ("svg", "canvas"):
            assert page.locator(f".chart {drawn}").first.bounding_box()["width"] > 800
        page.set_viewport_size({"width": 390, "height": 800})
        for drawn in ("svg", "canvas"):
            while page.locator(f".chart {drawn}").first.bounding_box()["width"] > 390:
                page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_by_keyboard(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["demo"]) as page:
        page.keyboard.press("Tab")
        assert (
            page.evaluate("document.activeElement.textContent") == "Skip to the content"
        )
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.classList[0]"))
        assert {"wide", "chart"} <= reached


def test_the_policy_holds(chromium: Any, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["report"], quiet=False) as page:
        asked: list[str] = []
        page.on("requestfinished", lambda request: asked.append(request.url))
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.harmed = 1";
                const picture = document.createElement("img");
                picture.setAttribute("onerror", "window.harmed = 2");
                picture.src = "http://127.0.0.1:9/";
                const frame = document.createElement("iframe");
                frame.src = "data:text/html,x";
                document.body.append(script, picture, frame);
            }"""
        )
        refused = "fetch('http://127.0.0.1:9/').then(() => false, () => true)"
        assert page.evaluate(refused)
        page.wait_for_timeout(300)
        assert page.evaluate("window.harmed === undefined")
        assert asked == []


def test_without_scripts_the_tables_are_there(
    chromium: Any, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["demo"], java_script_enabled=False) as page:
        assert page.locator("table").count() == 12
        assert "1.00x" in page.locator("table").first.inner_text()


# The table of the atlas, without its site


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two calls, one that holds the GIL and one that releases it."""
    made = audit(line(1.0, 0.5, name="first:call"), line(0.0, 1.0, name="second:call"))
    style, script = (
        (ROOT / "docs" / "_static" / f"atlas.{kind}").read_text("utf-8")
        for kind in ("css", "js")
    )
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    path.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><title>Atlas</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{style}</style><script>{script}</script>"
        f"{table([Result('numpy', '2.0', '2026-01-31', made)])}",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_atlas_is_searched_by_keyboard(chromium: Any, atlas: Path, width: int) -> None:
    with opened(chromium, atlas, width) as page:
        calls = page.locator("table.atlas > tbody:visible")
        assert calls.count() == 2
        page.keyboard.press("Tab")
        page.keyboard.type("SECOND numpy")
        assert calls.count() == 1
        assert page.locator("output").inner_text() == "1 of 2 calls"
        assert page.url.endswith("?text=SECOND+numpy")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("summary:visible").focus()
        page.keyboard.press("Enter")
        assert page.locator("pre:visible").inner_text().startswith("OMP_NUM_THREADS=1 ")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_atlas_is_filtered_by_verdicts_that_its_address_keeps(
    chromium: Any, atlas: Path
) -> None:
    with opened(chromium, atlas, quiet=False) as page:
        for gil, name in (("holds", "first:call"), ("releases", "second:call")):
            page.select_option("select[name=gil]", gil)
            page.goto(page.url)
            calls = page.locator("table.atlas > tbody:visible")
            assert calls.count() == 1
            assert calls.locator("th code").inner_text() == name
        page.select_option("select[name=library]", "numpy")
        page.check("input[name=differs]")
        assert page.locator("output").inner_text() == "0 of 2 calls"


def test_atlas_is_a_table_without_scripts(chromium: Any, atlas: Path) -> None:
    with opened(chromium, atlas, java_script_enabled=False) as page:
        assert page.locator("table.atlas > tbody:visible").count() == 2
        assert not page.locator("form").is_visible()
