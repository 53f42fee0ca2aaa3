"""States of threads."""

from __future__ import annotations

from typing import Literal

State = Literal[
    "holding",
    "running",
    "waiting_gil",
    "waiting_lock",
    "waiting_cpu",
    "system_call",
    "stopped",
    "unknown",
]

# What a thread can be doing, with the colours of notebooks and of trace viewers. The
# words are also right for a timeline of a Python without a GIL.
STATES: dict[State, tuple[str, str, str]] = {
    "holding": ("holding the GIL", "#c0392b", "terrible"),
    "running": ("running without the GIL", "#27ae60", "good"),
    "waiting_gil": ("waiting for the GIL", "#e5984b", "bad"),
    "waiting_lock": ("waiting for a lock", "#8e7cc3", "yellow"),
    "waiting_cpu": ("ready, without a CPU", "#4a90d9", "olive"),
    "system_call": ("in a system call", "#d5d8dc", "grey"),
    "stopped": ("waiting for the world to stop or go on", "#7f4f24", "bad"),
    "unknown": ("in an unknown state", "#f0f0f0", "white"),
}

# States by the numbers of activities, see csrc/sampler/thread_activity.h.
ACTIVITIES: tuple[State, ...] = (
    "holding",
    "waiting_gil",
    "waiting_lock",
    *("system_call",) * 5,
    "running",
    "waiting_cpu",
    "unknown",
    "running",
    "waiting_lock",
    "stopped",
)
