"""Parts of pages, and their rendering as HTML.

A page's policy allows only its own two scripts and its style, each by its hash: the page
loads nothing from the network, and a name that looks like HTML or JavaScript stays text.
Every figure has a table with the same content beside it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING, Any

from gilx.rendering.vega_library import library
from gilx.rendering.vega_lite import LOOK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def plain(text: str) -> str:
    r"""Return text with escapes such as ``\x..`` in place of unprintable characters.

    A name may have characters that reverse the text's direction, end a line, or are
    not Unicode.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


@dataclass(frozen=True)
class Text:
    """A paragraph. Text between backticks is set as code."""

    words: str

    def html(self, _: Iterator[int]) -> str:
        """Return the paragraph as HTML."""
        return f"<p>{_marked(self.words)}</p>"


@dataclass(frozen=True)
class Notes:
    """A list of sentences, below a title."""

    title: str
    words: tuple[str, ...]

    def html(self, _: Iterator[int]) -> str:
        """Return the list as HTML."""
        each = "".join(f"<li>{_marked(sentence)}</li>" for sentence in self.words)
        return f'<div class="notes"><p>{_escaped(self.title)}</p><ul>{each}</ul></div>'


@dataclass(frozen=True)
class Table:
    """Figures: titles, rows of cells, and the columns aligned to the right."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    right: tuple[int, ...] = ()
    caption: str = ""

    def html(self, _: Iterator[int]) -> str:
        """Return the table as HTML; it scrolls by itself if it is wider than the page."""
        head = "".join(
            # An empty title is not a header.
            f'<th scope="col"{self._side(place)}>{_escaped(name)}</th>'
            if name
            else "<td></td>"
            for place, name in enumerate(self.head)
        )
        body = "".join(f"<tr>{self._row(row)}</tr>" for row in self.rows)
        caption = _escaped(self.caption)
        return (
            f'<div class="wide" role="region" tabindex="0" aria-label="{caption}"><table>'
            f"<caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
        )

    def _row(self, row: tuple[str, ...]) -> str:
        first, *others = row
        return f'<th scope="row">{_escaped(first)}</th>' + "".join(
            f"<td{self._side(place)}>{_escaped(cell)}</td>"
            for place, cell in enumerate(others, 1)
        )

    def _side(self, place: int) -> str:
        return ' class="number"' if place in self.right else ""


@dataclass(frozen=True)
class Folded:
    """A long table that is shown when its title is pressed."""

    title: str
    table: Table

    def html(self, numbers: Iterator[int]) -> str:
        """Return the table as HTML."""
        title = _escaped(self.title)
        return f"<details><summary>{title}</summary>{self.table.html(numbers)}</details>"


@dataclass(frozen=True)
class Figure:
    """A chart that the browser draws; `gilx.rendering.picture` makes a file of it.

    Parameters
    ----------
    caption : str
        Content of the figure, and how to read it.
    spec : mapping
        Vega-Lite specification, with colours as `gilx.rendering.vega_lite` names them.
        A chart that zooms has a parameter ``shown``: start and end of the visible part.
    whole : (float, float), optional
        Start and end of the whole axis, in `unit`, if the chart zooms.
    unit : str
        Unit of `whole`.

    """

    caption: str
    spec: Mapping[str, Any]
    whole: tuple[float, float] | None = None
    unit: str = ""

    def drawing(self) -> dict[str, Any]:
        """Return the specification with the look of all charts."""
        return {**self.spec, "config": LOOK}

    def html(self, numbers: Iterator[int]) -> str:
        """Return the figure as HTML."""
        name = f"figure-{next(numbers)}"
        zoom = "" if self.whole is None else _CONTROLS.format(name=name)
        kind = "chart" if self.whole is None else "chart zooms"
        # For people who can't see the chart, the table beside it has the figures.
        reach = (
            f'role="img" aria-labelledby="{name}-caption"'
            if self.whole is None
            else f'role="group" tabindex="0" aria-labelledby="{name}-caption"'
            f' aria-describedby="{name}-keys" aria-roledescription="picture that zooms"'
        )
        data = {"spec": self.drawing(), "whole": self.whole, "unit": self.unit}
        return (
            f'<figure id="{name}"><figcaption id="{name}-caption">'
            f"{_escaped(self.caption)}</figcaption>"
            f'{zoom}<div class="{kind}" {reach}></div>'
            f'<script type="application/json">{_json(data)}</script></figure>'
        )


_CONTROLS = (
    '<div class="zoom" role="group" aria-label="Zoom">'
    '<button type="button" data-do="in" aria-label="Zoom in">+</button>'
    '<button type="button" data-do="out" aria-label="Zoom out">\u2212</button>'
    '<button type="button" data-do="left" aria-label="Earlier">\u2190</button>'
    '<button type="button" data-do="right" aria-label="Later">\u2192</button>'
    '<button type="button" data-do="whole">All</button>'
    '<output aria-live="polite"></output></div>'
    '<p class="keys" id="{name}-keys">Drag to move. To zoom, pinch, or turn the wheel'
    " while Ctrl or Shift is down. With the picture in focus, the keys"
    " + \u2212 \u2190 \u2192 0 do the same as the buttons.</p>"
)

Element = Text | Notes | Table | Folded | Figure


@dataclass(frozen=True)
class Section:
    """A chapter of a page."""

    title: str
    blocks: tuple[Element, ...]


@dataclass(frozen=True)
class Document:
    """A page."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    made: str
    """Origin of the page: the program, the machine and the versions."""

    def html(self) -> str:
        """Return the page.

        Raises
        ------
        MissingExtraError
            The extra ``html`` is not installed.

        """
        drawing, own = library(), _own("page.js")
        # Inside a script element, HTML only recognizes its end and a comment.
        for script in (drawing, own):
            assert "</script" not in script.lower()
            assert "<!--" not in script
        style = _own("page.css")
        policy = "; ".join(
            (
                "default-src 'none'",
                f"script-src {_hash(drawing)} {_hash(own)}",
                f"style-src {_hash(style)}",
                "img-src data:",  # the icon, which is empty
                "base-uri 'none'",
                "form-action 'none'",
            )
        )
        return _PAGE.format(
            policy=html.escape(policy),
            title=_escaped(self.title),
            style=style,
            lead=_escaped(self.lead),
            contents=self._contents(),
            body=self._body(),
            made=_escaped(self.made),
            drawing=drawing,
            own=own,
        )

    def _contents(self) -> str:
        if len(self.sections) < 2:
            return ""
        links = "".join(
            f'<li><a href="#part-{number}">{_escaped(section.title)}</a></li>'
            for number, section in enumerate(self.sections, 1)
        )
        return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'

    def _body(self) -> str:
        numbers = count(1)
        return "\n".join(
            f'<section aria-labelledby="part-{number}">'
            f'<h2 id="part-{number}" tabindex="-1">{_escaped(section.title)}</h2>\n'
            + "\n".join(block.html(numbers) for block in section.blocks)
            + "</section>"
            for number, section in enumerate(self.sections, 1)
        )


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<h1>{title}</h1>
<p>{lead}</p>
<noscript><p>The pictures need JavaScript; the tables have all figures.</p></noscript>
{contents}
</header>
<main id="main" tabindex="-1">
{body}
</main>
<footer>
<p>{made}</p>
</footer>
<script>{drawing}</script>
<script>{own}</script>
</body>
</html>
"""


def _own(name: str) -> str:
    return files("gilx.rendering").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _escaped(text: str) -> str:
    return html.escape(plain(text))


def _marked(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", _escaped(text))


def _json(value: object) -> str:
    """Return JSON that may stand inside a script element, whatever its texts are."""
    text = json.dumps(drawable(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def drawable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value that JSON can have, with escapes in its texts.

    A number that is not finite is not drawn.
    """
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: drawable(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [drawable(child) for child in value]
    return value
