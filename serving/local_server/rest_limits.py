"""How much of the server its REST clients may take."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RestLimits:
    """Threads and time-outs of REST.

    Attributes:
        threads: Requests that are worked on at the same time; more wait. TensorFlow Serving's default.
        request_seconds: How long a request may take from its last byte on; TensorFlow Serving's default.
        receive_seconds: How long a client may take to send a request, first to last byte.
        idle_seconds: How long a connection stays open without a request.
        max_connections: Beyond them a connection is answered 503 at once.
    """

    threads: int = field(default_factory=lambda: 4 * (os.cpu_count() or 1))
    request_seconds: float = 30.0
    receive_seconds: float = 30.0
    idle_seconds: float = 60.0
    max_connections: int = 500
