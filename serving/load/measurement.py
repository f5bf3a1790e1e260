"""Measurements of a load test's steps: percentiles, throughput, errors, and a sweep's knee."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PERCENTILES = (50.0, 90.0, 99.0)
OK = "OK"
NOT_SENT = "NOT_SENT"  # open loop: as many requests as allowed were on their way when one more was due
KNEE_FRACTION = 0.9


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
        client_cpu_fraction: Of one core, that this process used.
        batch_sizes: What the server says its batches were: size limit (as text) to number; empty where not asked.
        mean_batch_size: The same in one number; None where not known.
    """

    pace: Pace
    images_per_request: int
    seconds: float = 0.0
    latencies_seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    answered_in_time: int = 0
    client_cpu_fraction: float = 0.0
    batch_sizes: dict[str, int] = field(default_factory=dict)
    mean_batch_size: float | None = None

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
            "pictures_per_request": self.images_per_request,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "requests_per_second": round(self.requests_per_second, 3),
            "pictures_per_second": round(self.images_per_second, 3),
            "latency_milliseconds": {
                **{f"p{value:g}": round(self.milliseconds_at(value), 3) for value in PERCENTILES if answered},
                **({"max": round(self.milliseconds_at(100), 3)} if answered else {}),
            },
            "statuses": dict(self.statuses.most_common()),
            "client_cpu_fraction": round(self.client_cpu_fraction, 3),
            "batch_sizes": self.batch_sizes,
            "mean_batch_size": None if self.mean_batch_size is None else round(self.mean_batch_size, 3),
        }


def knee(steps: Sequence[Step]) -> Step | None:
    """Returns the step where more load stops paying: the least load with nine tenths of the best throughput.

    Beyond it requests only wait longer. Where it is the last step, the server may have more to give.

    Returns:
        One of `steps`, or None where nothing was answered.
    """
    best = max((step.requests_per_second for step in steps), default=0.0)
    if best <= 0:
        return None
    enough = [step for step in steps if step.requests_per_second >= KNEE_FRACTION * best]
    return min(enough, key=lambda step: step.pace.value)
