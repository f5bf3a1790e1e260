"""TensorFlow Serving's protocols in plain Python, for development and tests; production is TensorFlow Serving."""

from __future__ import annotations

from serving.local_server.server import DEFAULT_MAX_WORKERS, LocalServer

__all__ = ["DEFAULT_MAX_WORKERS", "LocalServer"]
