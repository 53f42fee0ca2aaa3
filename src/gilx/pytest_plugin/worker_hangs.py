"""Workers of pytest-xdist that ``--gilx-hang`` ends outside of tests.

pytest-xdist reports the test that a worker ran when it ended. If the worker ran none, the
run goes on with another one, and ends as if nothing were wrong, or without tests.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

__all__ = ["COLLECTING", "HUNG", "WorkerHangs"]

COLLECTING = "gilx_collecting"
"""Key of a worker's input: the file in which it names what it collects."""

HUNG = 70
"""Exit status of a run, or a worker, that did not release the GIL."""

_KEYBOARD = "keyboard-interrupt"  # what pytest-xdist calls a worker that was interrupted


class WorkerHangs:
    """Plugin of the process that starts the workers: reports their ends as errors.

    Parameters
    ----------
    session : pytest.Session
        The run.
    reason : str
        Why a worker may end.

    """

    def __init__(self, session: pytest.Session, reason: str) -> None:
        self._session, self._reason = session, reason
        self._folder = Path(tempfile.mkdtemp(prefix="gilx-"))
        self._collected: set[str] = set()  # workers that have collected the tests
        self._ended: list[str] = []  # such workers that ended later, outside of tests
        self._reported: set[str] = set()
        self._last = ""  # worker that ended last

    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - a worker
        """Tell a worker where to name what it collects."""
        node.workerinput[COLLECTING] = str(self._folder / node.gateway.id)

    def pytest_xdist_node_collection_finished(self, node: Any) -> None:  # noqa: ANN401
        """Note that a worker has collected the tests."""
        self._collected.add(node.gateway.id)

    def pytest_testnodedown(self, node: Any, error: object) -> None:  # noqa: ANN401
        """Report that a worker has ended while it collected tests."""
        name = self._last = node.gateway.id
        if error in (None, _KEYBOARD):
            return
        if name in self._collected:  # pytest_handlecrashitem is next if a test ran
            self._ended.append(name)
            return
        nodeid = ""
        with suppress(OSError):  # a worker on another machine has no file here
            nodeid = (self._folder / name).read_text("utf-8", "replace")
        self._report(
            nodeid or f"worker {name}",
            f"worker {name} ended while {nodeid or 'tests'}"
            f" {'was' if nodeid else 'were'} collected: {self._reason}",
        )
        # Each worker collects all tests, and so would each that took its place: without
        # this, as many of them hang as --max-worker-restart allows.
        scheduler: Any = self._session.config.pluginmanager.getplugin("dsession")
        scheduler._max_worker_restart = 0  # noqa: SLF001 - an option, read before

    def pytest_handlecrashitem(self) -> None:
        """Leave a test in which a worker ended to pytest-xdist, which reports it."""
        if self._last in self._ended:  # not if it was interrupted
            self._ended.remove(self._last)

    def _report(self, nodeid: str, text: str) -> None:
        self._session.exitstatus = HUNG
        if nodeid not in self._reported:  # by another worker
            self._reported.add(nodeid)
            self._session.config.hook.pytest_collectreport(
                report=pytest.CollectReport(nodeid, "failed", f"gilx: {text}", None)
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Report workers that ended when no test ran, and set the status of the run."""
        for name in self._ended:
            self._report(
                f"worker {name}",
                f"worker {name} ended while no test ran: {self._reason}",
            )
        if self._reported:
            session.exitstatus = HUNG

    def pytest_unconfigure(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)
