"""Runs of the groups of cases, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .child import END

if TYPE_CHECKING:
    from .build import DebugPython

__all__ = ["run_group"]

ROOT = Path(__file__).parents[2]
SECONDS = 300  # for a group; its cases have less


def run_group(
    python: DebugPython, package: Path, group: str, *, only_first: bool = False
) -> tuple[int, list[str]]:
    """Run a group with the package at a path; return the number of cases and findings."""
    command = [python.path, "-X", "faulthandler", "-m", "tests.references.child", group]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    process = subprocess.Popen(
        [*command, *(["--only-first"] if only_first else [])],
        env=environment | {"PYTHONPATH": str(package)},
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        printed, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, errors = process.communicate()
    case = "before the first case"
    count, findings = 0, []
    for line in printed.splitlines():
        if line.startswith("case "):
            case = line.removeprefix("case ")
            count += 1
        elif line.startswith("found "):
            findings.append(f"{group}: {case}: {line.removeprefix('found ')}")
        elif line == END:
            case = "at the exit of Python"
    if process.returncode != 0:
        findings.append(
            f"{group}: {case}: status {process.returncode}, {_last_words(errors)}"
        )
    return count, findings


def _last_words(errors: str) -> str:
    """Return the line that says why Python ended."""
    lines = errors.splitlines()
    for line in lines:
        if line.startswith(("Fatal Python error", "Timeout")):
            return line
    return lines[-1] if lines else "without a word"
