"""Pictures of records as PNG and SVG files, and in notebooks."""

from __future__ import annotations

import base64
import html
import re
import textwrap
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gilx.errors import ArgumentError
from gilx.files import replacing
from gilx.rendering.html_page import drawable, plain
from gilx.rendering.vega_library import check_library, load_library
from gilx.rendering.vega_lite import painted

if TYPE_CHECKING:
    import os

    from gilx.rendering.html_page import Figure

_WIDTH = 640  # pixels of what is inside the axes
_SCALE = 2  # pixels of a file for each of those: sharp at the width of a README
_LINE, _SMALL_LINE = 92, 110  # characters of a title and of a note that fit above


def picture_suffix(path: str | os.PathLike[str], argument: str = "path") -> str:
    """Return the ending of a picture file's name, which says what kind it is.

    Parameters
    ----------
    path : str or path
        Name of the file.
    argument : str
        Name of the argument or option that gave it, for the message.

    Raises
    ------
    ArgumentError
        The ending is not ``.png`` or ``.svg``.

    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".svg"):
        raise ArgumentError(
            f"{argument}: expected a name that ends with .png or .svg, got {str(path)!r}"
        )
    return suffix


@dataclass(frozen=True, repr=False)
class Picture:
    """Picture that notebooks show and `save` writes to a file.

    Parameters
    ----------
    spec : dict
        Its Vega-Lite specification, data included. The field ``description`` says in
        words what the picture shows.

    """

    spec: dict[str, Any]

    @classmethod
    def of(cls, figure: Figure, title: str, note: str = "") -> Self:
        """Return a figure of a page as a picture, in the colours of a light page.

        Parameters
        ----------
        figure : Figure
            What to draw.
        title : str
            Sentence above the picture.
        note : str
            Smaller text below the title.

        Raises
        ------
        MissingExtraError
            The extra ``plot`` is not installed.

        """
        check_library("plot")
        css = files("gilx.rendering").joinpath("page.css").read_text(encoding="utf-8")
        light = css.partition("@media")[0]
        spec = painted(figure.drawing(), dict(re.findall(r"--(\w+): (#\w+);", light)))
        if "width" in spec:
            spec["width"] = _WIDTH
        spec["config"]["legend"]["labelLimit"] = _WIDTH
        spec["config"]["aria"] = False  # the description has the words, not each mark
        spec["padding"] = 12
        title, note = plain(title), plain(note)
        spec["title"] = {"text": textwrap.wrap(title, _LINE)}
        if note:
            spec["title"]["subtitle"] = textwrap.wrap(note, _SMALL_LINE)
        parts = dict.fromkeys(part for part in (title, figure.caption, note) if part)
        spec["description"] = ". ".join(part.rstrip(".") for part in parts) + "."
        return cls(drawable(spec))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file, all of it or nothing.

        Parameters
        ----------
        path : str or path
            Name of the file, which ends with ``.png`` or ``.svg``.

        Raises
        ------
        ArgumentError
            The name has another ending.
        OSError
            The file can't be written.

        """
        data = self._svg() if picture_suffix(path) == ".svg" else self._png()
        with replacing(path) as fresh:
            fresh.write_bytes(data)

    def _repr_mimebundle_(
        self, **_: object
    ) -> tuple[dict[str, str], dict[str, dict[str, object]]]:
        png = self._png()
        size = {
            name: int.from_bytes(png[at : at + 4], "big") // _SCALE
            for name, at in (("width", 16), ("height", 20))
        }
        return (
            {"image/png": base64.b64encode(png).decode()},
            {"image/png": {**size, "alt": self.spec["description"]}},
        )

    def _png(self) -> bytes:
        convert = load_library("plot").vegalite_to_png
        return _packed(convert(self.spec, scale=_SCALE, allowed_base_urls=[]))

    def _svg(self) -> bytes:
        svg: str = load_library("plot").vegalite_to_svg(self.spec, allowed_base_urls=[])
        alt = html.escape(self.spec["description"])
        return svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1).encode()


def _packed(png: bytes) -> bytes:
    """Return the same PNG file, a fifth as large: vl-convert hardly compresses."""
    chunks, at = [], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        chunks.append((png[at + 4 : at + 8], png[at + 8 : end - 4]))
        at = end
    pixels = b"".join(data for kind, data in chunks if kind == b"IDAT")
    parts = [
        (b"IHDR", chunks[0][1]),
        (b"IDAT", zlib.compress(zlib.decompress(pixels), 9)),
        (b"IEND", b""),
    ]
    return png[:8] + b"".join(
        len(data).to_bytes(4, "big")
        + kind
        + data
        + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in parts
    )
