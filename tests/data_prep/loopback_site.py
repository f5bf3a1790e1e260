"""HTTP servers on loopback, whose answers a test chooses."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SilentHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.get()

    def get(self) -> None:
        """Answers a GET request."""
        raise NotImplementedError


class Site(ThreadingHTTPServer):
    """A server that counts what it is asked; `done` ends the answers that have no end."""

    daemon_threads = True
    request_queue_size = 128
    handler: type[SilentHandler]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.handler)
        self.requests: Counter[Any] = Counter()
        self.done = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up, or are killed, are what is tested."""

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path.removeprefix('/')}".removesuffix("/")

    @contextlib.contextmanager
    def running(self) -> Iterator[Site]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.done.set()
            self.shutdown()
            self.server_close()
            thread.join()
