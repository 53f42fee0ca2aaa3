"""The library that draws in the browser: Vega, with Vega-Lite and Vega-Embed.

It was chosen because it draws under a policy that allows no evaluated code and no inline
styles (its expressions are interpreted, see `page.js`), takes every text for text, and
adds 0.9 MB to a page. The extra ``html`` has it in vl-convert-python, from the same
project.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache

from gilx.errors import MissingExtraError

__all__ = ["check_library", "library"]

_WORDS = "no page without vl-convert: pip install 'gilx[html]'"


def check_library() -> None:
    """Do nothing if pages can be made.

    Raises
    ------
    MissingExtraError
        The library is not installed; the extra ``html`` has it.

    """
    if importlib.util.find_spec("vl_convert") is None:
        raise MissingExtraError(_WORDS)


@cache
def library() -> str:
    """Return the library's JavaScript, which makes ``vegaEmbed`` a global name.

    Raises
    ------
    MissingExtraError
        It is not installed, or can't be loaded.

    """
    check_library()
    try:
        bundle = importlib.import_module("vl_convert").javascript_bundle
    except ImportError as error:
        raise MissingExtraError(_WORDS) from error
    text: str = bundle("window.vegaEmbed = vegaEmbed;")
    return text
