"""The REST API of TensorFlow Serving, and Prometheus's page, on the standard library's HTTP server with bounds."""

from __future__ import annotations

import json
import logging
import re
import select
import socket
import threading
import time
import zlib
from collections.abc import Callable
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
from serving.local_server.rest_paths import (
    PREDICT_PATH,
    STATUS_PATH,
    http_status,
    metadata_document,
    model_spec_of,
    status_document,
)
from serving.saved_models.status_errors import StatusError, invalid_argument

LOG = logging.getLogger(__name__)
MEBIBYTE = 1 << 20
LARGE_BODIES = 4  # of more than a mebibyte, held at the same time: numbers as JSON take ten times their text


class RestServer:
    """Answers HTTP on a port of its own, in a thread for each connection."""

    def __init__(
        self,
        models: Models,
        predictor: Predictor,
        counted: Metrics,
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
            options: The port, threads and time-outs.
            host: The address to listen at.
            max_body_bytes: The largest request taken.

        Raises:
            UserError: The port is not available.
        """
        self.models, self.predictor, self.metrics = models, predictor, counted
        self.options, self.max_body_bytes = options, max_body_bytes
        self.working = threading.BoundedSemaphore(options.threads)
        self.large_bodies = threading.BoundedSemaphore(LARGE_BODIES)
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

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing of requests: they are counted."""

    @property
    def _rest(self) -> RestServer:
        return self.server.rest

    def _answer(self, answer: Callable[[str, bytes], tuple[bytes, str]]) -> None:
        path = urlsplit(self.path).path
        try:
            length = self._length()
            large = length > MEBIBYTE
            if large and not self._rest.large_bodies.acquire(timeout=self._rest.options.receive_seconds):
                self.close_connection = True
                raise StatusError(grpc.StatusCode.UNAVAILABLE, "too many large requests at the same time")
            try:
                body = self._inflated(self.rfile.read(length))
                self._rest.connections.expect(self.connection, None)
                with self._rest.working:
                    content, kind = answer(path, body)
            finally:
                if large:
                    self._rest.large_bodies.release()
            code = 200
        except StatusError as error:
            content, kind = rest_json.error_of(error.message), "application/json"
            code = http_status(error.code)
        except _NotFoundError:
            content, kind, code = b"Not Found\n", "text/plain", 404
        self._rest.connections.expect(self.connection, self._rest.options.receive_seconds)
        self.close_connection |= self._rest.connections.closing
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self._rest.connections.expect(self.connection, self._rest.options.idle_seconds, idle=True)

    def _length(self) -> int:
        """Returns how long the body is; a body that is not read ends the connection."""
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"\d{1,15}", text):
            self.close_connection = True
            raise invalid_argument("a request needs its Content-Length; chunks are not taken")
        if int(text) > self._rest.max_body_bytes:
            self.close_connection = True
            raise StatusError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the request is of {text} bytes; at most {self._rest.max_body_bytes} are taken",
            )
        return int(text)

    def _inflated(self, body: bytes) -> bytes:
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding == "identity":
            return body
        if encoding != "gzip":
            raise invalid_argument(f"Content-Encoding {encoding[:40]} is not taken")
        inflate = zlib.decompressobj(wbits=31)
        try:
            content = inflate.decompress(body, self._rest.max_body_bytes + 1)
        except zlib.error as error:
            raise invalid_argument("the request is no gzip") from error
        if len(content) > self._rest.max_body_bytes:
            raise StatusError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the request inflates to more than {self._rest.max_body_bytes} bytes",
            )
        if not inflate.eof:
            raise invalid_argument("the request's gzip is cut off")
        return content

    def _get(self, path: str, body: bytes) -> tuple[bytes, str]:
        if path == self._rest.options.metrics_path:
            return self._rest.metrics.text().encode("utf-8"), CONTENT_TYPE
        match = STATUS_PATH.fullmatch(path)
        if match is None:
            raise self._malformed(path)
        answer = metadata_document if match["metadata"] else status_document
        return json.dumps(answer(self._rest.models, model_spec_of(match)), indent=1).encode("ascii"), "application/json"

    def _post(self, path: str, body: bytes) -> tuple[bytes, str]:
        match = PREDICT_PATH.fullmatch(path)
        if match is None:
            raise self._malformed(path)
        if match["method"].lower() != "predict":
            raise StatusError(
                grpc.StatusCode.UNIMPLEMENTED, f"{match['method']} is not served by the local server; ask predict"
            )
        model_spec = model_spec_of(match)
        caller = Caller(time.monotonic() + self._rest.options.request_seconds, lambda: _is_connected(self.connection))
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
            count_request(self._rest.metrics, self._rest.models, model_spec.name, code, seconds, entrypoint="REST")
        return content, "application/json"

    def _predict(self, model_spec: Any, body: bytes, caller: Caller) -> bytes:
        predictor = self._rest.predictor
        request = rest_json.parse_request(body)
        with self._rest.models.use(model_spec) as model:
            signature = model.signatures.get(request.signature_name)
            if signature is None:
                raise invalid_argument(f'Serving signature name: "{request.signature_name}" not found in signature def')
            arrays = rest_json.arrays_of(request, signature, max_bytes=predictor.limits.max_tensor_bytes)
            outputs = predictor.run(model_spec.name, model, signature, arrays, sorted(signature.outputs), caller)
        return rest_json.answer_of(outputs, request.layout)

    def _malformed(self, path: str) -> Exception:
        if not path.lower().startswith("/v1/"):
            return _NotFoundError()
        return invalid_argument(f"Malformed request: {self.command} {path[:200]}")


class _NotFoundError(Exception):
    """A path that is no part of the API."""


def _is_connected(connection: socket.socket) -> bool:
    """Says whether the other side still has the connection open."""
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return not readable or connection.recv(1, socket.MSG_PEEK) != b""
    except (OSError, ValueError):
        return False
