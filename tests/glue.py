"""A linter for the glue between C and Python: the GIL, buffers and references.

It reads tokens and blocks, not types, and believes that a call with ``Py`` in front is
Python's. What it looks for, in each function:

* what lets the GIL go takes it back, or the other way round, before any return;
* nothing of Python's is called in between, nor a function of the same file that does;
* a buffer that fills a local view is released before every later return;
* a new reference that a local variable holds is given up, returned or handed on, too.

A return is reached from the blocks around it, so what counts is what stands before it in
those. The block under the check of what was just got is the way out where there is nothing
to give back. Loops are read once. So a fault may stay unseen; what is reported is one, or
is worth writing more plainly.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fault", "faults"]

# What ends a stretch without the GIL, or one with it on a thread that had none.
_PAIRS = {
    "Py_BEGIN_ALLOW_THREADS": "Py_END_ALLOW_THREADS",
    "PyEval_SaveThread": "PyEval_RestoreThread",
    "PyGILState_Ensure": "PyGILState_Release",
}
_RELEASING = {"Py_BEGIN_ALLOW_THREADS", "PyEval_SaveThread"}
_NEW = re.compile(
    r"Py(Long|Float|Unicode|Bytes|Bool|Memory[Vv]iew|Capsule|Module)_(From|New|Create)\w*"
    r"|PyBytes_AsString|Py(List|Tuple|Dict|Set|StructSequence)_New|Py_BuildValue"
    r"|Py_New(Ref|Type)|PyObject_(Call\w*|GetAttr\w*|GetItem|Str|Repr|GetIter)"
    r"|PyNumber_\w+|PyImport_\w+|PyIter_Next|PyType_From\w+|PyStructSequence_NewType"
    r"|PySequence_(Fast|List|Tuple|GetItem)|PyErr_NewException\w*|PyMemoryView_\w+"
)
_GIVES_UP = {"Py_DECREF", "Py_XDECREF", "Py_CLEAR", "Py_SETREF"}
_TAKES_OVER = {
    "PyTuple_SET_ITEM",
    "PyList_SET_ITEM",
    "PyStructSequence_SET_ITEM",
    "PyStructSequence_SetItem",
    "PyErr_Restore",
    "PyModule_Add",
}
_TOKEN = re.compile(r"[A-Za-z_]\w*|->|&&|\|\||[=!<>]=|\+\+|--|\d[\w.]*|[^\s\w]")
_COMMENTS = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
    r"|^[ \t]*#(?:[^\n\\]|\\.)*",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where."""

    function: str
    line: int
    what: str

    def __str__(self) -> str:
        """Say so in a line."""
        return f"{self.line}: {self.function}: {self.what}"


@dataclass
class _Function:
    name: str
    tokens: list[tuple[str, int]]
    """The words of its body, each with its line."""
    returns_object: bool


@dataclass
class _Block:
    """A block that is open."""

    done: set[str] = field(default_factory=set)
    """What was given back in it."""
    excuses: set[str] = field(default_factory=set)
    """What is NULL in it."""
    only: set[str] = field(default_factory=set)
    """What is NULL wherever this block is passed by."""
    own: set[str] = field(default_factory=set)
    """The variables that end with it."""


def _tokens(source: str) -> list[tuple[str, int]]:
    def blank(match: re.Match[str]) -> str:
        return " " + "\n" * match.group().count("\n")

    clean = _COMMENTS.sub(blank, source)
    return [
        (word, number)
        for number, line in enumerate(clean.split("\n"), 1)
        for word in _TOKEN.findall(line)
    ]


def _functions(source: str) -> Iterator[_Function]:
    """Find the functions: a brace at the outermost level after a parenthesis."""
    tokens = _tokens(source)
    depth = start = 0
    head: list[str] = []
    for at, (word, _) in enumerate(tokens):
        if word == "{":
            depth += 1
            if depth == 1:
                start = at + 1
        elif word == "}":
            depth -= 1
            if depth == 0 and head and head[-1] == ")" and "=" not in head:
                opening = head.index("(")
                yield _Function(
                    head[opening - 1],
                    tokens[start:at],
                    "*" in head[:opening]
                    and bool({"PyObject", "PyTypeObject"} & set(head[:opening])),
                )
            if depth == 0:
                head = []
        elif depth == 0:
            head = [] if word == ";" else [*head, word]


def _closing(words: list[str], opening: int) -> int:
    """Return where the parenthesis that opens there is closed."""
    depth = 0
    for at in range(opening, len(words)):
        depth += (words[at] == "(") - (words[at] == ")")
        if depth == 0:
            return at
    raise ValueError("a parenthesis is never closed")


def _calls(words: list[str]) -> Iterator[int]:
    for at in range(len(words) - 1):
        if words[at + 1] == "(" and words[at][0].isalpha():
            yield at


def _is_python(word: str) -> bool:
    return bool(re.match(r"_?Py[A-Z_]", word))


def _needs_gil(function: _Function) -> bool:
    """Whether it calls Python as if it had the GIL when it was called."""
    words = [word for word, _ in function.tokens]
    if any(word in _PAIRS for word in words):
        return True
    return any(_is_python(words[at]) for at in _calls(words))


def _gil_faults(function: _Function, needing: set[str]) -> Iterator[Fault]:
    words = [word for word, _ in function.tokens]
    calls = set(_calls(words))
    opened: list[str] = []
    for at, (word, line) in enumerate(function.tokens):
        if word in _PAIRS:
            opened.append(word)
        elif word in _PAIRS.values():
            if not opened or _PAIRS[opened[-1]] != word:
                yield Fault(function.name, line, f"{word} ends nothing")
            else:
                opened.pop()
        elif not opened:
            continue
        elif word in {"return", "goto"}:
            yield Fault(function.name, line, f"{word} after {opened[-1]}")
        elif (
            opened[-1] in _RELEASING
            and at in calls
            and (_is_python(word) or word in needing)
        ):
            yield Fault(function.name, line, f"{word} without the GIL")
    if opened:
        line = function.tokens[-1][1]
        yield Fault(function.name, line, f"{opened[-1]} is never ended")


