"""Parameters of kernels: the checks of calls, docstrings and stubs follow from these.

A shape lists sizes: a name, which stands for the same number in all shapes of a kernel, a
number, ``name+1``, or ``ceil(name/name)`` of parameters.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Buffer", "Integer", "Offsets", "Output", "Parameters", "Real"]


class Buffer(NamedTuple):
    """An input array."""

    name: str
    type: str
    shape: str
    text: str


class Offsets(NamedTuple):
    """Offsets of type int64 that cut the array before them, `cuts`, into strings."""

    name: str
    shape: str
    cuts: str
    text: str
    type: str = "int64"


class Integer(NamedTuple):
    """A whole number from `least` to `greatest`."""

    name: str
    least: int
    greatest: int
    text: str


class Real(NamedTuple):
    """A float."""

    name: str
    text: str


class Output(NamedTuple):
    """The output, which is always the last; its first axis counts the items."""

    type: str
    shape: str
    text: str
    name: str = "out"


Parameters = tuple[Buffer | Offsets | Integer | Real | Output, ...]
