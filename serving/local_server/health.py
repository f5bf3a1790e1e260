"""The standard gRPC health service: of the server as a whole (""), and of each model by its name."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serving.local_server.models import Models

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """SERVING for a model with a version available, and for the server when all its models have one."""

    def __init__(self, model_names: Iterable[str]) -> None:
        """Nothing is served yet.

        Args:
            model_names: The models that are known of before any is loaded.
        """
        self._names = set(model_names)
        self._servicer = health.HealthServicer()

    def add_to(self, server: grpc.Server) -> None:
        """Lets a server that has not been started answer for it."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def update(self, models: Models) -> None:
        """Says what is available now."""
        available = {versions.model_name for versions in models.all() if versions.available_version() is not None}
        known = {versions.model_name for versions in models.all()} or self._names
        self._servicer.set("", _SERVING if available == known else _NOT_SERVING)
        for name in self._names | known:
            self._servicer.set(name, _SERVING if name in available else _NOT_SERVING)

    def shut_down(self) -> None:
        """Answers NOT_SERVING for all, from now on for good."""
        self._servicer.enter_graceful_shutdown()