def _got(
    words: list[str], at: int, objects: set[str], filling: set[str], views: set[str]
) -> set[str]:
    """Return what the call there puts into local variables, to be given back."""
    if words[at] in filling:
        end = _closing(words, at + 1)
        inside = words[at:end]
        return {
            right
            for left, right in itertools.pairwise(inside)
            if left == "&" and right in views
        }
    if _NEW.fullmatch(words[at]) or words[at] in objects:
        before = at - 1
        if words[before] == ")":  # a cast
            while words[before] != "(":
                before -= 1
            before -= 1
        if words[before] == "=" and words[before - 2] not in {"->", "."}:
            return {words[before - 1]}
    return set()


def _given_back(words: list[str], at: int, held: set[str]) -> set[str]:
    """Return what the word there gives up, hands on or keeps elsewhere."""
    word = words[at]
    if word == "PyBuffer_Release" or word in _GIVES_UP or word in _TAKES_OVER:
        return held & set(words[at : _closing(words, at + 1)])
    if word in held and words[at - 1] == "=" and words[at + 1] == ";":
        return {word}  # to a field, or another name
    return set()


class _Walk:
    """A walk through a function that keeps account of what has to be given back."""

    def __init__(self, function: _Function, objects: set[str], filling: set[str]) -> None:
        self.function = function
        self.words = words = [word for word, _ in function.tokens]
        self.calls = set(_calls(words))
        self.objects, self.filling = objects, filling
        self.views = {
            words[at + 1]
            for at in range(len(words) - 1)
            if words[at] == "Py_buffer" and words[at + 1] != "*"
        }
        self.held: set[str] = set()
        self.blocks = [_Block()]
        self.following = _Block()  # the block that comes next
        self.start = self.until = -1  # the condition that is being read
        self.fresh: set[str] = set()  # what was got in it
        self.left = False  # whether the block ends by leaving it for good

    def faults(self) -> Iterator[Fault]:
        for at, (word, line) in enumerate(self.function.tokens):
            if word == "if":
                self.start, self.until = at + 2, _closing(self.words, at + 1)
                self.fresh = set()
            if at in self.calls:
                self.get(at)
            self.blocks[-1].done |= _given_back(self.words, at, self.held)
            if at == self.until:
                self.decide()
            lost: set[str] = set()
            if word == "{":
                self.blocks.append(self.following)
                self.following = _Block()
            elif word == "}":
                lost = self.leave_block(at)
            elif word == "return":
                lost = self.kept_by_return(at)
            if word in {"return", "goto", "continue", "break"}:
                self.left = True
            elif word in {"{", "}"}:
                self.left = False
            for name in sorted(lost):
                yield Fault(self.function.name, line, f"{name} is not given back")
        if not self.left:
            line = self.function.tokens[-1][1]
            for name in sorted(self.held - self.blocks[0].done):
                yield Fault(self.function.name, line, f"{name} is not given back")

    def get(self, at: int) -> None:
        got = _got(self.words, at, self.objects, self.filling, self.views)
        self.held |= got
        for block in self.blocks:
            block.done -= got
        if at < self.until:
            self.fresh |= got
        self.blocks[-1].own |= {name for name in got if _declared(self.words, at, name)}

    def decide(self) -> None:
        """Read a condition that is over."""
        condition = self.words[self.start : self.until]
        name, *rest = condition
        self.following = _Block(
            excuses={name} if rest == ["==", "NULL"] else self.fresh,
            only={name} if rest == ["!=", "NULL"] else set(),
        )

    def leave_block(self, at: int) -> set[str]:
        """Return what ends with the block and was not given back."""
        block = self.blocks.pop()
        lost = set() if self.left else (self.held & block.own) - block.done
        self.held -= block.own
        self.blocks[-1].done |= block.done & block.only
        if self.words[at + 1 : at + 2] == ["else"]:
            self.following = _Block(only=block.excuses)
        return lost

    def kept_by_return(self, at: int) -> set[str]:
        """Return what is neither returned nor was given back on the way."""
        settled = set(self.words[at : self.words.index(";", at)])
        for block in self.blocks:
            settled |= block.done | block.excuses
        return self.held - settled


def _declared(words: list[str], at: int, name: str) -> bool:
    """Whether the statement of the call there declares the variable of that name."""
    while words[at] not in {";", "{", "}"} and at > 0:
        if words[at] == name and words[at - 1] == "*":
            return True
        at -= 1
    return False


# Functions of the glue, too, that fill a view for who calls them from another file.
_FILLING = {"PyObject_GetBuffer", "gilx_get_buffer", "gilx_get_plain_memory"}


def _filling(functions: list[_Function]) -> set[str]:
    """Return the functions that fill a view which their caller has to release."""
    found = set(_FILLING)
    for function in functions:
        words = [word for word, _ in function.tokens]
        for at in _calls(words):
            inside = words[at : _closing(words, at + 1)]
            if words[at] in found and "&" not in inside:
                found.add(function.name)
    return found


def faults(source: str) -> list[Fault]:
    """Return what is wrong in a file of the glue, given as its text."""
    functions = list(_functions(source))
    needing = {one.name for one in functions if _needs_gil(one)}
    objects = {one.name for one in functions if one.returns_object}
    filling = _filling(functions)
    return [
        fault
        for one in functions
        for fault in (*_gil_faults(one, needing), *_Walk(one, objects, filling).faults())
    ]
