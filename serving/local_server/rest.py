"""The REST API of TensorFlow Serving, and Prometheus's page, on the standard library's HTTP server with bounds."""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import grpc

from data_prep.runtime.command_line import UserError
from serving.local_server import rest_json
from serving.local_server.caller import Caller
from serving.local_server.connections import Connections
from serving.local_server.metrics import CONTENT_TYPE, Metrics
from serving.local_server.models import Models
from serving.local_server.options import RestOptions
from serving.local_server.prediction_service import count_request
from serving.local_server.predictor import Predictor
from serving.local_server.request_memory import COPIES_OF_TENSOR, RequestMemory, bytes_of_json
from serving.local_server.rest_bodies import UnreadBodyError, inflated, is_chunked, length_of, read_chunks
from serving.local_server.rest_paths import (
    API_PATH,
    CORS_HEADERS,
    PREDICT_PATH,
    STATUS_PATH,
    http_status,
    metadata_document,
    model_spec_of,
    status_document,
)
from serving.saved_models.status_errors import StatusError, invalid_argument

LOG = logging.getLogger(__name__)


class RestServer:
    """Answers HTTP on a port of its own, in a thread for each connection."""

    def __init__(
        self,
        models: Models,
        predictor: Predictor,
        counted: Metrics,
        memory: RequestMemory,
        options: RestOptions,
        *,
        host: str,
        max_body_bytes: int,
    ) -> None:
        """Takes the port; `start` answers.

        Args:
            models: What requests are answered from.
            predictor: What answers them.
            counted: Where they are counted, and what the metrics' page shows.
            memory: What all requests share.
            options: The port, threads and time-outs.
            host: The address to listen at.
            max_body_bytes: The largest request taken.

        Raises:
            UserError: The port is not available.
        """
        self.models, self.predictor, self.metrics = models, predictor, counted
        self.memory, self.options, self.max_body_bytes = memory, options, max_body_bytes
        self.working = threading.BoundedSemaphore(options.threads)
        self.connections = Connections(options.max_connections)
        try:
            self._server = _Server((host, options.port), self)
        except OSError as error:
            raise UserError(
                f"cannot listen at {host}:{options.port} ({error.strerror}); choose another with --rest_api_port"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="rest", daemon=True)

    def start(self) -> None:
        """Answers requests from now on."""
        self.connections.start()
        self._thread.start()

    def refuse_new(self) -> None:
        """Takes no more connections; requests that are being worked on go on."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self.connections.close_idle()

    def stop(self, grace_seconds: float) -> bool:
        """Waits so long for running requests, then cuts them off; returns whether all ended by themselves."""
        return self.connections.stop(grace_seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], rest: RestServer) -> None:
        self.rest = rest
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Binds without asking, as HTTPServer does, for this machine's full name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begins a connection's thread, unless there are too many."""
        if not self.rest.connections.add(request, self.rest.options.idle_seconds):
            request.settimeout(1)
            _send_busy(request)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        self.rest.connections.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that hang up; logs all other errors, which are bugs."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            LOG.exception("REST request from %s failed", client_address)


