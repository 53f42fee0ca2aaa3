"""The documentation's pages, and what is in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
]
# A block, and the name of a file if the text before it ends with one and a colon.
_BLOCK = re.compile(
    r"(?:`([\w.]+)`:\n\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A block of code."""

    file: str
    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """Return a text's blocks of code, in order."""
    return [Block(*found) for found in _BLOCK.findall(text)]


def prose(text: str) -> str:
    """Return a text without its blocks of code, and without code in lines."""
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", text))


def anchors(text: str) -> set[str]:
    """Return what may follow ``#`` in links to a page, as GitHub makes it of headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", _BLOCK.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        number = 0
        while (unique := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(unique)
    return found
