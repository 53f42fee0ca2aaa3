"""A parser of pages, for tests that look for their elements."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """A page's elements, which must nest, and the texts of its scripts and styles."""

    EMPTY = ("meta", "link", "img", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str | None, str]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self._open.append(tag)
        if tag in ("script", "style"):
            self.raw.append((tag, dict(attrs).get("type"), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            tag, kind, text = self.raw[-1]
            self.raw[-1] = tag, kind, text + data
        else:
            self.words += data

    def tags(self, *names: str) -> list[str]:
        return [tag for tag, _ in self.elements if tag in names]

    def values(self, name: str) -> list[str]:
        return [value for _, each in self.elements if (value := each.get(name))]

    def figures(self) -> list[Any]:
        return [json.loads(text) for _, kind, text in self.raw if kind]
