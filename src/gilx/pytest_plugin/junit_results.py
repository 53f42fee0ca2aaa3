"""Results so far as JUnit XML, for a run that ends before pytest writes its own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from gilx.owned_file import OwnedFile

if TYPE_CHECKING:
    import pytest

__all__ = ["JUnitResults"]

_COUNTS_BYTES = 100  # for the counts, which are padded with spaces
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_END = "</testsuite></testsuites>\n"
_OUTCOMES = {"failed": "failure", "skipped": "skipped"}


class JUnitResults:
    """File of ``--junitxml`` while tests run, complete after each change.

    It has the results of the tests that have ended, and an entry for what runs now, which
    says that the process ended meanwhile: if it does not end then, pytest replaces the
    file with its own. The entry and what follows it are written by one system call.

    Parameters
    ----------
    path : str
        The file. Directories that are missing are made, as pytest does.
    suite, prefix : str
        Name of the test suite, and what precedes names of classes.
    reason : str
        Why the process may end.

    Raises
    ------
    OSError
        The file can't be written.

    """

    def __init__(self, path: str, suite: str, prefix: str, reason: str) -> None:
        self._place = os.path.abspath(os.path.expanduser(os.path.expandvars(path)))
        os.makedirs(os.path.dirname(self._place), exist_ok=True)
        how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._file = OwnedFile(os.open(self._place, how, 0o666))
        self._prefix, self._reason = prefix, reason
        self._head = (
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f"<testsuites><testsuite name={quoteattr(_legal(suite))}"
        )
        self._counts = dict.fromkeys(("tests", "errors", "failures", "skipped"), 0)
        self._size = 0  # of the file
        self._end = (
            len(self._head.encode()) + _COUNTS_BYTES
        )  # of the part with tests that have ended
        self._open: dict[str, _Test] = {}  # tests that have not ended
        self.begin("", "tests were collected")

    def begin(self, nodeid: str, what: str) -> None:
        """Note what runs now: a test, or something else if `nodeid` is empty."""
        words = f"the process ended while {what}: {self._reason}"
        last = _Test()
        last.add("failure" if nodeid else "error", words, "")
        self._write("", last.text(*self._names(nodeid)), last)

    def add(self, report: pytest.TestReport) -> None:
        """Add the report on a part of a test."""
        test = self._open.setdefault(report.nodeid, _Test())
        test.seconds += report.duration
        kind = _OUTCOMES.get(report.outcome)
        if kind == "skipped" and isinstance(report.longrepr, tuple):
            test.add(kind, report.longrepr[2], "")
        elif kind is not None:
            if report.failed and report.when != "call":
                kind = "error"
            crash = getattr(report.longrepr, "reprcrash", None)
            message = getattr(report, "wasxfail", getattr(crash, "message", ""))
            test.add(kind, str(message), report.longreprtext)

    def end(self, nodeid: str) -> None:
        """Keep the result of a test that has ended."""
        test = self._open.pop(nodeid, None)
        if test is not None:
            for name, count in test.counts().items():
                self._counts[name] += count
            self._write(test.text(*self._names(nodeid)), "", _Test())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _names(self, nodeid: str) -> tuple[str, str]:
        """Return the class and the name that pytest gives a test in JUnit XML."""
        if not nodeid:
            return "", "pytest"
        path, bracket, parameters = nodeid.partition("[")
        first, *others = path.split("::")
        names = [first.replace("/", ".").removesuffix(".py"), *others]
        names[-1] += bracket + parameters
        prefix = [self._prefix] if self._prefix else []
        return ".".join([*prefix, *names[:-1]]), names[-1]

    def _write(self, ended: str, running: str, last: _Test) -> None:
        counts = {
            name: self._counts[name] + count for name, count in last.counts().items()
        } if running else self._counts  # fmt: skip
        words = "".join(f' {name}="{count}"' for name, count in counts.items())
        head = self._head.encode() + _padded(words, _COUNTS_BYTES - 2) + b">\n"
        self._write_at(0, head)
        kept = ended.encode()
        # Spaces overwrite what was longer, so that the file is never truncated.
        text = _padded(ended + running + _END, self._size - self._end)
        self._write_at(self._end, text)
        self._size = self._end + len(text)
        self._end += len(kept)

    def _write_at(self, place: int, data: bytes) -> None:
        if not self._file.is_own:  # a test has closed every descriptor
            self._file = self._file.opened_again(self._place, os.O_WRONLY)
        os.pwrite(self._file.descriptor, data, place)


class _Test:
    """Entry of a test."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._results: list[tuple[str, str, str]] = []

    def add(self, kind: str, message: str, text: str) -> None:
        """Add a failure, an error or a reason for skipping."""
        self._results.append((kind, message, text))

    def counts(self) -> dict[str, int]:
        """Return what the test adds to the counts of the suite."""
        kinds = {kind for kind, _, _ in self._results}
        return {
            "tests": 1,
            "errors": int("error" in kinds),
            "failures": int("failure" in kinds),
            "skipped": int("skipped" in kinds),
        }

    def text(self, classname: str, name: str) -> str:
        """Return the entry as XML."""
        inner = "".join(
            f"<{kind} message={quoteattr(_legal(message))}>"
            f"{escape(_legal(text))}</{kind}>"
            for kind, message, text in self._results
        )
        return (
            f"<testcase classname={quoteattr(_legal(classname))}"
            f' name={quoteattr(_legal(name))} time="{self.seconds:.3f}">{inner}'
            "</testcase>\n"
        )


def _legal(text: str) -> str:
    """Return text with escapes in place of characters that XML can't have."""
    return _ILLEGAL.sub(lambda found: f"#x{ord(found[0]):02X}", text)


def _padded(text: str, size: int) -> bytes:
    return text.encode().ljust(size)
