"""Every record that can be read from a file, the command that reads files, and plans.

Records are found by looking for ``from_json``, and made from the types of their fields;
then their JSON is damaged. Reading it gives `ArgumentError` or a record that can be
written, read and shown again. Plans of audits are TOML, which is damaged, too; none of
their code may run while they are read.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import importlib
import importlib.util
import io
import json
import pkgutil
import tempfile
import types
import typing
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gilx
from gilx.audit import read_plan
from gilx.cli import main
from gilx.errors import ArgumentError, MissingExtraError
from gilx.sampling.cluster_usage import ClusterUsage
from gilx.sampling.usage import GilUsage
from gilx.speedup.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

__all__ = ["fuzz", "make", "modules", "records"]

_NUMBERS = (0.0, 1.0, 0.5, 1e-9, 2.5, 100.0)
_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**53, 2**63, 10**400, -1e308, 0.5, "", "nan", "inf", "x\x1b[31m",
    "\ud800", "\0", "x" * 5000, [], {}, [[]], [None], {"a": 1}, [1, 2], [1, 2, 3],
)  # fmt: skip


def modules(*endings: str) -> Iterator[types.ModuleType]:
    """Yield the modules of gilx whose files' names end so, if what they need is here."""
    for info in pkgutil.walk_packages(gilx.__path__, "gilx."):
        spec = importlib.util.find_spec(info.name)
        assert spec is not None
        if (spec.origin or "").endswith(endings) and info.name != "gilx.__main__":
            try:
                yield importlib.import_module(info.name)
            except MissingExtraError:
                continue


@cache
def records() -> list[Any]:
    """Return the classes of gilx that have ``from_json``."""
    return [
        value
        for module in modules(".py")
        for value in vars(module).values()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and hasattr(value, "from_json")
        and value.__module__ == module.__name__
    ]


@cache
def _hints(kind: Any) -> dict[str, Any]:
    names: dict[str, Any] = {**vars(collections.abc), **vars(typing)}
    return typing.get_type_hints(kind, localns=names)


@cache
def _vocabulary(module: str) -> list[str]:
    """Return words that the module of a record knows."""
    found = ["", "threads", "c-nogil", "mandelbrot", "a b"]
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, (dict, tuple, list, frozenset)):
            found += [each for each in value if isinstance(each, str)]
    return found


def make(draw: Random, kind: Any, module: str) -> Any:
    """Return a value of a type that a record's field has."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        names = [each.name for each in dataclasses.fields(kind) if each.init]
        hints = _hints(kind)
        found = {name: make(draw, hints[name], kind.__module__) for name in names}
        if kind is GilUsage and found["sums"].valid:  # others are refused
            found |= found["sums"].figures()
        if kind is ClusterUsage and _all_valid(found["by_worker"].values()):
            return kind.of(found["by_worker"], found["notes"])
        return kind(**found)
    if origin in (typing.Union, types.UnionType):
        return make(draw, draw.choice(inner), module)
    if origin is tuple:
        several = (inner[0],) * draw.randrange(4) if inner[-1] is ... else inner
        return tuple(make(draw, each, module) for each in several)
    if origin in (dict, collections.abc.Mapping):
        keys = draw.sample(_vocabulary(module), 2)
        return {key: make(draw, inner[1], module) for key in keys}
    simple: dict[Any, Any] = {
        float: lambda: draw.choice(_NUMBERS),
        int: lambda: draw.randrange(1, 9),
        bool: lambda: draw.random() < 0.5,
        str: lambda: draw.choice(_vocabulary(module)),
    }
    return simple[kind]() if kind in simple else None


def _all_valid(usages: Iterable[GilUsage]) -> bool:
    return all(usage.sums.valid for usage in usages)


def _damage(draw: Random, value: Any) -> Any:
    """Return JSON's value with something in it changed."""
    if draw.random() < 0.2 or not isinstance(value, (dict, list)) or not value:
        return deepcopy(draw.choice(_ODD))
    key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
    way = draw.random()
    if way < 0.15:
        del value[key]
    elif way < 0.25 and isinstance(value, dict):
        value[draw.choice(("more", "", "schema", "version"))] = deepcopy(
            draw.choice(_ODD)
        )
    elif way < 0.25 and isinstance(value, list):
        value.append(value[key])
    else:
        value[key] = _damage(draw, value[key])
    return value


def _damage_text(draw: Random, text: str) -> str:
    at = draw.randrange(len(text) + 1)
    return draw.choice(
        (
            text[:at],
            text[:at] + draw.choice('"{}[],:0\\\0\ud800é') + text[at:],
            text + text,
            "[" * 100_000,
            '{"a":' * 50_000,
            text.replace("1", "9" * 5000),
            text.replace("1", "1e999"),
            text.replace("1", "NaN"),
            text.replace("1", "-Infinity"),
            "\ufeff" + text,
            "",
        )
    )


