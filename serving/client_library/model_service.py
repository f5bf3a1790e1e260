"""Client of TensorFlow Serving's ModelService: versions and their states, labels, and new configs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from data_prep.runtime.command_line import UserError
from serving.client_library.channels import MODEL_SERVICE, PREDICTION_SERVICE
from serving.client_library.connection import Connection
from serving.wire.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
    message_class,
)

AVAILABLE = "AVAILABLE"
_POLL_SECONDS = 0.2
_STATES = message_class("tensorflow.serving.ModelVersionStatus").DESCRIPTOR.enum_types_by_name["State"].values_by_number
_NO_SUCH = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)


@dataclass(frozen=True)
class VersionState:
    """State of a version on a server.

    Attributes:
        state: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        error: Why it could not be loaded; empty where nothing went wrong.
    """

    state: str
    error: str = ""

    def __str__(self) -> str:
        return f"{self.state} ({self.error})" if self.error else self.state


class ModelServiceClient:
    """One server's ModelService. `with ModelServiceClient(connection) as client:` closes its channel."""

    def __init__(self, connection: Connection, *, timeout_seconds: float) -> None:
        """Sets up a channel; nothing is sent before the first call.

        Args:
            connection: Where the server is.
            timeout_seconds: The deadline of each call. A server that gets a config with a missing folder never
                answers, and no other reload after it.
        """
        self.server = connection.server
        self._timeout_seconds = timeout_seconds
        self._channel = connection.open_channel()

    def versions(self, model_name: str) -> dict[int, VersionState]:
        """Returns the versions that the server knows of a model, those gone included; none for an unknown model.

        Raises:
            UserError: The server does not answer.
        """
        request = GetModelStatusRequest()
        request.model_spec.name = model_name
        try:
            response = self._call(MODEL_SERVICE, "GetModelStatus", request, GetModelStatusResponse)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return {}
            raise self._failure("does not say what it serves", error) from error
        return {
            entry.version: VersionState(
                _STATES[entry.state].name if entry.state in _STATES else str(entry.state), entry.status.error_message
            )
            for entry in response.model_version_status
        }

    def labelled_version(self, model_name: str, label: str) -> int | None:
        """Returns the version that requests with this label get; None where the server does not know the label.

        Raises:
            UserError: The server does not answer.
        """
        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = model_name
        request.model_spec.version_label = label
        try:
            response = self._call(PREDICTION_SERVICE, "GetModelMetadata", request, GetModelMetadataResponse)
        except grpc.RpcError as error:
            if error.code() in _NO_SUCH:
                return None
            raise self._failure(f"does not say what label {label} is", error) from error
        return int(response.model_spec.version.value)

    def reload(self, config: Any) -> None:
        """Makes the server serve what a ModelServerConfig says, and nothing else.

        Raises:
            UserError: The server refuses, or does not answer.
        """
        request = ReloadConfigRequest(config=config)
        try:
            response = self._call(MODEL_SERVICE, "HandleReloadConfigRequest", request, ReloadConfigResponse)
        except grpc.RpcError as error:
            raise self._failure("did not take the new configuration", error) from error
        if response.status.error_code:
            raise UserError(f"{self.server} did not take the new configuration: {response.status.error_message}")

    def wait_until_available(self, model_name: str, version: int) -> None:
        """Waits, as long as a call may take, until a version can be asked.

        Raises:
            UserError: It cannot be loaded, or is not there in time.
        """
        end = time.monotonic() + self._timeout_seconds
        while True:
            state = self.versions(model_name).get(version)
            if state is not None and state.state == AVAILABLE:
                return
            if state is not None and state.error:
                raise UserError(f"{self.server} cannot load version {version} of {model_name}: {state}")
            if time.monotonic() >= end:
                words = "does not know" if state is None else f"still says {state} of"
                raise UserError(
                    f"{self.server} {words} version {version} of {model_name} after {self._timeout_seconds:g} s"
                )
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def __enter__(self) -> ModelServiceClient:
        """Returns the client."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the channel."""
        self.close()

    def _call(self, service: str, method: str, request: Any, response_class: type[Any]) -> Any:
        call = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        return call(request, timeout=self._timeout_seconds)

    def _failure(self, words: str, error: grpc.RpcError) -> UserError:
        return UserError(f"{self.server} {words}: {error.code().name}: {' '.join((error.details() or '').split())}")


def states_text(versions: Mapping[int, VersionState]) -> str:
    """Returns the versions and their states in one line, oldest first."""
    return ", ".join(f"{version} {versions[version]}" for version in sorted(versions)) or "no version"
