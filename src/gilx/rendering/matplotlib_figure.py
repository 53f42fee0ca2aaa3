"""Figures of matplotlib's, which the extra ``plot`` has."""

from __future__ import annotations

import importlib
from typing import Any

from gilx.errors import MissingExtraError

__all__ = ["new_figure"]


def new_figure(width: float, height: float) -> Any:  # noqa: ANN401 - may be missing
    """Return an empty figure of matplotlib's, which is loaded here and nowhere else.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.

    """
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError(
            "plot() needs matplotlib: pip install 'gilx[plot]'"
        ) from error
    return figures.Figure(figsize=(width, height), layout="constrained")
