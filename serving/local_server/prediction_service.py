"""PredictionService and ModelService, with TensorFlow Serving's statuses and messages, and gRPC's health service."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from data_prep.runtime.command_line import UserError
from serving.client_library.channels import MODEL_SERVICE, PREDICTION_SERVICE
from serving.local_server.batching import MICROSECONDS
from serving.local_server.caller import Caller
from serving.local_server.metrics import OTHER_MODELS, REQUEST_COUNT, REQUEST_LATENCY, Metrics
from serving.local_server.models import Models
from serving.local_server.predictor import Predictor
from serving.local_server.receiving import Receiver
from serving.operating.model_server_config import served_models
from serving.saved_models.status_errors import StatusError, invalid_argument
from serving.wire.messages import ReloadConfigRequest, ReloadConfigResponse

LOG = logging.getLogger(__name__)
_Count = Callable[[Any, grpc.StatusCode, float], None]
SIGNATURE_DEF = "signature_def"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def service_handlers(
    models: Models, predictor: Predictor, counted: Metrics, receiver: Receiver
) -> list[grpc.GenericRpcHandler]:
    """Returns the handlers of both services, for `grpc.Server.add_generic_rpc_handlers`.

    Args:
        models: What requests are answered from.
        predictor: What answers Predict.
        counted: Where requests are counted.
        receiver: What takes requests off their calls.
    """

    def handler(answer: Callable[[Any, Caller], Any], request_class: Any, *count: _Count) -> grpc.RpcMethodHandler:
        return _handler(receiver, answer, request_class, *count)

    def predict_call(request: Any, caller: Caller) -> Any:
        with models.use(request.model_spec) as model:
            return predictor.predict(model, request, caller)

    def count_predict(request: Any, code: grpc.StatusCode, seconds: float) -> None:
        count_request(counted, models, request.model_spec.name, code, seconds, api="Predict", entrypoint="GRPC")

    prediction_methods = {
        "Predict": handler(predict_call, predict_pb2.PredictRequest, count_predict),
        "GetModelMetadata": handler(
            lambda request, caller: get_model_metadata(models, request), get_model_metadata_pb2.GetModelMetadataRequest
        ),
    }
    model_methods = {
        "GetModelStatus": handler(
            lambda request, caller: get_model_status(models, request), get_model_status_pb2.GetModelStatusRequest
        ),
        "HandleReloadConfigRequest": handler(
            lambda request, caller: reload_config(models, request), ReloadConfigRequest
        ),
    }
    return [
        grpc.method_handlers_generic_handler(PREDICTION_SERVICE, prediction_methods),
        grpc.method_handlers_generic_handler(MODEL_SERVICE, model_methods),
    ]


def count_request(
    counted: Metrics,
    models: Models,
    model_name: str,
    code: grpc.StatusCode,
    seconds: float,
    *,
    api: str,
    entrypoint: str,
) -> None:
    """Counts a Predict request that has been answered, or refused, after so many seconds.

    As in TensorFlow Serving, the latency is that of requests that were answered: many that are refused at once would
    make a server look fast. The API is called `Predict` over gRPC and, by the word in its path, `predict` over REST.
    """
    known = any(versions.model_name == model_name for versions in models.all())
    name = model_name if known else OTHER_MODELS
    counted.count(REQUEST_COUNT, {"model_name": name, "status": code.name})
    if code is grpc.StatusCode.OK:
        labels = {"model_name": name, "API": api, "entrypoint": entrypoint}
        counted.observe(REQUEST_LATENCY, labels, seconds * MICROSECONDS)


def get_model_metadata(models: Models, request: Any) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Answers a GetModelMetadataRequest with the signatures of the version that it names.

    Raises:
        StatusError: The request is wrong, or names what is not served.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with models.use(request.model_spec) as model:
        for name, signature in model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.version.value = model.version
    response.model_spec.name = request.model_spec.name
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def get_model_status(models: Models, request: Any) -> get_model_status_pb2.GetModelStatusResponse:
    """Answers a GetModelStatusRequest with the states of all versions seen, or of the one that it names.

    Raises:
        StatusError: NOT_FOUND: another model, or a version never seen.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, status in models.statuses(request.model_spec).items():
        entry = response.model_version_status.add(version=version, state=int(status.state))
        entry.status.error_code = status.code.value[0]
        entry.status.error_message = status.message
    return response


def reload_config(models: Models, request: Any) -> Any:
    """Answers a ReloadConfigRequest: serves what its configuration says from now on.

    Raises:
        StatusError: The configuration cannot be served; `Models.configure` says when.
    """
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    try:
        wanted = served_models(request.config)
    except UserError as error:
        raise invalid_argument(str(error)) from error
    LOG.info("configuration: %s", "; ".join(f"{model.name} at {model.base_path}" for model in wanted) or "no model")
    models.configure(wanted)
    response = ReloadConfigResponse()
    response.status.SetInParent()
    return response


def _handler(
    receiver: Receiver,
    answer: Callable[[Any, Caller], Any],
    request_class: Any,
    count: _Count = lambda request, code, seconds: None,
) -> grpc.RpcMethodHandler:
    """Makes `answer` a method: parses the request, counts it, and ends the call with the status of a StatusError."""

    def call(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        started = time.monotonic()
        request = request_class()
        code = grpc.StatusCode.UNKNOWN
        try:
            with receiver.request(messages, context) as (received, caller):
                started = time.monotonic()
                request.MergeFromString(received.pop())
                response = answer(request, caller)
            code = grpc.StatusCode.OK
            return response
        except DecodeError:
            code = grpc.StatusCode.INVALID_ARGUMENT
            context.abort(code, f"the message is no {request_class.DESCRIPTOR.name}")
        except StatusError as error:
            code = error.code
            context.abort(code, error.message)
        finally:
            count(request, code, time.monotonic() - started)

    # Over the wire a stream of one message is what a unary call is; here it is the server that asks for the message.
    return grpc.stream_unary_rpc_method_handler(call, response_serializer=lambda response: response.SerializeToString())


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
        """Adds the health service to a server that has not been started."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def update(self, models: Models) -> None:
        """Sets the states to those of `models` now."""
        available = {versions.model_name for versions in models.all() if versions.available_version() is not None}
        known = {versions.model_name for versions in models.all()} or self._names
        self._servicer.set("", _SERVING if available == known else _NOT_SERVING)
        for name in self._names | known:
            self._servicer.set(name, _SERVING if name in available else _NOT_SERVING)

    def shut_down(self) -> None:
        """Answers NOT_SERVING for all models from now on."""
        self._servicer.enter_graceful_shutdown()
