"""TensorFlow Serving's protocols in plain Python, for development and tests; production is TensorFlow Serving."""

from __future__ import annotations

from serving.local_server.options import LoadingOptions, RestOptions, ServerOptions
from serving.local_server.server import LocalServer

__all__ = ["LoadingOptions", "LocalServer", "RestOptions", "ServerOptions"]
