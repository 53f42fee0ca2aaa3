"""Plans of audits, read from TOML files."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx.audit.claim import Claim
from gilx.callable_lookup import find_callable
from gilx.errors import MOST_WORKERS, ArgumentError, above_zero, at_least, shown
from gilx.files import decoded
from gilx.formatting import one_line, printable
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BUDGET = 10.0
_SHARED = ("workers", "budget", "setup")  # keys that [defaults] may have, too
_OWN = ("target", "name", "arguments", "keywords", "sizes", "claim")
_CLAIM = ("releases", "words", "link", "from_size")
_MOST_BYTES = 4_000_000


@dataclass(frozen=True)
class PlanEntry:
    """One callable with its arguments, at one size or several.

    Code is Python's, run in an empty namespace in which ``size`` is one of the sizes.
    """

    name: str
    """Name in tables; unique in a plan."""
    target: str
    """``module:callable``."""
    setup: str = ""
    """Statements, run once before the calls; their names can be used in arguments."""
    arguments: tuple[Any, ...] = ()
    """Positional arguments: text is a Python expression, any other value stands for
    itself."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """The same for keyword arguments."""
    sizes: tuple[int | None, ...] = (None,)
    """None if the call has no size."""
    workers: tuple[int, ...] = (2,)
    """Numbers of threads that call it at once."""
    budget: float = _BUDGET
    """Seconds that one size may take with one number of workers."""
    claim: Claim | None = None
    """Claim of its maintainers about the GIL."""

    def call(self, size: int | None) -> PlannedCall:
        """Return the call at one size, with its arguments.

        Raises
        ------
        ArgumentError
            The target can't be found.
        Exception
            What the setup or an argument raises.

        """
        label = self.name if size is None else f"{self.name} [{size}]"
        return PlannedCall(
            label, self.target, self.setup, self.arguments, dict(self.keywords), size
        )


@dataclass(frozen=True)
class Plan:
    """Calls to audit."""

    entries: tuple[PlanEntry, ...]

    def only(self, words: Sequence[str]) -> Plan:
        """Return the plan of the entries whose names contain one of these words.

        Raises
        ------
        ArgumentError
            No name contains one of them.

        """
        chosen = tuple(
            entry for entry in self.entries if any(word in entry.name for word in words)
        )
        if not chosen:
            names = ", ".join(entry.name for entry in self.entries)
            raise ArgumentError(
                f"only: expected part of one of the names {names}; got"
                f" {', '.join(map(repr, words))}"
            )
        return Plan(chosen)


class PlannedCall:
    """A call that is sent to other processes as its code, not as its arguments.

    So arguments need not be picklable, and nothing large is sent.
    """

    def __init__(
        self,
        label: str,
        target: str,
        setup: str,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        size: int | None,
    ) -> None:
        self.__qualname__ = label
        self._made_of = label, target, setup, arguments, keywords, size
        # An audit runs code by design: the author of the file writes code.
        names: dict[str, Any] = {"__name__": "audit", "size": size}
        if setup:
            exec(compile(setup, f"<setup of {label}>", "exec"), names)  # noqa: S102
        self._args = tuple(_value(argument, names, label) for argument in arguments)
        self._keywords = {
            name: _value(argument, names, label) for name, argument in keywords.items()
        }
        self._fn = find_callable(target)

    def __call__(self) -> object:
        """Make the call."""
        return self._fn(*self._args, **self._keywords)

    def __reduce__(self) -> tuple[type[PlannedCall], tuple[Any, ...]]:
        return PlannedCall, self._made_of


def _value(argument: object, names: dict[str, Any], label: str) -> object:
    if not isinstance(argument, str):
        return argument
    code = compile(argument, f"<argument of {label}>", "eval")
    return eval(code, names)  # noqa: S307 - as the setup


def read_plan(path: str | Path) -> Plan:
    """Read a plan from a TOML file.

    Parameters
    ----------
    path : str or Path
        A file with tables ``[[call]]``, each with a ``target`` and, if need be,
        ``name``, ``setup``, ``arguments``, ``keywords``, ``sizes``, ``workers`` and
        ``budget``; the last two and a first part of all setups may be in ``[defaults]``.

    Returns
    -------
    Plan
        The plan, whose targets can all be found.

    Raises
    ------
    ArgumentError
        The file can't be read, is not TOML, or says something that can't be used; the
        message is one line that names the file, the place and what would be right.

    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ArgumentError(f"{path}: can't be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise ArgumentError(f"{path}: expected at most {_MOST_BYTES} bytes of TOML")
    try:
        text = decoded(data)
    except ValueError as error:
        raise ArgumentError(f"{path}: {error}") from None
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{path}: expected TOML: {error}") from None
    try:
        return _plan(table)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from error


def _plan(table: dict[str, Any]) -> Plan:
    _only_known("the file", table, ("defaults", "call"))
    defaults = table.get("defaults", {})
    if not isinstance(defaults, dict):
        raise ArgumentError(f"defaults: expected a table, got {shown(defaults)}")
    _only_known("defaults", defaults, _SHARED)
    calls = table.get("call", [])
    if not isinstance(calls, list) or not calls:
        raise ArgumentError("call: expected at least one table [[call]]")
    entries = tuple(
        _subject(f"call {number}", table, defaults)
        for number, table in enumerate(calls, 1)
    )
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(
                f"call: expected one {shown(name)}, got {names.count(name)}:"
                " give them names"
            )
    return Plan(entries)


def _subject(where: str, table: object, defaults: Mapping[str, Any]) -> PlanEntry:
    if not isinstance(table, dict):
        raise ArgumentError(f"{where}: expected a table, got {shown(table)}")
    _only_known(where, table, (*_OWN, *_SHARED))
    if "target" not in table:
        raise ArgumentError(f"{where}: expected a target, such as 'json:loads'; got none")
    target = _text(where, "target", table)
    name = printable(_text(where, "name", table, target))
    where = f"{where} ({shown(name)[1:-1]})"
    arguments = table.get("arguments", [])
    if not isinstance(arguments, list):
        raise ArgumentError(
            f"{where}: arguments: expected a list, got {shown(arguments)}"
        )
    keywords = table.get("keywords", {})
    if not isinstance(keywords, dict):
        raise ArgumentError(f"{where}: keywords: expected a table, got {shown(keywords)}")
    setups = [_text(where, "setup", given, "") for given in (defaults, table)]
    setup = "\n".join(part for part in setups if part)
    for what, code, mode in (
        ("setup", setup, "exec"),
        *(("arguments", code, "eval") for code in arguments),
        *((f"keywords: {key}", code, "eval") for key, code in keywords.items()),
    ):
        _check_code(f"{where}: {what}", code, mode)
    sizes = table.get("sizes")
    both = {**defaults, **table}
    try:
        find_callable(target)
        return PlanEntry(
            name=name,
            target=target,
            setup=setup,
            arguments=tuple(arguments),
            keywords=keywords,
            sizes=(None,) if sizes is None else _numbers("sizes", sizes, 0),
            workers=_numbers(
                "workers", both.get("workers", max(2, usable_cpus())), 2, MOST_WORKERS
            ),
            budget=above_zero("budget", both.get("budget", _BUDGET)),
            claim=_claim(table["claim"]) if "claim" in table else None,
        )
    except ArgumentError as error:
        raise ArgumentError(f"{where}: {error}") from error


def _claim(given: object) -> Claim:
    if not isinstance(given, dict):
        raise ArgumentError(f"claim: expected a table, got {shown(given)}")
    _only_known("claim", given, _CLAIM)
    releases, link = given.get("releases"), _text("claim", "link", given)
    if not isinstance(releases, bool):
        raise ArgumentError(
            f"claim: releases: expected true or false, got {shown(releases)}"
        )
    if not link.startswith("https://"):
        raise ArgumentError(f"claim: link: expected https://..., got {shown(link)}")
    return Claim(
        releases=releases,
        words=printable(_text("claim", "words", given)),
        link=printable(link),
        from_size=at_least("claim: from_size", given.get("from_size", 0), 0),
    )


def _only_known(where: str, table: Mapping[str, object], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise ArgumentError(
                f"{where}: expected keys among {', '.join(known)}; got {shown(key)}"
            )


def _text(
    where: str, key: str, table: Mapping[str, object], default: str | None = None
) -> str:
    given = table.get(key, default)
    if not isinstance(given, str) or (not given and default is None):
        raise ArgumentError(f"{where}: {key}: expected text, got {shown(given)}")
    return given


def _check_code(where: str, code: object, mode: str) -> None:
    if not isinstance(code, str):
        return
    try:
        compile(code, "<audit>", mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        kind = "an expression" if mode == "eval" else "statements"
        raise ArgumentError(
            f"{where}: expected Python ({kind}), got {shown(code)}: {one_line(error)}"
        ) from None


def _numbers(
    name: str, given: object, least: int, most: int | None = None
) -> tuple[int, ...]:
    if isinstance(given, list):
        if not given:
            raise ArgumentError(f"{name}: expected at least one number, got none")
        return tuple(
            dict.fromkeys(at_least(name, number, least, most) for number in given)
        )
    return (at_least(name, given, least, most),)