def _send_busy(request: socket.socket) -> None:
    body = rest_json.error_of("too many connections")
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    try:
        request.sendall(head.encode("ascii") + body)
    except OSError:
        return  # it has gone, which is what we want


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "local_server"
    sys_version = ""

    def parse_request(self) -> bool:
        """Reads the headers; from here on the request has to come in time."""
        self._rest.connections.expect(self.connection, self._rest.options.receive_seconds)
        return super().parse_request()

    def do_GET(self) -> None:
        """Answers the status or the metadata of a model, or the metrics."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Answers Predict."""
        self._answer(self._post)

    def do_OPTIONS(self) -> None:
        """Answers what a browser asks before it lets a page of another site ask, where such pages may."""
        self._answer(self._options)

    def do_HEAD(self) -> None:
        """Answers for the metrics; as in TensorFlow Serving, models take GET and POST alone."""
        self._answer(self._metrics_or_malformed)

    do_PUT = do_DELETE = do_PATCH = do_HEAD  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing of requests: they are counted."""

    @property
    def _rest(self) -> RestServer:
        return self.server.rest

    def _answer(self, answer: Callable[[str, bytes, Caller], tuple[bytes, str]]) -> None:
        path = urlsplit(self.path).path
        try:
            with self._body() as (body, caller), self._rest.working:
                content, kind = answer(path, body, caller)
            code = 200
        except StatusError as error:
            self.close_connection |= isinstance(error, UnreadBodyError)
            content, kind = rest_json.error_of(error.message), "application/json"
            code = http_status(error.code)
        except _NotFoundError:
            content, kind, code = b"Not Found\n", "text/plain", 404
        self._rest.connections.expect(self.connection, self._rest.options.receive_seconds)
        self.close_connection |= self._rest.connections.closing
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self._rest.options.allow_other_origins and path.lower().startswith(API_PATH):
            for name, value in CORS_HEADERS.items():
                self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        elif self.request_version == "HTTP/1.0":
            self.send_header("Connection", "keep-alive")  # else such a client waits for the end of the connection
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self._rest.connections.expect(self.connection, self._rest.options.idle_seconds, idle=True)

    @contextlib.contextmanager
    def _body(self) -> Iterator[tuple[bytes, Caller]]:
        """Reads the body, and holds memory for it until it is answered."""
        options, max_bytes = self._rest.options, self._rest.max_body_bytes
        length = None if is_chunked(self.headers) else length_of(self.headers, max_bytes)
        sender = Caller(None, lambda: _is_connected(self.connection))
        seconds = options.receive_seconds
        with contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(self._rest.memory.hold(length or 0, sender.seconds_left, seconds))
                if length is None:
                    body = read_chunks(
                        self.rfile, max_bytes, lambda size: held.grow(size, sender.seconds_left, seconds)
                    )
                else:
                    body = self.rfile.read(length)
            except StatusError as error:
                raise UnreadBodyError(error.code, error.message) from error
            self._rest.connections.expect(self.connection, None)
            caller = Caller(time.monotonic() + options.request_seconds, sender.is_connected, held)
            encoding = self.headers.get("Content-Encoding", "identity")
            yield inflated(body, encoding, max_bytes, held, caller.seconds_left), caller

    def _get(self, path: str, body: bytes, caller: Caller) -> tuple[bytes, str]:
        match = STATUS_PATH.fullmatch(path)
        if match is None:
            return self._metrics_or_malformed(path, body, caller)
        answer = metadata_document if match["metadata"] else status_document
        return json.dumps(answer(self._rest.models, model_spec_of(match)), indent=1).encode("ascii"), "application/json"

    def _post(self, path: str, body: bytes, caller: Caller) -> tuple[bytes, str]:
        match = PREDICT_PATH.fullmatch(path)
        if match is None:
            return self._metrics_or_malformed(path, body, caller)
        method = match["method"].lower()
        if method != "predict":
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served by the local server; ask predict")
        model_spec = model_spec_of(match)
        started = time.monotonic()
        code = grpc.StatusCode.UNKNOWN
        try:
            content = self._predict(model_spec, body, caller)
            code = grpc.StatusCode.OK
        except StatusError as error:
            code = error.code
            raise
        finally:
            seconds = time.monotonic() - started
            models, counted = self._rest.models, self._rest.metrics
            count_request(counted, models, model_spec.name, code, seconds, api=method, entrypoint="REST")
        return content, "application/json"

    def _options(self, path: str, body: bytes, caller: Caller) -> tuple[bytes, str]:
        if self._rest.options.allow_other_origins and path.lower().startswith(API_PATH):
            return b"", "application/json"
        return self._metrics_or_malformed(path, body, caller)

    def _metrics_or_malformed(self, path: str, body: bytes, caller: Caller) -> tuple[bytes, str]:
        if path == self._rest.options.metrics_path:
            return self._rest.metrics.text().encode("utf-8"), CONTENT_TYPE
        if not path.lower().startswith(API_PATH):
            raise _NotFoundError
        raise invalid_argument(f"Malformed request: {self.command} {path[:200]}")

    def _predict(self, model_spec: Any, body: bytes, caller: Caller) -> bytes:
        predictor = self._rest.predictor
        caller.memory.grow(bytes_of_json(body), caller.seconds_left)
        request = rest_json.parse_request(body)
        with self._rest.models.use(model_spec) as model:
            signature = model.signatures.get(request.signature_name)
            if signature is None:
                raise invalid_argument(f'Serving signature name: "{request.signature_name}" not found in signature def')
            arrays = rest_json.arrays_of(request, signature, max_bytes=predictor.limits.max_tensor_bytes)
            numbers = sum(array.nbytes for array in arrays.values() if array.dtype != object)
            caller.memory.grow(numbers * COPIES_OF_TENSOR, caller.seconds_left)
            outputs = predictor.run(model_spec.name, model, signature, arrays, sorted(signature.outputs), caller)
        return rest_json.answer_of(outputs, request.layout)


class _NotFoundError(Exception):
    """A path that is no part of the API."""


def _is_connected(connection: socket.socket) -> bool:
    """Says whether the other side still has the connection open."""
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return not readable or connection.recv(1, socket.MSG_PEEK) != b""
    except (OSError, ValueError):
        return False
