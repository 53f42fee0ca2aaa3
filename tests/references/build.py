"""A build of the extension modules for a debug build of Python, without optimisation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setuptools import Extension  # noqa: TC002 - it provides distutils from 3.12 on

__all__ = ["Build", "DebugPython", "find_debug_python"]

ROOT = Path(__file__).parents[2]
COMPILER = "gcc"

_ABOUT = """
import json, sys, sysconfig
print(json.dumps([
    hasattr(sys, "gettotalrefcount"), sysconfig.get_path("include"),
    sysconfig.get_config_var("EXT_SUFFIX"), sys.version.split()[0]
]))
"""


@dataclass(frozen=True)
class DebugPython:
    """A debug build of Python, and what a compiler needs to know of it."""

    path: str
    include: str
    suffix: str
    version: str

    @classmethod
    def at(cls, path: str) -> DebugPython:
        """Ask the interpreter at a path; ValueError if it is not a debug build."""
        done = subprocess.run([path, "-c", _ABOUT], capture_output=True, check=True)
        is_debug, include, suffix, version = json.loads(done.stdout)
        if not is_debug:
            raise ValueError(f"expected a debug build of Python, got {path}")
        return cls(path, include, suffix, version)


def find_debug_python() -> str | None:
    """Return the newest debug build of Python on PATH by Debian's names, if any."""
    if hasattr(sys, "gettotalrefcount"):
        return sys.executable
    names = {
        (int(match[1]), path.name)
        for directory in os.get_exec_path()
        for path in Path(directory).glob("python3.*-dbg")
        if (match := re.fullmatch(r"python3\.(\d+)-dbg", path.name))
    }
    return shutil.which(max(names)[1]) if names else shutil.which("python3-dbg")


class Build:
    """The package in a directory of its own, with modules built for a debug build."""

    def __init__(self, python: DebugPython, directory: Path) -> None:
        self.python = python
        self._source = directory / "source"
        self._objects = directory / "objects"
        self.package = directory / "package"
        for name in ("csrc", "src"):
            shutil.copytree(
                ROOT / name,
                self._source / name,
                ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info"),
            )
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self._source)
        from distutils.core import run_setup

        with chdir(self._source):  # setup.py is the one place that lists sources
            found: Any = run_setup("setup.py", stop_after="init")
        self._extensions: list[Extension] = found.ext_modules
        shutil.copytree(self._source / "src", self.package)
        units = {
            self._object(self._objects, source): (extension, source)
            for extension in self._extensions
            for source in extension.sources
        }
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self._compile, units.values(), units))
        for extension in self._extensions:
            self._link(extension, self.package, {})

    def with_change(self, source: str, text: str, directory: Path) -> Path:
        """Build the package again with another text of one source; return its path.

        Everything but that source's object file and the modules with it is reused.
        """
        package = directory / "package"
        shutil.copytree(self.package, package)
        changed = self._source / source
        # Beside the original, for the sake of #include.
        copy = changed.with_name(f"{directory.name}_{changed.name}")
        copy.write_text(text)
        users = [each for each in self._extensions if source in each.sources]
        made = self._object(directory / "objects", source)
        self._compile((users[0], str(copy.relative_to(self._source))), made)
        for extension in users:
            self._link(extension, package, {source: made})
        return package

    @staticmethod
    def _object(directory: Path, source: str) -> Path:
        return directory / f"{source}.o"

    def _compile(self, unit: tuple[Extension, str], made: Path) -> None:
        extension, source = unit
        made.parent.mkdir(parents=True, exist_ok=True)
        include = [f"-I{path}" for path in (*extension.include_dirs, self.python.include)]
        self._run(
            [COMPILER, *extension.extra_compile_args, "-O0", "-w", "-fPIC", *include,
             "-c", source, "-o", str(made)]
        )  # fmt: skip

    def _link(
        self, extension: Extension, package: Path, changed: dict[str, Path]
    ) -> None:
        objects = [
            str(changed.get(str(source)) or self._object(self._objects, str(source)))
            for source in extension.sources
        ]
        module = package / (extension.name.replace(".", "/") + self.python.suffix)
        module.unlink(missing_ok=True)
        self._run(
            [COMPILER, "-shared", *objects, "-o", str(module), *extension.extra_link_args]
        )

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, cwd=self._source, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
