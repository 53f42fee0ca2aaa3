"""Ctrl-C that is noted, so that a watch ends with a report."""

from __future__ import annotations

import signal
from threading import Thread

import pytest

from gilx.cli.interrupts import noted_interrupts


def test_ctrl_c_is_noted_and_has_its_effect_again_afterwards() -> None:
    with noted_interrupts() as interrupts:
        assert not interrupts.noted()
        assert interrupts.status == 0
        signal.raise_signal(signal.SIGINT)
        assert interrupts.noted()
        assert interrupts.status == 130
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_that_is_ignored_remains_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noted_interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
        assert not interrupts.noted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_signals_alone() -> None:
    handlers = []

    def run() -> None:
        with noted_interrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
