"""Errors between a client and a server: of one image, or of all of them."""

from __future__ import annotations

from typing import Any

import grpc

from data_prep.runtime.command_line import UserError
from serving.client_library.connection_faults import connection_fault
from serving.client_library.detections import Failure

# Statuses that say nothing of the image: the next one would end the same way.
FATAL_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)
_REASONS = {
    grpc.StatusCode.INVALID_ARGUMENT: "refused by the server",
    grpc.StatusCode.DEADLINE_EXCEEDED: "timed out",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too much for the server",
}


class ServerError(UserError):
    """The server cannot be asked: it is down, or does not serve such a model."""


class ImageRequestError(Exception):
    """One image has no answer.

    Attributes:
        failure: Why.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def image_failure(error: Any) -> Failure:
    """Returns a call's `grpc.RpcError` as the failure of the image that was sent."""
    reason = _REASONS.get(error.code(), "failed at the server")
    return Failure(reason, f"{error.code().name}: {details_in_one_line(error)}")


def server_error(error: Any, server: str, model_name: str, which: str = "", *, encrypted: bool = False) -> ServerError:
    """Returns a call's `grpc.RpcError` as an error of the server.

    Args:
        error: The error.
        server: Where was asked.
        model_name: Which model was asked.
        which: Which of its versions, such as `version 3`; empty for the newest.
        encrypted: Whether the client speaks TLS.
    """
    code, detail = error.code(), details_in_one_line(error)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return ServerError(connection_fault(detail, server, model_name, encrypted=encrypted))
    if code is grpc.StatusCode.NOT_FOUND:
        which = f", {which}" if which else ""
        return ServerError(f"the server at {server} has no model {model_name!r}{which}: {detail}")
    return ServerError(f"the server at {server} answers {code.name}: {detail}")


def details_in_one_line(error: Any) -> str:
    """Returns the message of the server, or of gRPC, about a call that failed."""
    return " ".join(str(error.details() or "no details").split())
