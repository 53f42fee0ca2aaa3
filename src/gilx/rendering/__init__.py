"""Records as text, pictures, pages and traces.

A record knows nothing of how it is shown: it asks `gilx.records.render`, which asks
`render` here. Pages are made of the parts in `gilx.rendering.html_page`; their charts
and pictures are made of the same Vega-Lite specifications.
"""

from __future__ import annotations

import importlib
from typing import Any

# Functions that make each form of each record. Their modules are loaded on demand, since
# a picture needs a package that a table does not.
_RENDERERS = {
    ("ClusterUsage", "plot"): "cluster_chart:picture_of",
    ("GilUsage", "plot"): "usage_chart:picture_of",
    ("Report", "html table"): "report_text:html_table_of",
    ("Report", "page"): "report_page:page_of",
    ("Report", "plot"): "report_chart:picture_of",
    ("Report", "text"): "report_text:text_of",
    ("Report", "details"): "report_text:details_text_of",
    ("ReportRow", "advice"): "row_sentences:advice_of",
    ("ReportRow", "reading"): "row_sentences:reading_of",
    ("Timeline", "page"): "timeline_page:page_of",
    ("Timeline", "plot"): "timeline_chart:picture_of",
    ("Watch", "page"): "timeline_page:page_of_watch",
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
        Text or a `Picture`, as the form has it.

    Raises
    ------
    TypeError
        Such a record does not have that form.

    """
    for kind in type(record).__mro__:
        place = _RENDERERS.get((kind.__name__, form))
        if place is not None and kind.__module__.startswith("gilx."):
            module, _, function = place.partition(":")
            renderer = importlib.import_module(f"{__name__}.{module}")
            return getattr(renderer, function)(record)
    raise TypeError(f"{type(record).__name__} has no form {form!r}")
