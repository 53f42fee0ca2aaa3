"""Write docs/api.md from the docstrings: python docs/make_api.py.

With ``--check`` it is only compared, and the exit status is 1 if it is not up to date.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

PLACE = Path(__file__).with_name("api.md")
# What is public, in the order of the page: a module, a sentence, and its names.
MODULES = (
    (
        "gilx",
        "What most users need.",
        """run measure probe watch latency grain
        RunResult Report GilUsage Latency Grain Team""",
    ),
    (
        "gilx.testing",
        "Assertions, see [testing](testing.md); in pytest, see [the plugin](pytest.md).",
        """assert_releases_gil assert_holds_gil assert_scales judge_release judge_hold
        judge_scaling insist Verdict Failure Inconclusive ReleaseEvidence
        ScalingEvidence""",
    ),
    (
        "gilx.kernels",
        "Known work, see [guarantees](guarantees.md).",
        "names get Kernel Problem",
    ),
    (
        "gilx.ckernels",
        """The compiled functions, of which `mandelbrot_nogil` is shown for all. Each
kernel has two, `NAME_gil` and `NAME_nogil`, here and again in `gilx.cykernels`; `help()`
tells their arguments.""",
        "mandelbrot_nogil Counter spin rendezvous_nogil",
    ),
    (
        "gilx.pools",
        """Ways to run a region; `gilx.run` and `gilx.measure` take one by its name, or an
open one.""",
        "names start get Pool",
    ),
    (
        "gilx.speedup.report",
        "What `gilx.measure` returns, see [measuring](measuring.md).",
        "ReportRow Loss",
    ),
    ("gilx.speedup.report_comparison", "What `gilx compare` does.", ""),
    (
        "gilx.speedup.scaling_laws",
        "See [scaling laws](scaling_laws.md).",
        "fit usl karp_flatt",
    ),
    (
        "gilx.sampling.watch",
        "What `gilx.watch()` yields, see [watching](watching.md).",
        "Watch",
    ),
    ("gilx.sampling.timeline", "", "Timeline Lane Span"),
    ("gilx.sampling.prediction", "See [convoy delay](convoy.md).", "predict"),
    ("gilx.sampling.release_costs", "", "costs"),
    (
        "gilx.audit",
        "See [audits](audit.md).",
        "read_plan perform compare Plan PlanEntry Audit Line AuditChange",
    ),
    ("gilx.system.environment", "See [the doctor](doctor.md).", "Environment"),
    ("gilx.system.load", "", "snapshot between Conditions"),
    ("gilx.system.diagnostics", "", "examine Finding"),
    ("gilx.demo.chapters", "See [the demo](demo.md).", "tell Story"),
    ("gilx.errors", "", ""),
)
_HEADER = """# API

The public names, from their docstrings. Shapes and units are stated with each argument;
times are seconds, as floats, unless the name says otherwise. Intervals are `(low, high)`
at 95 %. What is not named here may change without notice.
"""
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)


def page() -> str:
    """Return the text of the page."""
    parts = [_HEADER]
    for module_name, sentence, chosen in MODULES:
        module = importlib.import_module(module_name)
        parts.append(f"## {module_name}\n")
        if sentence:
            parts.append(f"{sentence}\n")
        for name in chosen.split() or module.__all__:
            parts += _entry(f"{module_name}.{name}", getattr(module, name))
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> list[str]:
    """Return what is said of a function or a class."""
    lines = [f"### {name}\n"]
    if not (dataclasses.is_dataclass(thing) or _is_record(thing)):
        lines.append(f"```text\n{_signature(name.rpartition('.')[2], thing)}\n```\n")
    lines.append(_text(thing))
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for key, member in sorted(vars(thing).items()):
            if key.startswith("_") or not getattr(member, "__doc__", None):
                continue
            lines += _member(key, member)
    return lines


def _is_record(thing: Any) -> bool:
    """Return whether it is made by gilx only: an error, or a named tuple."""
    return inspect.isclass(thing) and issubclass(thing, tuple | BaseException)


def _member(key: str, member: Any) -> list[str]:
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    if isinstance(member, property) or inspect.isgetsetdescriptor(member):
        return [f"* **`.{key}`**: {_flow(_summary(member))}\n"]
    if not callable(member):
        return []  # a field; the class says what it is
    return [f"* **`.{_signature(key, member)}`**\n", textwrap.indent(_text(member), "  ")]


def _signature(name: str, thing: Any) -> str:
    """Return how it is called, with no types: they stand with the arguments."""
    words: list[str] = []
    by_name = False
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not by_name:
            words.append("*")
        by_name = parameter.kind in {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL}
        default = parameter.default
        bare = parameter.replace(annotation=parameter.empty, default=parameter.empty)
        words.append(str(bare))
        if default is not parameter.empty:
            words[-1] += f"={default.__name__ if callable(default) else repr(default)}"
    call = f"{name}({', '.join(words)})"
    return "\n".join(textwrap.wrap(call, 90, subsequent_indent="    "))


def _summary(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0]


def _text(thing: Any) -> str:
    """Return a docstring of numpydoc's form as Markdown."""
    own = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
    if not own:
        raise SystemExit(f"{thing!r} has no docstring")
    first, *rest = _SECTION.split(inspect.cleandoc(own))
    parts = [_paragraphs(first)]
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        if title == "Notes":
            parts.append(_paragraphs(body))
            continue
        parts.append(f"**{title}**\n\n{_entries(body)}\n")
    return "\n".join(parts)


def _paragraphs(text: str) -> str:
    return "\n\n".join(_flow(each) for each in text.strip().split("\n\n")) + "\n"


def _entries(body: str) -> str:
    """Return a section's entries, a line each and what is indented below, as a list."""
    items: list[tuple[str, list[str]]] = []
    for line in body.strip().splitlines():
        if line and not line.startswith(" "):
            items.append((line, []))
        elif line.strip():
            items[-1][1].append(line.strip())
    lines = []
    for head, below in items:
        names, colon, kind = head.partition(" : ")
        shown = f"`{names}`" + (f" ({_flow(kind)})" if colon else "")
        lines.append(f"* {shown}: {_flow(' '.join(below))}" if below else f"* {shown}")
    return "\n".join(lines)


def _flow(text: str) -> str:
    """Return text on one line, with code marked as Markdown does."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", " ".join(text.split()))
    pieces = re.split(r"(``.+?``|`[^`]+`)", text)
    # What is no code may hold signs that Markdown takes for its own.
    pieces[::2] = [re.sub(r"([*_<\[])", r"\\\1", each) for each in pieces[::2]]
    pieces[1::2] = [f"`{each.strip('`')}`" for each in pieces[1::2]]
    return "".join(pieces)


def main() -> None:
    """Write the page, or with --check say whether it is as it would be written."""
    if sys.argv[1:] == ["--check"]:
        if PLACE.read_text(encoding="utf-8") != page():
            raise SystemExit("docs/api.md is not up to date: python docs/make_api.py")
    elif sys.argv[1:]:
        raise SystemExit("expected no argument, or --check")
    else:
        PLACE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
