"""gRPC options of both sides: method names, message sizes, and how soon a lost server is looked for again."""

from __future__ import annotations

from typing import Any

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
SERVING_DEFAULT = "serving_default"

MEBIBYTE = 1 << 20
DEFAULT_MAX_MESSAGE_MEBIBYTES = 64  # gRPC's own limit is 4, less than one photograph's pixels
DEFAULT_MAX_IMAGE_MEGAPIXELS = 100.0

_LOOPBACK = ("localhost:", "127.", "[::1]:", "ipv4:127.", "ipv6:[::1]")


def client_options(server: str, max_message_bytes: int) -> list[tuple[str, Any]]:
    """Returns the options of a channel to `server` (`host:port`) for messages of up to `max_message_bytes`."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        # gRPC waits up to two minutes before it looks for a lost server again, and fails every call in between.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if is_loopback(server):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy cannot reach this machine's loopback
    return options


def is_loopback(server: str) -> bool:
    """Tells whether `server` (`host:port`) is this machine, by its name."""
    return server.startswith(_LOOPBACK)


def server_options(max_message_bytes: int) -> list[tuple[str, Any]]:
    """Returns the options of a server that takes messages of up to `max_message_bytes`."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # with it, two servers on one port would each get some of the requests
    ]
