"""Readers of the formats of stacks, which check what tools rely on."""

from __future__ import annotations

import json
import math
from typing import Any

Stack = tuple[str, ...]


def read_collapsed(text: str) -> dict[Stack, int]:
    """Return the weight of each stack of a text with collapsed stacks."""
    stacks: dict[Stack, int] = {}
    assert text == "" or text.endswith("\n")
    for line in text.splitlines():
        frames, _, weight = line.rpartition(" ")
        stack = tuple(frames.split(";"))
        assert all(frame == frame.strip() != "" for frame in stack)
        assert stack not in stacks
        stacks[stack] = int(weight)
    return stacks


def read_speedscope(text: str) -> dict[str, list[tuple[Stack, float]]]:
    """Return the stacks of each profile, by its name, of a file of speedscope.

    What https://www.speedscope.app/file-format-schema.json requires of sampled profiles
    is checked.
    """
    file: dict[str, Any] = json.loads(text)
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(file) <= {
        *("$schema", "name", "exporter", "activeProfileIndex", "shared", "profiles")
    }
    frames = file["shared"]["frames"]
    assert set(file["shared"]) == {"frames"}
    for frame in frames:
        assert {"name"} <= set(frame) <= {"name", "file", "line", "col"}
        assert isinstance(frame["name"], str)
        assert isinstance(frame.get("file", ""), str)
        assert isinstance(frame.get("line", 1), int)
    assert 0 <= file["activeProfileIndex"] < len(file["profiles"])
    found = {}
    for profile in file["profiles"]:
        assert set(profile) == {
            *("type", "name", "unit", "startValue", "endValue", "samples", "weights")
        }
        assert profile["type"] == "sampled"
        assert profile["unit"] == "seconds"
        samples, weights = profile["samples"], profile["weights"]
        assert len(samples) == len(weights)
        assert all(0 <= number < len(frames) for each in samples for number in each)
        assert all(weight >= 0 for weight in weights)
        length = profile["endValue"] - profile["startValue"]
        assert math.isclose(length, math.fsum(weights), abs_tol=1e-12)
        assert profile["name"] not in found
        found[profile["name"]] = [
            (tuple(frames[number]["name"] for number in each), weight)
            for each, weight in zip(samples, weights, strict=True)
        ]
    return found
