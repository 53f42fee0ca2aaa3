"""Library that draws: Vega, with Vega-Lite and Vega-Embed, from vl-convert-python.

vl-convert draws picture files, and a page embeds the same library for the browser. It
was chosen because it draws under a policy that allows no evaluated code and no inline
styles (its expressions are interpreted, see `page.js`), takes every text for text, and
adds 0.9 MB to a page. The extras ``html`` and ``plot`` both install it.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any

from gilx.errors import MissingExtraError

_WORDS = {
    "html": "pages need vl-convert: pip install 'gilx[html]'",
    "plot": "pictures need vl-convert: pip install 'gilx[plot]'",
}


def check_library(extra: str) -> None:
    """Check that the library is installed.

    Parameters
    ----------
    extra : str
        The extra that the message advises: ``html`` or ``plot``.

    Raises
    ------
    MissingExtraError
        The library is not installed.

    """
    if importlib.util.find_spec("vl_convert") is None:
        raise MissingExtraError(_WORDS[extra])


def load_library(extra: str) -> Any:  # noqa: ANN401 - may be missing
    """Return the module ``vl_convert``.

    Parameters
    ----------
    extra : str
        The extra that the message advises: ``html`` or ``plot``.

    Raises
    ------
    MissingExtraError
        The library is not installed, or can't be loaded.

    """
    try:
        return importlib.import_module("vl_convert")
    except ImportError as error:
        raise MissingExtraError(_WORDS[extra]) from error


@cache
def library() -> str:
    """Return the library's JavaScript, which makes ``vegaEmbed`` a global name.

    Raises
    ------
    MissingExtraError
        The library is not installed, or can't be loaded.

    """
    text: str = load_library("html").javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return text
