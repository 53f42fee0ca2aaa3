"""Python stacks that held the GIL, and the formats of flame graph tools."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import gilx
from gilx.errors import ArgumentError, shown
from gilx.files import save_text
from gilx.formatting import duration, escaped, printable
from gilx.records import Record
from gilx.sampling.source_files import short_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.sampling.sites import Position

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
BELOW = -5
COLLECTOR = -6
# Frames that are no lines of code, by their labels (see csrc/sampler/call_tree.h).
_NO_LINES = {
    -1: "(unknown)",
    -2: "(other lines)",
    -3: "(no Python code)",
    -4: "(truncated)",
    BELOW: "(below)",
    COLLECTOR: "(garbage collector)",
}
THREAD = -1  # parent of a thread
_ROUNDING = 1e-6  # of sums


class FoundCall(NamedTuple):
    """A call as the sampler returns it, see `gilx.sampling._sampler.Sampler.calls`."""

    parent: int
    label: int
    place: Position | None
    held: float
    cut: float


class StackFrame(NamedTuple):
    """One line of a function in a stack.

    Frames without a file stand for something else: ``(no Python code)`` for threads that
    ran none, ``(unknown)`` if a frame could not be read, ``(truncated)`` for outer frames
    that were not read (at most 256 are), ``(garbage collector)`` for a collection that
    began in the frame before it, ``(other lines)`` if the sampler's tables were full, and
    ``(below)`` for the frame before it or any that this called, if the stack
    changed while it was read or there was no capacity for more stacks.
    """

    function: str
    """Qualified name of the function."""
    file: str
    """File name as the code has it."""
    line: int
    """Number of the line; 0 if it is not known."""

    @property
    def text(self) -> str:
        """Function, file and line, the file as short as people know it."""
        if not self.file:
            return self.function
        line = f":{self.line}" if self.line else ""
        return f"{self.function} ({short_path(self.file)}{line})"


@dataclass(frozen=True)
class HeldStack:
    """A stack that held the GIL.

    Attributes
    ----------
    thread : str
        Name of the thread; ``unknown`` if it could not be identified.
    native_id : int, optional
        Its number, None if it is not known.
    frames : tuple of int
        Numbers of the frames in `Stacks.frames`, the outermost one first.
    held : float
        Seconds for which it held the GIL.

    """

    thread: str
    native_id: int | None
    frames: tuple[int, ...]
    held: float


@dataclass(frozen=True)
class Stacks(Record, schema="gilx.stacks"):
    """Python stacks that held the GIL during a watch.

    Attributes
    ----------
    frames : tuple of StackFrame
        All frames, each once.
    stacks : tuple of HeldStack
        The stacks, thread by thread.
    wall : float
        Length of the watch, in seconds.
    cut : float
        Seconds of the held time whose inner frames were left out since the sampler had no
        capacity for them.

    """

    frames: tuple[StackFrame, ...]
    stacks: tuple[HeldStack, ...]
    wall: float
    cut: float

    def _check(self, where: str) -> None:
        held = 0.0
        for number, stack in enumerate(self.stacks):
            name = f"{where}.stacks[{number}]"
            for place, frame in enumerate(stack.frames):
                if not 0 <= frame < len(self.frames):
                    raise ArgumentError(
                        f"{name}.frames[{place}]: expected the number of one of"
                        f" {len(self.frames)} frames, got {frame}"
                    )
            held += _seconds(f"{name}.held", stack.held)
        _seconds(f"{where}.wall", self.wall)
        if _seconds(f"{where}.cut", self.cut) > held * (1 + _ROUNDING):
            raise ArgumentError(
                f"{where}.cut: expected no more than all stacks held the GIL for, got"
                f" {shown(self.cut)}"
            )

    @property
    def held(self) -> float:
        """Seconds for which all stacks together held the GIL."""
        return math.fsum(stack.held for stack in self.stacks)

    def collapsed(self) -> str:
        """Return collapsed stacks, which flamegraph.pl, inferno and speedscope open.

        Each line is the name of a thread and the frames of a stack, the outermost one
        first, with ``;`` between them, and then the microseconds for which it held the
        GIL. A ``;`` in a name becomes a comma.
        """
        names = thread_names(self)
        texts = [_collapsible(frame.text) for frame in self.frames]
        held: dict[str, float] = {}
        for stack in self.stacks:
            thread = _collapsible(names[stack.thread, stack.native_id])
            frames = (texts[number] for number in stack.frames)
            line = ";".join([thread, *frames])
            held[line] = held.get(line, 0.0) + stack.held
        return "".join(f"{line} {seconds * 1e6:.0f}\n" for line, seconds in held.items())

    def speedscope(self) -> str:
        """Return JSON in the file format of speedscope.

        There is a profile for each thread that held the GIL, the one that held it longest
        first, and, if there are several, one of all threads before them, in which the
        outermost frames are the threads. Weights are seconds. Samples are in no order of
        time.
        """
        names = thread_names(self)
        frames: list[dict[str, Any]] = []
        for frame in self.frames:
            place = {"file": frame.file, "line": frame.line} if frame.line else {}
            frames.append({"name": frame.text, **place})
        profiles = [
            _profile(name, [each for each in self.stacks if thread_of(each) == thread])
            for thread, name in names.items()
        ]
        if len(names) != 1:
            number = {thread: len(frames) + i for i, thread in enumerate(names)}
            frames += [{"name": name} for name in names.values()]
            whole = [(number[thread_of(each)], each) for each in self.stacks]
            samples = [[thread, *each.frames] for thread, each in whole]
            profiles.insert(0, _profile("all threads", self.stacks, samples))
        return json.dumps(
            {
                "$schema": _SCHEMA,
                "name": f"GIL held for {duration(self.held)} of {duration(self.wall)}",
                "exporter": f"gilx {gilx.__version__}",
                "activeProfileIndex": 0,
                "shared": {"frames": frames},
                "profiles": profiles,
            }
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the stacks to a file, all of them or nothing.

        Its name says how: it ends in ``.collapsed`` or ``.speedscope.json``.

        Raises
        ------
        ArgumentError
            The name ends in another way.
        OSError
            The file can't be written.

        """
        save_text(path, stacks_text(self, path))

    def __str__(self) -> str:
        cut = f"; inner frames are missing for {duration(self.cut)}" if self.cut else ""
        return (
            f"{len(self.stacks)} stacks held the GIL for {duration(self.held)} of"
            f" {duration(self.wall)}{cut}"
        )


