"""A build of the extension modules for a debug build of Python, without optimisation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Build", "DebugPython", "find_debug_python"]

ROOT = Path(__file__).parents[2]
COMPILER = "gcc"

# setup.py is the one place that lists sources.
_EXTENSIONS = """
import json, setuptools
from distutils.core import run_setup
print(json.dumps([
    {"name": e.name, "sources": e.sources, "include": e.include_dirs,
     "compile": e.extra_compile_args, "link": e.extra_link_args}
    for e in run_setup("setup.py", stop_after="init").ext_modules
]))
"""
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


@dataclass(frozen=True)
class _Extension:
    name: str
    sources: list[str]
    include: list[str]
    compile: list[str]
    link: list[str]


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
        described = subprocess.run(
            [sys.executable, "-c", _EXTENSIONS],
            cwd=self._source, capture_output=True, text=True, check=True,
        )  # fmt: skip
        self._extensions = [
            _Extension(**each) for each in json.loads(described.stdout.splitlines()[-1])
        ]
        shutil.copytree(self._source / "src", self.package)
        units = {
            self._object(self._objects, source): (extension, source)
            for extension in self._extensions
            for source in extension.sources
        }
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            done = [
                pool.submit(self._compile, extension, source, made)
                for made, (extension, source) in units.items()
            ]
        for each in done:
            each.result()
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
        self._compile(users[0], str(copy.relative_to(self._source)), made)
        for extension in users:
            self._link(extension, package, {source: made})
        return package

    @staticmethod
    def _object(directory: Path, source: str) -> Path:
        return directory / f"{source}.o"

    def _compile(self, extension: _Extension, source: str, made: Path) -> None:
        made.parent.mkdir(parents=True, exist_ok=True)
        include = [f"-I{path}" for path in (*extension.include, self.python.include)]
        self._run(
            [COMPILER, *extension.compile, "-O0", "-w", "-fPIC", *include,
             "-c", source, "-o", str(made)]
        )  # fmt: skip

    def _link(
        self, extension: _Extension, package: Path, changed: dict[str, Path]
    ) -> None:
        objects = [
            str(changed.get(source) or self._object(self._objects, source))
            for source in extension.sources
        ]
        module = package / (extension.name.replace(".", "/") + self.python.suffix)
        module.unlink(missing_ok=True)
        self._run([COMPILER, "-shared", *objects, "-o", str(module), *extension.link])

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, cwd=self._source, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
