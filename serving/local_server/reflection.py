"""gRPC's reflection service, by which grpcurl and its like learn what a server offers, as in TensorFlow Serving."""

from __future__ import annotations

import importlib.util
import logging

import grpc

from serving.client_library.channels import MODEL_SERVICE, PREDICTION_SERVICE

LOG = logging.getLogger(__name__)
PACKAGE = "grpcio-reflection"


def add_reflection(server: grpc.Server) -> bool:
    """Adds the reflection service to a server that has not been started; returns whether its package is installed."""
    if importlib.util.find_spec("grpc_reflection") is None:
        LOG.info("gRPC reflection is not served: the package %s is not installed", PACKAGE)
        return False
    from grpc_health.v1 import health
    from grpc_reflection.v1alpha import reflection

    # Imported for their descriptors, which protobuf's default pool then holds.
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2  # noqa: F401

    names = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return True
