"""Frozen records as JSON text and back, with every value checked on the way in.

A file of figures may be truncated, of another version, or made to harm: a record is built
from it only if each field is there and of the type that the record declares.
"""

from __future__ import annotations

import importlib
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import (
    Any,
    ClassVar,
    Literal,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from gilx.errors import ArgumentError, shown
from gilx.estimate import Estimate

_MOST = 2**63 - 1  # what is larger, no float may hold
_LONGEST = 64_000_000  # characters of a text that is read: more is none of ours

# JSON has no words for these numbers (RFC 8259, section 6), so they go as text; what is
# not a number is not known, and that is null.
_INFINITE = {"inf": math.inf, "-inf": -math.inf}


class Record:
    """Base of frozen dataclasses that are kept as JSON text.

    Their annotations can be resolved when the program runs. A record that is read, and
    each record in it, is asked by its method ``_check`` whether its values make sense.
    """

    _schema: ClassVar[str]
    _version: ClassVar[int]

    def __init_subclass__(cls, schema: str = "", version: int = 1) -> None:
        if schema:
            cls._schema, cls._version = schema, version

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the record as JSON text, which `from_json` reads."""
        names = {"schema": self._schema, "version": self._version}
        return json.dumps({**names, **encode(self)}, allow_nan=False, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the record that `to_json` wrote.

        Raises
        ------
        ArgumentError
            The text is not such a record, was written by a newer gilx, or has a field
            that is missing, unknown, of another type, or has a value that makes no sense.

        """
        schema, version = cls._schema, cls._version
        expected = f"text: expected JSON of schema {schema}, version {version}"
        found = read_object(text, expected)
        which = found.pop("schema", None), found.pop("version", None)
        if which != (schema, version) or isinstance(which[1], bool):
            newer = (
                "; a newer gilx wrote it"
                if which[0] == schema and isinstance(which[1], int) and which[1] > version
                else ""
            )
            name = shown(which[0]).strip("'")
            got = f"{name}, version {shown(which[1])}{newer}"
            raise ArgumentError(f"{expected}; got {got}")
        record: Self = decode(cls, found, "text")
        return record


def render(record: object, form: str) -> Any:  # noqa: ANN401 - text or a figure
    """Return a record in one of its forms: see `gilx.rendering.render`.

    This is the one place where a lower part calls a higher one, so that records can have
    `plot` and `to_html` while they know nothing of how that is done.
    """
    return importlib.import_module("gilx.rendering").render(record, form)


def read_object(text: str, expected: str) -> dict[str, Any]:
    """Return a JSON object.

    Parameters
    ----------
    text : str
        JSON text.
    expected : str
        What a message begins with.

    Raises
    ------
    ArgumentError
        The text is something else, or very long.

    """
    if not isinstance(text, str):
        raise ArgumentError(f"{expected}; got {shown(text)}")
    if len(text) > _LONGEST:
        raise ArgumentError(f"text: expected at most {_LONGEST} characters of JSON")
    text = text.removeprefix("\ufeff")  # a byte order mark, which some editors write
    try:
        found: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, TypeError, RecursionError) as error:
        raise ArgumentError(f"{expected}; got other text ({error})") from None
    if not isinstance(found, dict):
        raise ArgumentError(f"{expected}; got no JSON object")
    return found


