"""Caller of a request: whether it is still connected, and its deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from serving.local_server.request_memory import HeldMemory
from serving.saved_models.status_errors import StatusError


@dataclass(frozen=True)
class Caller:
    """The one that a request comes from.

    Attributes:
        deadline: When the answer is no longer wanted, by `time.monotonic()`; None for never.
        is_connected: Whether it is still connected and has not cancelled.
        memory: What its request holds of the server's memory for requests.
    """

    deadline: float | None = None
    is_connected: Callable[[], bool] = lambda: True
    memory: HeldMemory = field(default_factory=HeldMemory)

    def seconds_left(self) -> float | None:
        """Returns the seconds until the deadline, None where there is none.

        Raises:
            StatusError: The deadline has passed or the caller has disconnected.
        """
        if not self.is_connected():
            raise StatusError(grpc.StatusCode.CANCELLED, "the caller has gone")
        if self.deadline is None:
            return None
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the work was done")
        return seconds


def caller_of(context: grpc.ServicerContext) -> Caller:
    """Returns who a gRPC call comes from."""
    seconds = context.time_remaining()
    return Caller(None if seconds is None else time.monotonic() + seconds, context.is_active)
