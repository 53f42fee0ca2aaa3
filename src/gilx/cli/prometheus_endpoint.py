"""Endpoint from which Prometheus scrapes the metrics of ``gilx monitor``."""

from __future__ import annotations

import errno
import io
import os
import re
import select
import socket
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from gilx.errors import ArgumentError, shown
from gilx.formatting import one_line
from gilx.native_threads import allocate_lock, start_thread
from gilx.owned_file import OwnedFile, events
from gilx.prometheus import load_client, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer, WriteableBuffer

    from gilx.sampling.monitor import Monitor

_LOCAL = "127.0.0.1"
_MOST_PORTS = 65535
_ADDRESS = re.compile(r"(?:(\[[^\[\]]+\]|[^:\[\]]+):)?(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_METRICS = re.compile(
    r"(?:https?://[^/?#]*)?/metrics(?:\?.*)?", re.IGNORECASE | re.DOTALL
)
_CLIENT_TIMEOUT = 5.0  # seconds, for a whole request, and again for the answer
_CHECK_INTERVAL = 60.0  # seconds after which a closed listener is noticed at the latest
_END_TIMEOUT = 1.0  # seconds, for a scrape when the program ends
_PAUSE = 0.1  # seconds, while no connection can be accepted


class Address(NamedTuple):
    """Host, and ports of which the first free one is taken; 0: any free port."""

    host: str
    first: int
    last: int

    @classmethod
    def parsed(cls, given: str) -> Address:
        """Return the address in the form ``[HOST:]PORT[-PORT]``.

        Raises
        ------
        ArgumentError
            The text is not of that form, or a port is too large.

        """
        match = _ADDRESS.fullmatch(given)
        if match is not None:
            host, first, last = match.groups()
            address = cls((host or _LOCAL).strip("[]"), int(first), int(last or first))
            is_range = last is not None
            if is_range <= address.first <= address.last <= _MOST_PORTS:
                return address
        raise ArgumentError(
            "prometheus: expected a port, such as 9100, 0.0.0.0:9100 or, for the children"
            f" of forks, 9100-9107; got {shown(given)}"
        )

    @property
    def has_several(self) -> bool:
        """True if children of forks can have ports of their own."""
        return self.first != self.last or self.first == 0

    def listener(self) -> socket.socket:
        """Return a socket that listens at the first free port.

        Raises
        ------
        ArgumentError
            All ports are in use, or none can be taken.

        """
        for port in range(self.first, self.last + 1):
            try:
                return _listener(self.host, port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise ArgumentError(
                        f"prometheus: can't listen at {self.host} port {port}:"
                        f" {error.strerror or error}"
                    ) from None
            except ValueError:  # from the encoding of the host's name
                raise ArgumentError(
                    "prometheus: expected the name or address of a host, got"
                    f" {shown(self.host)}"
                ) from None
        ports = (
            f"ports {self.first} to {self.last} are" if self.has_several
            else f"port {self.first} is"
        )  # fmt: skip
        raise ArgumentError(
            f"prometheus: expected a free port at {self.host}, but {ports} in use"
        )


def _listener(host: str, port: int) -> socket.socket:
    family, _, _, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(place, family=family)


class Endpoint:
    """Thread that answers scrapes, until the program ends.

    The thread is not one of `threading`, so that a program does not find it among its
    own. In the child of a fork a new one starts if there are ports for it.
    """

    def __init__(self, monitor: Monitor, address: Address, log: int) -> None:
        self._client = load_client()
        self._monitor, self._address = monitor, address
        self._log = OwnedFile(log)
        self._listener: _OwnedSocket | None = None
        self._connection: _OwnedSocket | None = None
        self._stopping = False

    @property
    def threads(self) -> int:
        """Number of threads that it has in this process."""
        return int(self._listener is not None)

    def listen(self) -> None:
        """Take a port.

        Raises
        ------
        ArgumentError
            No port can be taken.

        """
        self._listener = _OwnedSocket(self._address.listener())

    def start(self) -> None:
        """Start to answer, and write the address to the log."""
        assert self._listener is not None
        self._registry = self._client.CollectorRegistry()
        register(self._monitor, self._registry)
        self._ended = allocate_lock()
        self._ended.acquire()
        start_thread(self._run)
        host, port = self._listener.socket.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        self._say(f"metrics for Prometheus are at http://{host}:{port}/metrics")

    def stop(self) -> None:
        """Stop answering, after the current scrape."""
        self._stopping = True
        listener = self._listener
        if listener is None:
            return
        if listener.is_own:
            with suppress(OSError):
                listener.socket.shutdown(socket.SHUT_RDWR)  # the thread wakes up
            if not self._ended.acquire(timeout=_END_TIMEOUT):
                return
        self._close()

    def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def restart_in_child(self) -> None:
        """Start anew in the child of a fork, at another port, if there are several."""
        for owned in (self._listener, self._connection):
            if owned is not None:  # the parent goes on with it
                owned.close()
        self._listener = self._connection = None
        if self._stopping or not self._address.has_several:
            return
        try:
            self.listen()
            self.start()
        except Exception as error:  # the child goes on in any case
            self._close()
            self._say(f"no metrics for Prometheus in this child of a fork: {error}")

    def _run(self) -> None:
        try:
            while not self._stopping and (listener := self._listener) is not None:
                ready = events(listener.descriptor, select.POLLIN, _CHECK_INTERVAL)
                if not listener.is_own:
                    self._say(
                        "no more metrics for Prometheus: the program closed the port"
                    )
                    self._close()
                elif ready:
                    self._answer(listener.socket)
        finally:
            self._ended.release()

    def _answer(self, listener: socket.socket) -> None:
        """Accept a connection, and answer its request."""
        try:
            accepted, peer = listener.accept()
            connection = _OwnedSocket(accepted)
        except OSError:  # the end, or the program has no descriptor left
            if not self._stopping:
                sleep(_PAUSE)
            return
        self._connection = connection
        try:
            with suppress(OSError):  # clients leave
                _Handler(self._body, _Stream(connection), peer)
        finally:
            self._connection = None
            connection.close()

    def _body(self) -> tuple[int, str, bytes]:
        """Return the status, the type and the text of an answer."""
        try:
            text = self._client.generate_latest(self._registry)
        except Exception as error:
            self._say(f"no metrics for Prometheus: {one_line(error)}")
            return 500, "text/plain; charset=utf-8", f"{one_line(error)}\n".encode()
        return 200, self._client.CONTENT_TYPE_LATEST, text

    def _say(self, words: str) -> None:
        text = f"gilx: process {os.getpid()}: {words}\n"
        with suppress(OSError):  # a full disk, for instance
            self._log.write_at_once(text.encode(errors="replace"))


class _OwnedSocket:
    """Socket that is used only while its descriptor still belongs to it."""

    def __init__(self, new_socket: socket.socket) -> None:
        self.socket = new_socket
        self.descriptor = new_socket.fileno()
        try:
            self._file = OwnedFile(self.descriptor)
        except OSError:  # the program has closed it
            new_socket.detach()
            raise
        new_socket.setblocking(False)

    @property
    def is_own(self) -> bool:
        """True if the program has not closed it."""
        return self._file.is_own

    def close(self) -> None:
        """Close it, unless the program did."""
        with suppress(OSError):
            self._file.close()
        self.socket.detach()  # it would close the number later


class _Stream(io.RawIOBase):
    """Bytes from and to a client, which has a limited time for all of them."""

    def __init__(self, connection: _OwnedSocket) -> None:
        self._connection = connection
        self._read_end = monotonic() + _CLIENT_TIMEOUT
        self._write_end = 0.0  # set when the answer begins, which may wait for the GIL

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what has come, or wait for it."""
        return self._wait(select.POLLIN, self._read_end).recv_into(buffer)

    def write(self, data: ReadableBuffer) -> int:
        """Write everything."""
        self._write_end = self._write_end or monotonic() + _CLIENT_TIMEOUT
        rest = memoryview(data)
        while rest:
            connection = self._wait(select.POLLOUT, self._write_end)
            # Clients that leave do not end a program with the default action for SIGPIPE.
            rest = rest[connection.send(rest, socket.MSG_NOSIGNAL) :]
        return len(memoryview(data))

    def _wait(self, event: int, end: float) -> socket.socket:
        """Return the socket when it is ready.

        Raises
        ------
        OSError
            The time is over, or the program has closed the socket.

        """
        left = end - monotonic()
        if left <= 0 or not events(self._connection.descriptor, event, left):
            raise TimeoutError
        if not self._connection.is_own:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._connection.socket


class _Handler(BaseHTTPRequestHandler):
    """Handler that answers one request."""

    def __init__(
        self,
        body: Callable[[], tuple[int, str, bytes]],
        stream: _Stream,
        peer: Any,  # noqa: ANN401 - differs between families
    ) -> None:
        self._body = body
        no_server: Any = None
        request: Any = stream
        super().__init__(request, peer, no_server)

    def setup(self) -> None:
        """Read from the stream, and write to it."""
        stream: Any = self.request
        self.rfile = io.BufferedReader(stream)
        self.wfile = stream

    def do_GET(self) -> None:
        """Answer with the metrics."""
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers."""
        self._send(with_body=False)

    def _send(self, *, with_body: bool) -> None:
        if not _METRICS.fullmatch(self.path):
            self.send_error(404, explain="the metrics are at /metrics")
            return
        status, kind, body = self._body()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: standard error is the program's."""