def encode(value: Any) -> Any:  # noqa: ANN401 - any field of a record
    """Return what JSON has for a record, or for what its fields hold."""
    if isinstance(value, Estimate) and not value.known:
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: encode(getattr(value, each.name))
            for each in fields(value)
            if each.init
        }
    if isinstance(value, (tuple, list)):
        return [encode(one) for one in value]
    if isinstance(value, Mapping):
        return {key: encode(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


_hints = cache(get_type_hints)  # a timeline has very many spans


def decode(kind: Any, found: object, where: str) -> Any:  # noqa: ANN401 - as `kind` says
    """Return what JSON holds as a value of a type, one that a record's field may have.

    Raises
    ------
    ArgumentError
        The text does not have the value of such a record; the message says where.

    """
    if kind is Estimate and found is None:
        return Estimate.unknown()
    if isinstance(kind, type) and is_dataclass(kind):
        return _decode_record(kind, found, where)
    if kind is Any:
        return found
    if isinstance(kind, type) and hasattr(kind, "_make"):  # a named tuple
        kinds = tuple(_hints(kind).values())
        return kind._make(_decode_tuple(kinds, found, where))
    origin = get_origin(kind)
    if origin is None:
        return _decode_scalar(kind, found, where)
    return _ORIGINS[origin](get_args(kind), found, where)


def _decode_scalar(kind: Any, found: object, where: str) -> object:  # noqa: ANN401 - a type
    right: Any = {str: str, bool: bool, int: int, float: (int, float)}[kind]
    if kind is float and found is None:
        return math.nan
    if kind is float and isinstance(found, str) and found in _INFINITE:
        return _INFINITE[found]
    if not isinstance(found, right) or (isinstance(found, bool) and kind is not bool):
        raise _wrong(where, kind.__name__, found)
    if isinstance(found, str) and not found.isprintable():
        # It could make a terminal do things.
        raise _wrong(where, "printable text", found)
    if kind is int and not -_MOST <= int(found) <= _MOST:
        raise _wrong(where, "a whole number of 64 bits", found)
    if kind is not float:
        return found
    try:
        number = float(found)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):  # those that may be so are text
        raise _wrong(where, "float", found)
    return number


def _decode_record(
    kind: Any,  # noqa: ANN401 - any dataclass
    found: object,
    where: str,
) -> object:
    if not isinstance(found, dict):
        raise _wrong(where, "an object", found)
    hints = _hints(kind)
    names = _names(kind)
    if unknown := sorted(set(found) - set(names)):
        raise ArgumentError(f"{where}: expected no field {shown(unknown[0])}")
    if missing := [name for name in names if name not in found]:
        raise ArgumentError(f"{where}: expected a field {missing[0]!r}, got none")
    record = kind(
        **{name: decode(hints[name], found[name], f"{where}.{name}") for name in names}
    )
    if (check := getattr(record, "_check", None)) is not None:
        check(where)
    return record


def _names(kind: Any) -> list[str]:  # noqa: ANN401 - any dataclass
    """Return the names of the fields that JSON has."""
    return [each.name for each in fields(kind) if each.init]


def _decode_union(kinds: tuple[Any, ...], found: object, where: str) -> object:
    if found is None and type(None) in kinds:
        return None
    rest = [kind for kind in kinds if kind is not type(None)]
    if isinstance(found, dict):  # a message is about the record that has these fields
        rest.sort(key=lambda kind: is_dataclass(kind) and {*_names(kind)} == {*found})
    for kind in rest[:-1]:
        try:
            return decode(kind, found, where)
        except ArgumentError:
            continue
    return decode(rest[-1], found, where)


def _decode_tuple(kinds: tuple[Any, ...], found: object, where: str) -> tuple[Any, ...]:
    if not isinstance(found, list):
        raise _wrong(where, "a list", found)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(found)
    if len(kinds) != len(found):
        raise _wrong(where, f"a list of {len(kinds)}", found)
    return tuple(
        decode(kind, one, f"{where}[{number}]")
        for number, (kind, one) in enumerate(zip(kinds, found, strict=True))
    )


def _decode_mapping(kinds: tuple[Any, ...], found: object, where: str) -> object:
    if not isinstance(found, dict):
        raise _wrong(where, "an object", found)
    key_kind, kind = kinds
    return {
        decode(key_kind, key, where): decode(kind, one, f"{where}.{key}")
        for key, one in found.items()
    }


def _decode_literal(words: tuple[Any, ...], found: object, where: str) -> object:
    if not isinstance(found, str) or found not in words:
        raise _wrong(where, f"one of {', '.join(words)}", found)
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _wrong(where: str, expected: str, found: object) -> ArgumentError:
    return ArgumentError(f"{where}: expected {expected}, got {shown(found)}")


# How what holds other values is read, by its origin.
_ORIGINS: dict[object, Callable[[tuple[Any, ...], object, str], object]] = {
    Union: _decode_union,
    types.UnionType: _decode_union,
    tuple: _decode_tuple,
    Mapping: _decode_mapping,
    Literal: _decode_literal,
}
