"""What a thread can be seen doing."""

from __future__ import annotations

from typing import Literal

State = Literal["holding", "running", "waiting", "unknown"]

# What a thread can be doing, with the colours of notebooks and of trace viewers.
STATES: dict[State, tuple[str, str, str]] = {
    "holding": ("holding the GIL", "#c0392b", "terrible"),
    "running": ("running without the GIL", "#27ae60", "good"),
    "waiting": ("waiting or blocked", "#d5d8dc", "grey"),
    "unknown": ("not holding; more is not known", "#f0f0f0", "white"),
}
