"""A program that the command starts as a process of its own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from gilx.cli.probe_output import complain
from gilx.errors import ArgumentError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

# Names, since other systems do not have all of these signals.
_PASSED_ON = "SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"
# Signals that Python ignores, but that programs do not expect to be ignored.
_IGNORED_BY_PYTHON = "SIGPIPE", "SIGXFSZ"
_FROM_TERMINAL = 0x80  # SI_KERNEL of Linux: see sigaction(2)
_KILLED = 128  # is added to the number of the signal, as in shells


class ExternalProgram:
    """Program that runs as a child of this process, with its input and output.

    Inside the ``with`` statement, signals to this process are sent on to the program. A
    signal from the terminal, such as that of Ctrl-C, goes to all processes there, so the
    program has received it already.

    Parameters
    ----------
    words : sequence of str
        The program, which is looked for in ``PATH``, and its arguments.

    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def __enter__(self) -> ExternalProgram:
        """Start the program.

        Raises
        ------
        ArgumentError
            The program can't be started; the message says why.

        """
        if (
            signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
        ):  # else there would be no status
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._passed_on = _signals(_PASSED_ON)
        self._awaited = self._passed_on | {signal.SIGCHLD}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        try:
            self.pid: int = os.posix_spawnp(
                self._words[0],
                self._words,
                os.environ,
                setsigmask=self._mask,
                setsigdef=_signals(_IGNORED_BY_PYTHON),
            )
        except (OSError, ValueError) as error:  # ValueError: a null character
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            why = getattr(error, "strerror", None) or error
            raise ArgumentError(
                "command: expected a program that can be started, got"
                f" {shown(self._words[0])}: {why}"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the program's end, and let signals have their effect again."""
        while not self.wait(1.0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def wait(self, seconds: float) -> bool:
        """Wait for at most so many seconds; return whether the program has ended.

        A signal may end the wait earlier. Until `status` is called, the process exists.
        """
        received = signal.sigtimedwait(self._awaited, seconds)
        if received is not None and self._is_to_pass_on(received):
            self._pass_on(signal.Signals(received.si_signo))
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def _pass_on(self, number: signal.Signals) -> None:
        try:
            os.kill(self.pid, number)
        except PermissionError:  # the program has changed its user, as sudo does
            complain(
                f"{number.name} could not be sent on to process {self.pid}, which runs as"
                " another user"
            )

    def _is_to_pass_on(self, received: signal.struct_siginfo) -> bool:
        return received.si_signo in self._passed_on and received.si_code != _FROM_TERMINAL

    def status(self) -> int:
        """Return the exit status of the program, which has ended, as a shell reports it.

        If a signal killed the program, that is 128 plus the number of the signal.
        """
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else _KILLED - code


def _signals(names: Sequence[str]) -> set[signal.Signals]:
    return {signal.Signals[name] for name in names}
