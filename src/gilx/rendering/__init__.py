"""Records as text, plots, pages and traces.

A record knows nothing of how it is shown: it asks `gilx.records.render`, which asks
`render` here. Pages are made of the parts in `gilx.rendering.html_page`.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["render"]

# What makes each form of each record, loaded when it is asked for: a plot needs other
# packages than a table.
_RENDERERS = {
    ("GilUsage", "plot"): "usage_plot:picture_of",
    ("Report", "html table"): "report_text:html_table_of",
    ("Report", "page"): "report_page:page_of",
    ("Report", "plot"): "report_plot:picture_of",
    ("Report", "text"): "report_text:text_of",
    ("ReportRow", "reading"): "report_text:reading_of",
    ("Timeline", "page"): "timeline_page:page_of",
    ("Timeline", "plot"): "timeline_plot:picture_of",
}


def render(record: object, form: str) -> Any:  # noqa: ANN401 - as various as the forms
    """Return a record in one of its forms.

    Parameters
    ----------
    record : object
        A record of gilx's, or of a class derived from one.
    form : str
        Such as ``plot`` or ``page``.

    Returns
    -------
    object
        Text or a figure of matplotlib's, as the form has it.

    """
    names = [kind.__name__ for kind in type(record).__mro__]
    place = next(p for name in names if (p := _RENDERERS.get((name, form))) is not None)
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)(record)
