"""gRPC's reflection service, by which grpcurl and its like learn what a server offers, as in TensorFlow Serving."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2, predict_pb2

from serving.client_library.channels import MODEL_SERVICE, PREDICTION_SERVICE

# The file of each service in TensorFlow Serving, and its methods that are served here with the file of their messages.
# Its own Python module of them, `prediction_service_pb2`, cannot be imported beside protobuf 5 or newer.
_SERVICES: dict[str, tuple[str, dict[str, tuple[str, str, Any]]]] = {
    PREDICTION_SERVICE: (
        "tensorflow_serving/apis/prediction_service.proto",
        {
            "Predict": ("PredictRequest", "PredictResponse", predict_pb2),
            "GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse", get_model_metadata_pb2),
        },
    ),
    MODEL_SERVICE: (
        "tensorflow_serving/apis/model_service.proto",
        {
            "GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse", get_model_status_pb2),
            "HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse", model_management_pb2),
        },
    ),
}


def add_reflection(server: grpc.Server) -> None:
    """Adds the reflection service to a server that has not been started."""
    pool = service_descriptors()
    _add_file(pool, reflection_pb2.DESCRIPTOR, set())
    names = (*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=pool)


def service_descriptors() -> descriptor_pool.DescriptorPool:
    """Returns descriptors of the services and their messages, in a pool of their own."""
    pool = descriptor_pool.DescriptorPool()
    known: set[str] = set()
    _add_file(pool, health_pb2.DESCRIPTOR, known)
    for full_name, (file_name, methods) in _SERVICES.items():
        package, _, name = full_name.rpartition(".")
        file = descriptor_pb2.FileDescriptorProto(name=file_name, package=package, syntax="proto3")
        service = file.service.add(name=name)
        for method, (request, response, module) in methods.items():
            _add_file(pool, module.DESCRIPTOR, known)
            file.dependency.append(module.DESCRIPTOR.name)
            service.method.add(name=method, input_type=f".{package}.{request}", output_type=f".{package}.{response}")
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_file(pool: descriptor_pool.DescriptorPool, file: Any, known: set[str]) -> None:
    if file.name in known:
        return
    known.add(file.name)
    for dependency in file.dependencies:
        _add_file(pool, dependency, known)
    pool.AddSerializedFile(file.serialized_pb)
