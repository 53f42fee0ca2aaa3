"""Parser of the command with all its subcommands, for docs/api/command.rst."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gilx import cli

if TYPE_CHECKING:
    import argparse


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command, with the options of all subcommands."""
    whole, subparsers = cli._parser()
    for name, subparser in subparsers.items():
        importlib.import_module(f"gilx.cli.{name}").add_arguments(subparser)
    return whole