def thread_names(stacks: Stacks) -> dict[tuple[str, int | None], str]:
    """Return names of threads that differ, the one that held the GIL longest first.

    The threads are those of `thread_of`.
    """
    held: dict[tuple[str, int | None], float] = {}
    for stack in stacks.stacks:
        thread = thread_of(stack)
        held[thread] = held.get(thread, 0.0) + stack.held
    same = Counter(name for name, _ in held)
    return {
        (name, native_id): name
        if name and (same[name] == 1 or native_id is None)
        else f"{name or 'thread'} {native_id}"
        for name, native_id in sorted(held, key=lambda one: -held[one])
    }


def thread_of(stack: HeldStack) -> tuple[str, int | None]:
    """Return the name and the native id of the thread that a stack is of."""
    return stack.thread, stack.native_id


_FORMATS = {".collapsed": Stacks.collapsed, ".speedscope.json": Stacks.speedscope}


def check_ending(path: str | os.PathLike[str], name: str = "path") -> None:
    """Do nothing if the name of a file says in which format stacks go there.

    Raises
    ------
    ArgumentError
        It does not; the message calls the path `name`.

    """
    if not os.fspath(path).endswith(tuple(_FORMATS)):
        raise ArgumentError(
            f"{name}: expected the name of a file that ends in .collapsed or"
            f" .speedscope.json, got {os.fspath(path)!r}"
        )


def stacks_text(stacks: Stacks, path: str | os.PathLike[str]) -> str:
    """Return stacks in the format that the name of a file says.

    Raises
    ------
    ArgumentError
        As for `check_ending`.

    """
    check_ending(path)
    (write,) = (
        write for ending, write in _FORMATS.items() if os.fspath(path).endswith(ending)
    )
    return write(stacks)


def stacks_of(
    calls: Sequence[FoundCall],
    threads: Sequence[tuple[str, int | None]],
    wall: float,
) -> Stacks:
    """Return the stacks of a watch.

    Parameters
    ----------
    calls : sequence of FoundCall
        What the sampler found.
    threads : sequence
        Name and native_id of each thread, in the order of ``Sampler.threads()``.
    wall : float
        Length of the watch, in seconds.

    """
    numbers: dict[StackFrame, int] = {}
    held: dict[tuple[int, tuple[int, ...]], float] = {}

    def number_of(frame: StackFrame) -> int:
        return numbers.setdefault(frame, len(numbers))

    for call in calls:
        if call.held <= 0:
            continue
        frames: list[int] = []
        at = call
        while at.parent != THREAD:
            frames.append(number_of(_frame_of(at)))
            at = calls[at.parent]
        frames.reverse()
        parts = [(call.held - call.cut, frames)]
        if call.cut > 0:
            parts.append((call.cut, [*frames, number_of(_special_frame(BELOW))]))
        for length, path in parts:
            if length > 0:
                key = at.label, tuple(path)
                held[key] = held.get(key, 0.0) + length
    order = sorted(held.items(), key=lambda item: item[0])
    return Stacks(
        frames=tuple(numbers),
        stacks=tuple(
            HeldStack(
                *(threads[place] if place >= 0 else ("unknown", None)),
                frames=path,
                held=length / 1e9,
            )
            for (place, path), length in order
        ),
        wall=wall,
        cut=math.fsum(call.cut for call in calls) / 1e9,
    )


def _frame_of(call: FoundCall) -> StackFrame:
    if call.place is None:
        return _special_frame(call.label)
    function, file, _, line, *_ = call.place
    return StackFrame(escaped(function), escaped(file), line)


def _special_frame(label: int) -> StackFrame:
    return StackFrame(_NO_LINES[label], "", 0)


def _profile(
    name: str,
    stacks: Sequence[HeldStack],
    samples: Sequence[Sequence[int]] | None = None,
) -> dict[str, Any]:
    weights = [stack.held for stack in stacks]
    if samples is None:
        samples = [stack.frames for stack in stacks]
    return {
        "type": "sampled",
        "name": name,
        "unit": "seconds",
        "startValue": 0,
        "endValue": math.fsum(weights),
        "samples": samples,
        "weights": weights,
    }


def _collapsible(text: str) -> str:
    """Return text that does not end a frame or a stack in the collapsed format."""
    return printable(text).replace(";", ",")


def _seconds(name: str, given: float) -> float:
    if not 0 <= given < math.inf:
        raise ArgumentError(f"{name}: expected seconds from 0 on, got {shown(given)}")
    return given
