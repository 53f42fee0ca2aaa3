"""The demo: eight chapters as text, as JSON, as pictures and as a page."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from gilx._compat import gil_enabled
from tests.markers import needs

from .interface import DEMO_JSON, DEMO_TEXT, command, demo_from_json

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

GIL = gil_enabled()
DRAWS = {
    name: importlib.util.find_spec(module) is not None
    for name, module in (("pictures", "vl_convert"), ("page", "vl_convert"))
}
# The name of each chapter in the JSON, in order.
CHAPTERS = (
    *("pure", "lock", "waiting", "processes"),
    *("libraries", "extension", "interpreters", "free"),
)


class Demo(NamedTuple):
    """Output and files of ``gilx demo --quick``."""

    status: int
    text: str
    saved: dict[str, str]
    page: str
    directory: Path

    @property
    def record(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.saved[DEMO_JSON])
        return values

    def section(self, number: int) -> str:
        """Return the text of a chapter, without its title."""
        found = re.search(
            rf"^{number}\. ([^\n]+)\n-+\n(.*?)(?=^{number + 1}\. |\nRecommendations\n)",
            self.text,
            re.MULTILINE | re.DOTALL,
        )
        assert found, f"no chapter {number} in\n{self.text}"
        return found[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    words = ("demo", "--quick", "--save", "saved", "--html", "page.html")
    done = command(*words, cwd=folder, timeout=280)
    assert done.returncode in (0, 1), done.stderr
    saved, page = folder / "saved", folder / "page.html"
    return Demo(
        done.returncode,
        done.stdout,
        {name: (saved / name).read_text() for name in (DEMO_TEXT, DEMO_JSON)},
        page.read_text() if page.exists() else "",
        saved,
    )


def proofs_of_release(chapter: dict[str, Any]) -> list[bool]:
    return [proof["runs_beside"] for proof in chapter["proofs"]]


def assert_pure(chapter: dict[str, Any]) -> None:
    comparison = chapter["threads"]["comparison"]
    assert comparison["speedup"]["value"] > 0
    assert comparison["workers"] >= 2


def assert_lock(chapter: dict[str, Any]) -> None:
    unprotected, held, atomic = chapter["additions"]
    assert unprotected["kept"] <= unprotected["made"]
    assert atomic["kept"] == atomic["made"]
    if GIL:
        assert held["kept"] == held["made"]


def assert_waiting(chapter: dict[str, Any]) -> None:
    assert {row["target"] for row in chapter["waits"]} >= {"sleep", "read a socket"}
    assert len(chapter["beside"]) == 3
    assert all(row["delay"] >= 0 for row in chapter["beside"])


def assert_processes(chapter: dict[str, Any]) -> None:
    assert {each["pool"] for each in chapter["processes"]} == {"processes"}
    assert chapter["moving"]["start"] > 0
    assert chapter["moving"]["data"] > 0


def assert_libraries(chapter: dict[str, Any]) -> None:
    if not GIL or sys.platform != "linux":
        assert chapter["calls"] == []
        return
    held = {(call["library"], call["name"]): call["held"] for call in chapter["calls"]}
    # NumPy sorts numbers without the GIL, and makes Python objects with it.
    assert held["NumPy", "sort"]["low"] < 0.5
    assert held["NumPy", "tolist"]["high"] > 0.5


def assert_extension(chapter: dict[str, Any]) -> None:
    assert len(chapter["variants"]) == 4
    assert proofs_of_release(chapter) == [not GIL, True, not GIL, True]
    assert chapter["met_held"] == (1 if GIL else 2)
    assert chapter["met_released"] == 2


def assert_interpreters(chapter: dict[str, Any]) -> None:
    if sys.version_info < (3, 14):
        assert chapter["held"] is None
        assert chapter["missing"][0].startswith("This chapter needs Python 3.14")
    else:
        assert chapter["held"]["pool"] == "interpreters"
        assert chapter["start_seconds"] > 0


def assert_free(chapter: dict[str, Any]) -> None:
    assert bool(chapter["calls"]) == (not GIL)
    assert bool(chapter["missing"]) == GIL


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "name"), list(enumerate(CHAPTERS, 1)), ids=list(CHAPTERS)
)
def test_demo_shows_every_chapter_as_text_and_json(
    demo: Demo, number: int, name: str
) -> None:
    section = demo.section(number)
    chapter = demo.record[name]
    assert chapter is not None
    paragraphs = [" ".join(each.split()) for each in section.split("\n\n")]
    sentences = [each for each in paragraphs if each.endswith(".")]
    assert sentences[-1].startswith("The result depends on")
    assert len(sentences) > 1
    for missing in chapter["missing"]:
        assert missing in " ".join(section.split())
    globals()[f"assert_{name}"](chapter)


@pytest.mark.timeout(300)
def test_demo_saves_what_it_prints_and_reads_its_json(demo: Demo) -> None:
    assert demo.saved[DEMO_TEXT] == demo.text
    assert "Recommendations" in demo.text
    assert "\x1b" not in demo.text
    assert max(map(len, demo.text.splitlines())) <= 104
    text = demo.saved[DEMO_JSON]
    assert demo_from_json(text).to_json() == text.strip()
    # What can't be drawn is not passed over in silence.
    assert demo.status == (0 if all(DRAWS.values()) else 1)


@needs("vl_convert")
@pytest.mark.timeout(300)
def test_demo_draws_a_picture_of_chapters_with_figures(demo: Demo) -> None:
    pictures = sorted(demo.directory.glob("*.png"))
    assert [path.name[0] for path in pictures][:4] == ["1", "2", "3", "4"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


@needs("vl_convert")
@pytest.mark.timeout(300)
def test_demo_makes_a_page_of_all_chapters(demo: Demo) -> None:
    assert demo.page.startswith("<!doctype html>")
    titles = re.findall(r"^\d\. (.+)$", demo.text, re.MULTILINE)
    assert len(titles) == 8
    words = re.sub(r"<[^>]*>", " ", demo.page)
    for title in titles:
        assert title in " ".join(words.split())


def test_demo_prints_chosen_chapters_as_json_only(tmp_path: Path) -> None:
    words = ("demo", "--quick", "--chapter", "2,8", "--workers", "3", "--json")
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["workers"] == 3
    measured = [name for name in CHAPTERS if record[name] is not None]
    assert measured == ["lock", "free"]
