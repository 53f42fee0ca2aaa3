"""Results of the suite on one machine, as a file to continue from and to show."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from collections.abc import Mapping  # noqa: TC003 - JSON is read by annotations
from dataclasses import dataclass, replace
from typing import Any

from figures import Figure, Measured  # noqa: TC002 - JSON is read by annotations
from memory import cache_sizes
from parts import PARTS

from gilx.errors import ArgumentError, one_of
from gilx.records import Record
from gilx.system.conditions import Conditions  # noqa: TC001 - JSON is read by annotations
from gilx.system.environment import Environment

__all__ = ["Machine", "Piece", "Results"]

_LIBRARIES = ("numba", "rapidfuzz", "joblib", "pytest", "cython")


@dataclass(frozen=True)
class Machine:
    """Properties of the machine that the figures depend on."""

    environment: Environment
    instruction_set: str
    """That of gilx's C kernels."""
    compiler: str
    """The gcc that compiles straightforward C; empty if there is none."""
    caches: Mapping[str, int]
    """Bytes of the data caches of a CPU, by level."""
    blas: str
    """Library with which NumPy multiplies matrices."""
    libraries: Mapping[str, str]
    """Versions of peers that are installed."""

    @classmethod
    def here(cls) -> Machine:
        """Return that of this process."""
        import numpy as np  # noqa: PLC0415 - see measured() of suite.py

        from gilx import ckernels  # noqa: PLC0415

        libraries = {}
        for name in _LIBRARIES:
            try:
                libraries[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        built: Any = np.show_config(mode="dicts")
        blas = built.get("Build Dependencies", {}).get("blas", {})
        return cls(
            environment=Environment.here(),
            instruction_set=ckernels._instruction_set(),  # noqa: SLF001 - gilx's own
            compiler=_compiler(),
            caches=cache_sizes(),
            blas=f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
            libraries=libraries,
        )

    def differences(self, other: Machine) -> list[str]:
        """Say what differs from another, in words."""
        same = self.environment.same_machine(other.environment)
        found = [*same.machine, *same.software]
        for name in ("instruction_set", "compiler", "blas", "libraries"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                found.append(f"{name}: {ours} here, {theirs} there")
        return found

    def lines(self) -> list[tuple[str, str]]:
        """Return what it is, each with a word before."""
        caches = ", ".join(
            f"{name} {size >> 10} KiB" for name, size in self.caches.items()
        )
        versions = [f"{name} {version}" for name, version in self.libraries.items()]
        return [
            ("machine", self.environment.summary()),
            ("caches", caches or "unknown"),
            ("C kernels", f"compiled for {self.instruction_set}, chosen at load"),
            ("compiler of straightforward C", self.compiler or "none"),
            ("BLAS", self.blas),
            ("libraries", ", ".join(versions) or "none"),
        ]


def _compiler() -> str:
    if shutil.which("gcc") is None:
        return ""
    done = subprocess.run(
        ["gcc", "--version"], check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()[0].strip()


@dataclass(frozen=True)
class Piece:
    """Results of one process."""

    part: str
    subject: str
    """The kernel; empty where a part has one piece."""
    measured: Measured
    conditions: Conditions
    warnings: tuple[str, ...] = ()
    """Warnings about the conditions, in words."""

    @property
    def name(self) -> str:
        """Its name for `--only`."""
        return f"{self.part}:{self.subject}".removesuffix(":")


@dataclass(frozen=True)
class Results(Record, schema="gilx.benchmarks"):
    """All pieces of a machine, in the order of the suite."""

    machine: Machine
    date: str
    """When the first piece was begun, as YYYY-MM-DD."""
    quick: bool
    """True for results of a quick run, which is too short to be shown."""
    pieces: tuple[Piece, ...] = ()

    def with_piece(self, piece: Piece) -> Results:
        """Return the same with a piece, in place of the one there was."""
        pieces = {(one.part, one.subject): one for one in (*self.pieces, piece)}
        order = [(name, subject) for name, p in PARTS.items() for subject in p.subjects]
        return replace(self, pieces=tuple(pieces[key] for key in order if key in pieces))

    def piece(self, part: str, subject: str) -> Piece | None:
        """Return a piece, if it was measured."""
        for one in self.pieces:
            if (one.part, one.subject) == (part, subject):
                return one
        return None

    def figure(self, part: str, subject: str, name: str) -> Figure | str:
        """Return a figure, or why there is none."""
        piece = self.piece(part, subject)
        if piece is None:
            return "not run"
        for one in piece.measured.figures:
            if one.name == name:
                return one
        return piece.measured.missing.get(name, "not measured")

    def _check(self, where: str) -> None:
        for number, piece in enumerate(self.pieces):
            place = f"{where}.pieces[{number}]"
            part = PARTS[one_of(f"{place}.part", piece.part, PARTS)]
            one_of(f"{place}.subject", piece.subject, part.subjects)
            for figure in piece.measured.figures:
                if not figure.low <= figure.value <= figure.high:
                    raise ArgumentError(
                        f"{place}: expected {figure.name} in its interval, got"
                        f" {figure.value} in {figure.low} to {figure.high}"
                    )
