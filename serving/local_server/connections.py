"""The open connections of an HTTP server: counted, timed out, and closed in order at the end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass

SECONDS_BETWEEN_LOOKS = 0.25


@dataclass
class _Connection:
    closes_at: float | None
    is_idle: bool


class Connections:
    """Open connections, each with the time when it is closed.

    A socket's own time-out begins anew with every byte, so that a client which sends one a second is never through;
    here a whole request, or a whole answer, has a time.
    """

    def __init__(self, max_connections: int) -> None:
        self.closing = False
        self._max_connections = max_connections
        self._open: dict[socket.socket, _Connection] = {}
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rest-timeouts", daemon=True)

    def start(self) -> None:
        """Begins to look for connections whose time is over."""
        self._thread.start()

    def add(self, connection: socket.socket, seconds: float) -> bool:
        """Takes a connection that has to say something in time; returns False where there are too many already."""
        with self._changed:
            if self.closing or len(self._open) >= self._max_connections:
                return False
            self._open[connection] = _Connection(time.monotonic() + seconds, is_idle=True)
            return True

    def expect(self, connection: socket.socket, seconds: float | None, *, idle: bool = False) -> None:
        """Gives a connection so much time from now on; None for as long as it takes.

        Args:
            connection: One that was added.
            seconds: The time.
            idle: Whether it is between two requests, and can be closed.
        """
        with self._changed:
            known = self._open.get(connection)
            if known is not None:
                known.closes_at = None if seconds is None else time.monotonic() + seconds
                known.is_idle = idle
                if idle and self.closing:
                    _close(connection)

    def remove(self, connection: socket.socket) -> None:
        """Forgets a connection that is being closed."""
        with self._changed:
            self._open.pop(connection, None)
            self._changed.notify_all()

    def close_idle(self) -> None:
        """Closes what has no request running, and takes no more."""
        with self._changed:
            self.closing = True
            for connection, known in self._open.items():
                if known.is_idle:
                    _close(connection)

    def stop(self, grace_seconds: float) -> bool:
        """Waits so long for running requests, then closes all; returns whether all had ended."""
        self.close_idle()
        with self._changed:
            in_time = self._changed.wait_for(lambda: not self._open, grace_seconds)
            for connection in self._open:
                _close(connection)
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        return in_time

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            now = time.monotonic()
            with self._changed:
                for connection, known in self._open.items():
                    if known.closes_at is not None and known.closes_at < now:
                        _close(connection)


def _close(connection: socket.socket) -> None:
    """Wakes the thread that reads or writes; the thread that serves the connection then closes it."""
    with contextlib.suppress(OSError):  # closed already
        connection.shutdown(socket.SHUT_RDWR)