def _text(draw: Random, kind: Any) -> str:
    """Return the JSON of a record, damaged or not."""
    text = str(make(draw, kind, kind.__module__).to_json())
    way = draw.random()
    if way < 0.75:
        value = json.loads(text)
        for _ in range(draw.randint(1, 2)):
            value = _damage(draw, value)
        return json.dumps(value)
    return _damage_text(draw, text) if way < 0.95 else text


def _read(kind: Any, text: str) -> None:
    try:
        record = kind.from_json(text)
    except ArgumentError as error:
        words = str(error)
        assert words.startswith("text"), f"not about the text: {words[:200]}"
        assert len(words) < 2000, f"{len(words)} characters of words"
        return
    again = record.to_json()
    assert kind.from_json(again).to_json() == again, "it changed on the way"
    str(record)
    if hasattr(record, "_repr_html_"):
        record._repr_html_()
    if hasattr(record, "to_csv"):
        record.to_csv()


def _compare(draw: Random) -> None:
    """Let the command compare two files, either of which may be anything."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for name in ("a.json", "b.json"):
            path = Path(directory, name)
            text = _text(draw, Report) if draw.random() < 0.9 else ""
            data = text.encode(errors="surrogatepass")
            if draw.random() < 0.1:
                data = draw.randbytes(50) + data
            path.write_bytes(data)
            paths.append(str(path) if draw.random() < 0.95 else directory)
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = main(["compare", *paths, *["--force"] * draw.randrange(2)])
        assert status in (0, 1, 2), status
        lines = errors.getvalue().splitlines()
        assert len(lines) == (1 if status == 2 else 0), lines


_PLAN_VALUES = (
    '"json:loads"', '"builtins:sorted"', '"nope:nope"', '"math:pi"', '":"', '""', '"x y"',
    "[]", "[1, 2]", "[0]", "[-1]", "[[1]]", '["size", "(" , 3.5]', "{}", "{x = 'size'}",
    "0", "1", "2", "-1", "1e400", "nan", "inf", "-0.0", "9" * 5000, "true", "1979-05-27",
    "'", '"\\ud800"', '"\\u0000"', '"\\u001b[31m"', '"""a\nb"""', f"'{'x' * 5000}'",
    f"'{'(' * 1000}'", f"'{'-' * 30_000}1'", f"'{'a.' * 30_000}a'", "[" * 3000,
    "'raise SystemExit'", "'import os; os._exit(9)'",
    "{ releases = true, words = 'x', link = 'https://x' }", "'https://\\u001b'",
)  # fmt: skip
_PLAN_KEYS = (
    "target", "name", "setup", "arguments", "keywords", "sizes", "workers", "budget", "x",
    "claim", "claim.releases", "claim.words", "claim.link", "claim.from_size",
)  # fmt: skip


def _plan(draw: Random) -> None:
    """Read a plan that is good, or bad in its values, its order or its characters."""
    lines = ["[defaults]"] * draw.randrange(2)
    for _ in range(draw.randrange(4)):
        lines += ["[[call]]", 'target = "json:loads"'][: draw.randint(1, 2)]
        lines += [
            f"{draw.choice(_PLAN_KEYS)} = {draw.choice(_PLAN_VALUES)}"
            for _ in range(draw.randrange(4))
        ]
    if draw.random() < 0.1:
        draw.shuffle(lines)
    data = "\n".join(lines).encode()
    if draw.random() < 0.2:
        at = draw.randrange(len(data) + 1)
        data = data[:at] + draw.randbytes(draw.randrange(4)) + data[at + 1 :]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "audit.toml")
        path.write_bytes(data)
        try:
            plan = read_plan(path)
        except ArgumentError as error:
            words = str(error).removeprefix(str(path))
            assert words.startswith(": "), f"not about the file: {words[:200]}"
            assert len(words) < 2000, f"{len(words)} characters of words"
            assert words.isprintable(), f"not a line that can be printed: {words[:200]!r}"
            return
    assert plan.entries
    assert all(subject.target for subject in plan.entries)


def fuzz(draw: Random, kinds: list[Any]) -> int:
    """Read one record or plan, or compare two files; returns 1."""
    way = draw.random()
    if way < 0.3:
        (_compare if way < 0.15 else _plan)(draw)
        return 1
    kind = draw.choice(kinds)
    try:
        text = _text(draw, kind)
    except ArgumentError:
        return 1  # the record itself refuses what was drawn
    _read(kind, text)
    return 1
