"""The Python in the documentation runs, its commands are right, and its links resolve."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from gilx import cli
from gilx._compat import gil_enabled
from gilx.cli.target import find_target
from tests.command import run_python
from tests.docs.pages import PAGES, ROOT, anchors, blocks, prose

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.any_python

BLOCKS = [
    pytest.param(
        block.text,
        id=f"{page.stem}-{number}",
        # Tests in pages ask for verdicts, which take long.
        marks=[pytest.mark.slow] if "def test_" in block.text else [],
    )
    for page in PAGES
    for number, block in enumerate(blocks(page.read_text()))
    if block.language == "python" and not block.file
]
_SHOWN = [
    *(
        (page, block.text)
        for page in PAGES
        for block in blocks(page.read_text())
        if block.language in {"", "sh"}
    ),
    *((path, path.read_text()) for path in sorted(ROOT.glob("examples/*.yml"))),
]
COMMANDS = [
    pytest.param(line, id=f"{page.stem}-{line}")
    for page, text in _SHOWN
    for line in re.findall(r"(?:^ *|&& |\$ |bin/)(gilx .*)$", text, re.MULTILINE)
]
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("code", BLOCKS)
def test_code_of_pages(code: str, tmp_path: Path) -> None:
    if not (gil_enabled() and sys.platform == "linux") and re.search(
        r"gilx\.(watch|probe|Monitor|dask\.\w+)\(", code
    ):
        pytest.skip("there is no GIL to watch")
    if "to_html(" in code:
        pytest.importorskip("vl_convert")
    for module in ("distributed", "prometheus_client", "scipy"):
        if module in code:
            pytest.importorskip(module)
    words = ["-c", code]
    if "def test_" in code:
        (tmp_path / "test_block.py").write_text(code)
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--gilx-budget=3"]
    run_python(*words, check=True, cwd=tmp_path)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_pages_are_taken(line: str) -> None:
    """Not run, for some take minutes: the command line takes them as they stand."""
    words = shlex.split(line, comments=True)[1:]
    parser, commands = cli._parser()
    module = importlib.import_module(f"gilx.cli.{words[0]}")
    module.add_arguments(commands[words[0]])
    commands[words[0]].words = words  # as the command itself does
    options = parser.parse_args(words)
    assert options.command == words[0]
    target = getattr(options, "target", None)
    if target is not None and target.partition(":")[0] in sys.stdlib_module_names:
        assert callable(find_target(target, options.arguments))


def test_there_are_commands_and_links() -> None:
    assert len(COMMANDS) > 20
    assert sum(len(links(page)) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target in links(page):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        meant = (page.parent / path).resolve() if path else page
        assert meant.is_relative_to(ROOT), target
        assert meant.exists(), target
        if anchor:
            assert anchor in anchors(meant.read_text()), target


def test_every_page_and_example_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        if page.suffix == ".md":
            targets = [target.partition("#")[0] for target in links(page)]
            ahead += [(page.parent / each).resolve() for each in targets if each]
    scripts = [*ROOT.glob("examples/*.*"), *ROOT.glob("docs/pictures/*")]
    assert {*PAGES, *scripts} <= reached


def test_glossary_has_each_term_once_in_alphabetical_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    terms = [term.casefold() for term in re.findall("^## (.+)$", text, re.MULTILINE)]
    assert terms == sorted(set(terms))
