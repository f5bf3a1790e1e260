"""PredictionService and ModelService over one model's versions, with TensorFlow Serving's statuses and messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from serving.channels import MODEL_SERVICE, PREDICTION_SERVICE, SERVING_DEFAULT
from serving.local_server.loaded_model import LoadedModel, ModelLoadError
from serving.local_server.model_versions import ModelVersions
from serving.local_server.request_checks import RequestLimits, check_inputs, check_output_filter, find_signature
from serving.local_server.status_errors import StatusError, invalid_argument
from serving.wire.tensors import TensorError, fill_tensor

SIGNATURE_DEF = "signature_def"


def service_handlers(versions: ModelVersions, limits: RequestLimits) -> list[grpc.GenericRpcHandler]:
    """Returns the handlers of both services, for `grpc.Server.add_generic_rpc_handlers`.

    Args:
        versions: What requests are answered from.
        limits: How much a request may ask for.
    """

    def predict_call(request: Any, context: grpc.ServicerContext) -> Any:
        with versions.use(request.model_spec) as model:
            return predict(model, request, limits, timeout_seconds=time_left(context))

    def metadata_call(request: Any, context: grpc.ServicerContext) -> Any:
        return get_model_metadata(versions, request)

    def status_call(request: Any, context: grpc.ServicerContext) -> Any:
        return get_model_status(versions, request)

    prediction_methods = {
        "Predict": _handler(predict_call, predict_pb2.PredictRequest),
        "GetModelMetadata": _handler(metadata_call, get_model_metadata_pb2.GetModelMetadataRequest),
    }
    model_methods = {"GetModelStatus": _handler(status_call, get_model_status_pb2.GetModelStatusRequest)}
    return [
        grpc.method_handlers_generic_handler(PREDICTION_SERVICE, prediction_methods),
        grpc.method_handlers_generic_handler(MODEL_SERVICE, model_methods),
    ]


def time_left(context: grpc.ServicerContext) -> float | None:
    """Returns the seconds until the caller's deadline, None where it has none.

    Raises:
        StatusError: The deadline has passed or the caller has gone, so that any work would be for nobody.
    """
    if not context.is_active():
        raise StatusError(grpc.StatusCode.CANCELLED, "the caller has gone")
    seconds = context.time_remaining()
    if seconds is not None and seconds <= 0:
        raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the work began")
    return seconds


def predict(
    model: LoadedModel, request: Any, limits: RequestLimits, *, timeout_seconds: float | None = None
) -> predict_pb2.PredictResponse:
    """Answers a PredictRequest from `model`.

    Args:
        model: The version that it asks for.
        request: The PredictRequest.
        limits: How much it may ask for.
        timeout_seconds: How long the model may take; None for as long as it wants.

    Raises:
        StatusError: The request is wrong, or the model cannot answer it.
    """
    signature_name = request.model_spec.signature_name or SERVING_DEFAULT
    signature = find_signature(model.signatures, signature_name)
    inputs = check_inputs(request.inputs, signature, limits)
    output_names = check_output_filter(request.output_filter, signature)
    outputs = model.run(signature, inputs, output_names, timeout_seconds=timeout_seconds)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = model.version
    response.model_spec.signature_name = signature_name
    for name, array in outputs.items():
        try:
            fill_tensor(response.outputs[name], array, as_values=True)
        except TensorError as error:
            raise StatusError(grpc.StatusCode.INTERNAL, f"output {name}: {error}") from error
    return response


def get_model_metadata(versions: ModelVersions, request: Any) -> get_model_metadata_pb2.GetModelMetadataResponse:
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
    with versions.use(request.model_spec) as model:
        for name, signature in model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.version.value = model.version
    response.model_spec.name = request.model_spec.name
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def get_model_status(versions: ModelVersions, request: Any) -> get_model_status_pb2.GetModelStatusResponse:
    """Answers a GetModelStatusRequest with the states of all versions seen, or of the one that it names.

    Raises:
        StatusError: NOT_FOUND: another model, or a version never seen.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    name = request.model_spec.name
    statuses = versions.statuses() if name == versions.model_name else {}
    if request.model_spec.HasField("version"):
        version = request.model_spec.version.value
        statuses = {version: statuses[version]} if version in statuses else {}
        if not statuses:
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"Could not find version {version} of model {name}")
    if not statuses:
        raise StatusError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {name}")
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, status in statuses.items():
        entry = response.model_version_status.add(version=version, state=int(status.state))
        entry.status.error_code = status.code.value[0]
        entry.status.error_message = status.message
    return response


def replay_warm_up(model: LoadedModel, records: list[bytes], limits: RequestLimits) -> int:
    """Runs a version's warm-up requests, so that its first caller does not wait for what TensorFlow does only once.

    Args:
        model: The version.
        records: Serialised PredictionLogs.
        limits: As for requests from outside.

    Returns:
        How many requests were run.

    Raises:
        ModelLoadError: A record is no Predict request, or the model refuses it: as in TensorFlow Serving, such a
            version is not served.
    """
    for position, record in enumerate(records):
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise ModelLoadError(f"warm-up request {position} is no PredictionLog: {error}") from error
        if log.WhichOneof("log_type") != "predict_log":
            raise ModelLoadError(f"warm-up request {position} is no Predict request, which is all that is served here")
        try:
            predict(model, log.predict_log.request, limits)
        except StatusError as error:
            raise ModelLoadError(f"warm-up request {position} fails: {error.message}", error.code) from error
    return len(records)


def _handler(answer: Callable[[Any, grpc.ServicerContext], Any], request_class: Any) -> grpc.RpcMethodHandler:
    """Makes `answer` a method: parses the request, and ends the call with the status of a StatusError."""

    def call(content: bytes, context: grpc.ServicerContext) -> Any:
        try:
            time_left(context)
            return answer(request_class.FromString(content), context)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the message is no {request_class.DESCRIPTOR.name}")
        except StatusError as error:
            context.abort(error.code, error.message)

    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=None, response_serializer=lambda response: response.SerializeToString()
    )
