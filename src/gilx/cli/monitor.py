"""``gilx monitor``: report when a program stalls its threads, or blocks a loop."""

from __future__ import annotations

import atexit
import os
from functools import partial
from typing import TYPE_CHECKING

from gilx.cli.option_types import add_options
from gilx.cli.program_runner import add_program, find_program
from gilx.errors import ArgumentError
from gilx.sampling.monitor import Monitor, log_descriptor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gilx.cli.prometheus_endpoint import Endpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: the program's own; 1 if the GIL or threads can't be watched, 2 if"
        " the command line is wrong, 70 if --exit ended the program"
    )
    add_options(
        parser,
        {
            "--stall SECONDS 0.1": "report when the GIL has not been released for so long"
            " while a thread waits for it; or, without a GIL, when a stop of all threads"
            " has not begun or ended for so long (default: 0.1)",
            "--loop SECONDS": "report when an event loop of asyncio has not returned to"
            " its selector for so long (default: loops are not watched)",
            "--cost SHARE 0.01": "share of one CPU that the sampler may take (default:"
            " 0.01)",
            "--log FILE": "append reports to a file, instead of standard error",
            "--prometheus [HOST:]PORT": "serve counters for Prometheus at"
            " http://HOST:PORT/metrics, HOST by default 127.0.0.1; 9100-9107: at the"
            " first free port, also in forked children (needs gilx[prometheus])",
            "--lone": "report that the GIL is not released even if no thread waits"
            " for it",
            "--exit": "end the program after a report, with status 70",
        },
    )
    add_program(
        parser,
        "a program: script.py, a directory or zip file with a __main__.py, or, after -m,"
        " a module. All arguments after the name are passed to the program",
    )


def run(options: argparse.Namespace) -> Callable[[], int]:
    """Start the monitor; return a function that runs a program.

    The monitor is stopped when the interpreter ends.
    """
    program = find_program(options)
    if program is None:
        raise ArgumentError(
            "target: expected -m module, or a script, directory or zip file that exists;"
            f" got {options.target!r}"
        )
    monitor = Monitor(
        options.stall,
        options.cost,
        lone=options.lone,
        loop=options.loop,
        log=options.log,
        on_stall="exit" if options.exit else "report",
    )
    threads = 2 if options.lone else 1  # in children of forks, too
    if options.prometheus is None:
        monitor.start()
        _report_unwatched(monitor, options)
        return partial(program.run, lambda: threads)
    endpoint = _endpoint(monitor, options)
    return partial(program.run, lambda: threads + endpoint.threads)


def _endpoint(monitor: Monitor, options: argparse.Namespace) -> Endpoint:
    """Start a monitor, and the endpoint from which Prometheus scrapes it."""
    from gilx.cli.prometheus_endpoint import Address, Endpoint  # noqa: PLC0415 - if asked

    address = Address.parsed(options.prometheus)
    endpoint = Endpoint(monitor, address, log_descriptor(options.log))
    endpoint.listen()
    monitor.start()
    # Registered after the monitor's own hook, so that in the child of a fork the monitor
    # has started when the endpoint does.
    os.register_at_fork(after_in_child=endpoint.restart_in_child)
    endpoint.start()
    _report_unwatched(monitor, options)
    atexit.register(endpoint.stop)
    return endpoint


def _report_unwatched(monitor: Monitor, options: argparse.Namespace) -> None:
    """Report in the log, at the end, the parts that were not watched."""
    from gilx.cli.unwatched import UnwatchedReport  # noqa: PLC0415 - not on Windows

    report = UnwatchedReport(monitor, log_descriptor(options.log))
    atexit.register(report.write)
