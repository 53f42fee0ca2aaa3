"""The command line: what it is given is refused in one line, or done.

Options are found in the parsers. What would start long runs or many threads isn't drawn,
and whatever does start is interrupted, as by Ctrl-C, at a random moment.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import pkgutil
import re
import tempfile
from functools import cache
from typing import TYPE_CHECKING, Any

import gilx.cli

from .deadline import deadline

if TYPE_CHECKING:
    from random import Random

__all__ = ["fuzz", "names"]

_WORDS = (
    "", "-", "--", "-1", "0", "1", "2", "1,2", "1,,2", "1.5", "nan", "inf", "1e999", "x",
    "9" * 5000, "\udcff", "é", "a\nb", "mandelbrot", "triad", "json:loads", "math:sqrt",
    "os:nothing", "nothing:x", ":", "a:b:c", "[1, 2]", "'text'", "[" * 300, "c-nogil",
    "c-gil,c-nogil", "threads", "serial", "threads,serial", "0.001", "{directory}",
    "{directory}/x.json", "{directory}/no/x", "/dev/null", "/dev/full", "--no-such", "@x",
)  # fmt: skip
# Whatever is drawn, these are as small as this.
_LIMITS = {
    "--budget": ("0.01", "0", "x", "nan", "-1"),
    "--seconds": ("0.01", "0", "x", "nan", "-1"),
    "--workers": ("1", "2", "0", "x", "-1", "1,2", "5000", "9" * 30),
    "--size": ("1", "8", "0", "x", "-1"),
    "--items": ("1", "8", "0", "x", "-1"),
    "--repeat": ("1", "2", "0", "x", "-1"),
    "--blocks": ("1", "2", "0", "x", "-1"),
    "--pool": ("threads", "serial", "native", "x", ""),
    "--pools": ("threads", "serial,threads", "native", "x", ""),
}
_OF_CALLABLE = re.compile(r"\b(loads|sqrt)\(\)")  # those in _WORDS
_LONGEST = 0.3  # seconds that a command may take before it is interrupted


@cache
def names() -> list[str]:
    """Return the command's subcommands: modules with ``add_arguments`` and ``run``."""
    found = [info.name for info in pkgutil.iter_modules(gilx.cli.__path__)]
    modules = {name: importlib.import_module(f"gilx.cli.{name}") for name in found}
    return [
        name
        for name, module in modules.items()
        if hasattr(module, "add_arguments") and hasattr(module, "run")
    ]


@cache
def _options(name: str) -> list[argparse.Action]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"gilx.cli.{name}").add_arguments(parser)
    return [action for action in parser._actions if action.option_strings]


def _words(draw: Random, name: str, directory: str) -> list[str]:
    words = [draw.choice(_WORDS) for _ in range(draw.choice((0, 1, 1, 1, 2, 3)))]
    given = set()
    for action in draw.sample(_options(name), min(3, len(_options(name)))):
        option = action.option_strings[-1]
        given.add(option)
        words.append(option)
        if action.nargs != 0 and draw.random() < 0.95:
            words.append(draw.choice(_LIMITS.get(option, _WORDS)))
    for action in _options(name):
        option = action.option_strings[-1]
        if option in _LIMITS and option not in given:  # the defaults take seconds
            words += [option, _LIMITS[option][0]]
    return [word.replace("{directory}", directory) for word in words]


def fuzz(draw: Random, names: list[str]) -> int:
    """Give one subcommand a line of words; returns 1."""
    name = draw.choice(names)
    output, errors = io.StringIO(), io.StringIO()
    status: Any
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as directory:
        words = _words(draw, name, directory)
        os.chdir(directory)  # where a word is taken for the name of a file
        try:
            with (
                contextlib.redirect_stdout(output),
                contextlib.redirect_stderr(errors),
                deadline(_LONGEST * draw.random(), KeyboardInterrupt),
            ):
                status = gilx.cli.main([name, *words])
        except SystemExit as error:  # from argparse
            status = error.code
        except KeyboardInterrupt:  # on the way in or out of the command
            status = 130
        except Exception as error:
            # What a callable raises comes through, with its traceback. And argparse
            # doesn't clean up after Ctrl-C, and stumbles over that.
            of_callable = _OF_CALLABLE.search(str(error))
            if not (of_callable or isinstance(error.__context__, KeyboardInterrupt)):
                raise
            status = 1 if of_callable else 130
        finally:
            os.chdir(before)
    said = f"gilx {name} {words}: {status}: {errors.getvalue()}"
    assert status in (0, 1, 2, 130), said
    if status == 2:  # what is wrong, and before it perhaps what will be left out
        lines = errors.getvalue().splitlines()
        assert lines, said
        begins = "gilx: ", f"gilx {name}: "
        assert all(line.startswith(begins) for line in lines), said
    assert "Traceback" not in errors.getvalue(), said
    return 1
