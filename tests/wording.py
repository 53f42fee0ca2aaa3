"""Search for wordings that gilx does not use, with the wordings to use instead.

``python -m tests.wording`` prints them as file:line and exits with 1 if there are any.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "src", "csrc", "tests", "examples", "benchmarks")
SUFFIXES = {".c", ".h", ".md", ".py", ".pyi", ".pxi", ".pyx", ".rst"}
LEFT_OUT = {"wording.py", "test_wording.py", "CHANGELOG.md"}

WORDINGS = {
    r'^\s*r?"""(What|Who|Which|Whether|How)\b': "a verb phrase, or a noun phrase",
    r"\b(late|good|few|many|the|two|their) looks\b(?! at)|\b(a|each|late) look\b(?! at|-)"
    r"|\bsights?\b": "sample",
    r"\btells? (what|how|whether|which|for|apart)\b|\b(is|are|was|were|be|been) told\b":
        "to report, to determine; known",
    r"\bdoubt(s|ed|ful)?\b": "warning; reason the result is inconclusive",
    r"\bnull comparisons?\b": "A/A comparison",
    r"\bof-ceiling\b": "fraction of ceiling",
    r"\bunhindered\b": "ceiling fraction without CPU waits",
    r"\bbesides\b": "also, another",
    r"\b(a|the|its|their) begin\b": "start",
    r"\bfor ever\b": "indefinitely",
    r"\bheed(s|ed)?\b": "respect",
    r"\bglue\b": "bindings",
    r"\btwins?\b": "implementation",
    r"\b(story|stories)\b": "demo",
    r"\b(no|enough|the) room\b|\broom for\b": "capacity",
    r"\bmachine (gives|lets)\b": "what the machine achieves",
    r"\bwho (is|has|waits|needs|takes|holds|computes)\b": "a noun: the thread that ...",
    r"(?<!there)\sis no (?!longer|more|later)[a-z]+\b": "is not",
    r"\bthreads in turns\b": "threads that take turns",
    r"\bkernel of Linux\b|\bLinux('s)? kernel\b": "Linux",
}  # fmt: skip
# A blank may be the end of a line, with the mark of a comment on the next one.
RULES = {
    re.compile(
        pattern.replace(" ", r"\s+(?:[#*]\s)?"), re.IGNORECASE | re.MULTILINE
    ): good
    for pattern, good in WORDINGS.items()
}


def faults(path: Path) -> Iterator[str]:
    """Yield file, line, match and replacement of each wording that gilx does not use."""
    text = path.read_text("utf-8")
    for rule, instead in RULES.items():
        for match in rule.finditer(text):
            line = text.count("\n", 0, match.end()) + 1
            yield f"{path}:{line}: {' '.join(match[0].split())!r}; write: {instead}"


def main() -> int:
    """Print the faults in all files that people read; return 1 if there are any."""
    paths = [
        *ROOT.glob("*"),
        *(p for folder in FOLDERS for p in ROOT.glob(f"{folder}/**/*")),
    ]
    read = (p for p in paths if p.suffix in SUFFIXES and p.name not in LEFT_OUT)
    lines = [line for path in sorted(read) for line in faults(path)]
    print("\n".join(lines) or "The wording is fine.")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
