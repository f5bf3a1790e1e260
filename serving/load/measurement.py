"""Measurements of a load test's steps: percentiles, throughput and errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PERCENTILES = (50.0, 90.0, 99.0)
OK = "OK"
NOT_SENT = "NOT_SENT"  # open loop: as many requests as allowed were on their way when one more was due


@dataclass(frozen=True)
class Pace:
    """Pace of requests: a concurrency or a rate.

    Attributes:
        concurrency: Closed loop: so many requests are on their way at any time, each followed by the next.
        rate_per_second: Open loop: so many requests fall due in a second, whether or not the earlier are answered.
    """

    concurrency: int | None = None
    rate_per_second: float | None = None

    @property
    def value(self) -> float:
        """The number that a sweep varies."""
        return float(self.concurrency if self.concurrency is not None else self.rate_per_second or 0.0)

    def __str__(self) -> str:
        """Says it in a word or two."""
        if self.concurrency is not None:
            return f"concurrency {self.concurrency}"
        return f"{self.rate_per_second:g} requests/s"


@dataclass
class Step:
    """Measurements at one pace, after the warm-up.

    Attributes:
        pace: How fast was asked.
        images_per_request: How many images each request held.
        seconds: How long was measured.
        latencies_seconds: Of the requests that were answered, in the order of their ends. In an open loop they count
            from when a request was due, not from when it could be sent: a server that stalls is not excused from
            what would have been asked meanwhile.
        statuses: How many requests ended how, by gRPC's status name, or `NOT_SENT`.
        answered_in_time: Answers that came within `seconds`; later ones count for latency, not for throughput.
        due_seconds: When each request fell due, from the step's beginning.
        answer_seconds: When each answer came, in order, from the step's beginning.
        client_cpu_fraction: Of one core, that this process used.
        batch_sizes: What the server says its batches were: size limit (as text) to number; empty where not asked.
        mean_batch_size: The same in one number; None where not known.
        server_cores: How many cores the server kept busy; None where not known.
        server_memory_bytes: What it held in the end; None where not known.
    """

    pace: Pace
    images_per_request: int
    seconds: float = 0.0
    latencies_seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    answered_in_time: int = 0
    due_seconds: list[float] = field(default_factory=list)
    answer_seconds: list[float] = field(default_factory=list)
    client_cpu_fraction: float = 0.0
    batch_sizes: dict[str, int] = field(default_factory=dict)
    mean_batch_size: float | None = None
    server_cores: float | None = None
    server_memory_bytes: float | None = None

    @property
    def requests(self) -> int:
        """How many were due."""
        return self.statuses.total()

    @property
    def errors(self) -> int:
        """How many of them were not answered."""
        return self.requests - self.statuses[OK]

    @property
    def requests_per_second(self) -> float:
        """Answers in a second."""
        return self.answered_in_time / self.seconds if self.seconds > 0 else 0.0

    @property
    def offered_per_second(self) -> float | None:
        """Requests that fell due in a second; None in a closed loop, which asks as fast as it is answered."""
        return None if self.pace.rate_per_second is None else _per_second(self.due_seconds)

    @property
    def answered_per_second(self) -> float:
        """Answers in a second from the first to the last, late ones included.

        Of a server that keeps up it is what is offered, however long an answer takes; of one that does not, what it
        can do.
        """
        return _per_second(self.answer_seconds)

    @property
    def images_per_second(self) -> float:
        """Images answered in a second."""
        return self.requests_per_second * self.images_per_request

    def milliseconds_at(self, percentile: float) -> float:
        """Returns the latency that so many percent of the answers were within; NaN where there is no answer.

        It is a latency that was seen (the smallest that is large enough), never one between two.
        """
        if not self.latencies_seconds:
            return float("nan")
        return float(np.percentile(self.latencies_seconds, percentile, method="inverted_cdf")) * 1000

    def as_json(self) -> dict[str, Any]:
        """Returns the figures, without the single latencies."""
        answered = bool(self.latencies_seconds)
        return {
            "concurrency": self.pace.concurrency,
            "rate_per_second": self.pace.rate_per_second,
            "images_per_request": self.images_per_request,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "requests_per_second": round(self.requests_per_second, 3),
            "images_per_second": round(self.images_per_second, 3),
            "latency_milliseconds": {
                **{f"p{value:g}": round(self.milliseconds_at(value), 3) for value in PERCENTILES if answered},
                **({"max": round(self.milliseconds_at(100), 3)} if answered else {}),
            },
            "offered_per_second": _rounded(self.offered_per_second),
            "answered_per_second": _rounded(self.answered_per_second),
            "statuses": dict(self.statuses.most_common()),
            "client_cpu_fraction": round(self.client_cpu_fraction, 3),
            "batch_sizes": self.batch_sizes,
            "mean_batch_size": _rounded(self.mean_batch_size),
            "server_cores": _rounded(self.server_cores),
            "server_memory_bytes": self.server_memory_bytes,
        }


def _per_second(times_seconds: list[float]) -> float:
    """Returns how many events a second there were, by the time from the first to the last; 0 where there is none."""
    span = max(times_seconds) - min(times_seconds) if times_seconds else 0.0
    return (len(times_seconds) - 1) / span if span > 0 else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
