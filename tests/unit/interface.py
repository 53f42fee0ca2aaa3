"""The public interface as text: names and signatures, options, fields of records.

``python -m tests.unit.interface`` writes ``tests/unit/interface.txt``, with which
``tests/unit/test_interface.py`` compares it. Write it anew when the interface changes on purpose.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from gilx import cli
from gilx.records import Record
from tests.fuzz.files import records as fuzzed_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

PLACE = Path(__file__).with_name("interface.txt")
# Modules whose public names are promised.
MODULES = (
    *("gilx", "gilx.testing", "gilx.kernels", "gilx.ckernels", "gilx.pools"),
    *("gilx.audit", "gilx.errors", "gilx.prometheus", "gilx.dask"),
)


def interface(missing: Sequence[str] = ()) -> str:
    """Return the public interface, one name, option or field a line.

    Modules that are `missing`, since they need other packages, are left out.
    """
    lines = []
    for name in MODULES:
        if name in missing:
            continue
        lines += [f"# {name}", *names(importlib.import_module(name)), ""]
    lines += ["# command", *options(), ""]
    lines += ["# records", *records()]
    return "\n".join(lines) + "\n"


def names(module: ModuleType) -> Iterator[str]:
    """Yield the public names of a module with their signatures and methods."""
    public = getattr(module, "__all__", None) or [
        name for name in vars(module) if not name.startswith("_")
    ]
    for name in sorted(public):
        value = getattr(module, name)
        yield f"{name}{signature(value)}"
        if inspect.isclass(value):
            shared = vars(Record) if issubclass(value, Record) else {}
            members: dict[str, Any] = {**shared, **vars(value)}
            for each, member in sorted(members.items()):
                if not each.startswith(("_", "n_")):
                    yield f"    {each}{signature(member)}"


def signature(value: Any) -> str:
    """Return the signature of what can be called, else nothing."""
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if not callable(value) or get_origin(value) is not None:
        return ""
    if inspect.isclass(value) and issubclass(value, (BaseException, tuple)):
        return ""  # their signatures are Python's own
    try:
        found = inspect.signature(value)
    except ValueError:
        return "(...)"
    parameters = [
        # Objects show where they are in memory.
        p.replace(annotation=p.empty)
        if p.default is p.empty or not re.search(" at 0x", repr(p.default))
        else p.replace(annotation=p.empty, default=...)
        for p in found.parameters.values()
    ]
    return str(found.replace(parameters=parameters, return_annotation=found.empty))


def options() -> Iterator[str]:
    """Yield the arguments and options of every command."""
    _, commands = cli._parser()
    for name, parser in sorted(commands.items()):
        importlib.import_module(f"gilx.cli.{name}").add_arguments(parser)
        yield f"gilx {name}"
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction):
                continue
            said = "|".join(action.option_strings) or action.dest
            shape = "" if action.nargs is None else f" nargs={action.nargs}"
            choices = (
                f" of {', '.join(map(str, action.choices))}" if action.choices else ""
            )
            yield f"    {said}{shape}{choices} = {action.default!r}"


def records() -> Iterator[str]:
    """Yield the JSON fields of every class that has ``to_json``, and their types."""
    done: set[type[Any]] = set()
    for record in sorted(fuzzed_records(), key=lambda record: str(record.__name__)):
        yield from _fields(record, done)


def _fields(record: type[Any], done: set[type[Any]]) -> Iterator[str]:
    if record in done:
        return
    done.add(record)
    inner: list[type[Any]] = []
    module = vars(importlib.import_module(record.__module__))
    schema = f" ({record._schema})" if issubclass(record, Record) else ""
    yield f"{record.__name__}{schema}"
    for field in _members(record):
        name, kind = field
        yield f"    {name}: {kind}"
        for word in re.findall(r"\w+", kind):
            value = module.get(word)
            if inspect.isclass(value) and _members(value):
                inner.append(value)
    for one in inner:
        yield from _fields(one, done)


def _members(record: type[Any]) -> list[tuple[str, str]]:
    if dataclasses.is_dataclass(record):
        return [(field.name, str(field.type)) for field in dataclasses.fields(record)]
    if hasattr(record, "_fields"):
        return [(name, str(record.__annotations__[name])) for name in record._fields]
    return []


if __name__ == "__main__":
    PLACE.write_text(interface())
