"""Retry and hedging policy of the clients: when a request is sent again, or a second time beside the first."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import grpc

FIRST_BACK_OFF_SECONDS = 0.25
MAX_BACK_OFF_SECONDS = 5.0
RETRIES_TO_CONNECT = 4  # some four seconds: a server that was never there should be reported soon
MAX_HEDGED_FRACTION = 0.1  # a server that is slow under load must not get twice the load for it

# Predict changes nothing at the server, so that asking twice is safe whatever became of the first time. Yet only these
# two say that the same request may do better later; a deadline that has passed, or a request refused, does not.
_RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_TOO_LARGE = "message larger than max"  # gRPC's own RESOURCE_EXHAUSTED, which is no different the next time


@dataclass(frozen=True)
class CallPolicy:
    """Deadline, retries and hedging of a client's requests.

    Attributes:
        timeout_seconds: The deadline of one request, with every retry and every wait between them.
        max_retries: How often a request is sent again at most; None for as often as the deadline has room for, once a
            server has answered, and four times before.
        hedge_after_seconds: Send a request a second time where the first has no answer after so long, and take
            whichever answers first; None never does. At most one request in ten is sent twice so.
    """

    timeout_seconds: float = 60.0
    max_retries: int | None = None
    hedge_after_seconds: float | None = None


class Attempts:
    """The attempts at one request, within its deadline."""

    def __init__(self, policy: CallPolicy, *, connecting: bool = False) -> None:
        """Starts the deadline.

        Args:
            policy: How patient to be.
            connecting: Whether no server has answered yet.
        """
        self._end = time.monotonic() + policy.timeout_seconds
        self._max_retries = RETRIES_TO_CONNECT if connecting and policy.max_retries is None else policy.max_retries
        self._retries = 0

    def remaining_seconds(self) -> float:
        """Returns how long until the deadline; never 0, which gRPC would take for no time at all."""
        return max(self._end - time.monotonic(), 0.001)

    def back_off_seconds(self, error: Any) -> float | None:
        """Returns how long to wait before the next attempt, or None where `error`, a `grpc.RpcError`, is the end.

        The waits are 0.25 s, 0.5 s, 1 s, ... up to 5 s, each shortened by up to half at random, so that many clients
        of a server that went down do not come back as one.
        """
        if not is_retryable(error) or self._retries == self._max_retries:
            return None
        back_off = min(MAX_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * 2 ** min(self._retries, 10))
        back_off *= random.uniform(0.5, 1.0)
        self._retries += 1
        return back_off if time.monotonic() + back_off < self._end else None


def is_retryable(error: Any) -> bool:
    """Tells whether a call that ended with the `grpc.RpcError` may do better later."""
    return error.code() in _RETRYABLE and _TOO_LARGE not in (error.details() or "")


class CallCounts:
    """Counts of what a client has sent; safe to be counted from many threads.

    Attributes:
        calls: Requests that were asked, each counted once.
        retries: How often one was sent again after a failure.
        hedges: How often one was sent a second time while the first was on its way.
        hedges_won: How often the second answered first.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.retries = 0
        self.hedges = 0
        self.hedges_won = 0
        self._lock = threading.Lock()

    def add(self, *, calls: int = 0, retries: int = 0, hedges_won: int = 0) -> None:
        """Counts what happened."""
        with self._lock:
            self.calls += calls
            self.retries += retries
            self.hedges_won += hedges_won

    def may_hedge(self) -> bool:
        """Tells whether one more request may be sent twice, and counts it if so."""
        with self._lock:
            if self.hedges + 1 > max(1.0, MAX_HEDGED_FRACTION * self.calls):
                return False
            self.hedges += 1
            return True
