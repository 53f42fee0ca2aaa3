"""Processes that ``gilx probe`` watches from outside: running ones, and new ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gilx.cli.external_program import ExternalProgram
from gilx.cli.file_options import save_and_print
from gilx.cli.interrupts import noted_interrupts
from gilx.cli.probe_output import (
    OF_ONE_WATCH,
    check_files,
    complain,
    files_of,
    keeps_stacks,
    report,
    text_of,
)
from gilx.cli.program_runner import StandardOutput
from gilx.cli.reserved_output import output_for
from gilx.errors import ArgumentError, WatchUnavailableError, above_zero
from gilx.sampling.process_access import checked_pid
from gilx.sampling.process_watch import ProcessWatch
from gilx.sampling.processes_watch import ProcessesWatch
from gilx.sampling.watch import COST

if TYPE_CHECKING:
    import argparse


def watch_process(options: argparse.Namespace) -> int:
    """Watch a process for a while, or until Ctrl-C, and print the usage."""
    budget = above_zero("budget", options.budget)
    _check(options)
    output = output_for(options.json)
    pid = checked_pid(options.pid)
    if options.subprocesses:
        watching = ProcessesWatch(pid, COST, subprocesses=True)
        with noted_interrupts() as interrupts:
            watching.wait(budget, interrupts.noted)
        usages = watching.usage_of_processes()
        save_and_print(files_of(options, usages, None), text_of(usages, options), output)
        return interrupts.status
    watch = ProcessWatch(pid, COST, stacks=keeps_stacks(options))
    with watch, noted_interrupts() as interrupts:
        watch.wait(budget, interrupts.noted)
    usage = watch.usage_of_process()
    files = files_of(options, usage, watch, usage.sentence())
    save_and_print(files, text_of(usage, options), output)
    return interrupts.status


def watch_command(options: argparse.Namespace) -> int:
    """Start a program and watch it until it ends, or for a while; return its status.

    The program's output goes where it would go without gilx.
    """
    if options.budget is not None:
        above_zero("budget", options.budget)
    _check(options)
    output = StandardOutput()
    with ExternalProgram(options.program) as program:
        watching = ProcessesWatch(
            program.pid,
            COST,
            subprocesses=options.subprocesses,
            stacks=keeps_stacks(options),
        )
        until = time.monotonic() + (options.budget or float("inf"))
        while not program.wait(watching.pause) and time.monotonic() < until:
            watching.step()
        watching.finish()
        _report(watching, options, output)
    return program.status()


def _report(
    watching: ProcessesWatch, options: argparse.Namespace, output: StandardOutput
) -> None:
    try:
        if options.subprocesses:
            report(watching.usage_of_processes(), None, options, output)
        else:
            # If the process executed several programs in turn, files are of the last one.
            report(watching.usage(), watching.watches[-1], options, output)
    except WatchUnavailableError as error:
        hint = "" if options.subprocesses else _hint_of(watching)
        complain(f"{error}{hint}")


def _hint_of(watching: ProcessesWatch) -> str:
    if not watching.without_python:
        return ""
    return "; --subprocesses watches the processes that it starts"


def _check(options: argparse.Namespace) -> None:
    from gilx.sampling import _sampler  # noqa: F401, PLC0415 - not in every installation

    check_files(options)
    for name in OF_ONE_WATCH:
        if options.subprocesses and getattr(options, name) is not None:
            raise ArgumentError(
                f"{name}: can't be combined with --subprocesses, since the file is about"
                " one process"
            )
