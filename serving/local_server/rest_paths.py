"""Paths of TensorFlow Serving's REST API, and the documents of model status and metadata behind them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from serving.local_server.models import Models
from serving.local_server.prediction_service import SIGNATURE_DEF, get_model_metadata, get_model_status
from serving.saved_models.status_errors import invalid_argument

API_PATH = "/v1/"
# What TensorFlow Serving answers with --rest_api_enable_cors_support.
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_VERSION = r"(?:/versions/(?P<version>\d{1,19})|/labels/(?P<label>[^/:]+))?"
PREDICT_PATH = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>predict|classify|regress)", re.IGNORECASE)
STATUS_PATH = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE)
# As `ToHTTPStatusCode` of TensorFlow Serving's http_server.cc translates them; 500 for all others.
_HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def http_status(code: grpc.StatusCode) -> int:
    """Returns the HTTP status that stands for a gRPC status."""
    return _HTTP_STATUS.get(code, 500)


def model_spec_of(match: re.Match[str]) -> Any:
    """Returns the ModelSpec that a path names.

    Raises:
        StatusError: INVALID_ARGUMENT: its version is no number of 64 bits.
    """
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        if int(match["version"]) >= 2**63:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    elif match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def status_document(models: Models, model_spec: Any) -> Any:
    """Returns GetModelStatus's answer for JSON.

    Raises:
        StatusError: As `get_model_status`.
    """
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec)
    document = _json_of(get_model_status(models, request))
    return {"model_version_status": document["model_version_status"]}


def metadata_document(models: Models, model_spec: Any) -> Any:
    """Returns GetModelMetadata's answer for JSON.

    Raises:
        StatusError: As `get_model_metadata`.
    """
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=model_spec, metadata_field=[SIGNATURE_DEF])
    response = get_model_metadata(models, request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    return {"model_spec": _json_of(response.model_spec), "metadata": {SIGNATURE_DEF: _json_of(signatures)}}


def _json_of(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
