"""Load generator: sends requests at a set pace and times the answers, in one thread, within bounds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from serving.client_library.connection import Connection
from serving.client_library.detector_exchanges import PREDICT
from serving.load.measurement import NOT_SENT, OK, Pace, Step

CONSTANT, POISSON = "constant", "poisson"


@dataclass(frozen=True)
class LoadBounds:
    """Bounds on the time and the requests of a step.

    Attributes:
        warm_up_seconds: Asked at the same pace first, and not counted.
        duration_seconds: Measured for so long.
        max_requests: The step ends early after so many measured requests.
        timeout_seconds: The deadline of a request.
        max_in_flight: Open loop: a request that falls due with so many on their way is not sent, and counted so.
        arrivals: Open loop: `constant` spacing, or `poisson`, as independent callers come.
    """

    warm_up_seconds: float = 2.0
    duration_seconds: float = 10.0
    max_requests: int = 100_000
    timeout_seconds: float = 60.0
    max_in_flight: int = 1000
    arrivals: str = POISSON


async def measure(
    connection: Connection,
    requests: Sequence[bytes],
    pace: Pace,
    bounds: LoadBounds,
    *,
    images_per_request: int = 1,
    when_warm: Callable[[], None] = lambda: None,
) -> Step:
    """Measures one step.

    Args:
        connection: Where to ask.
        requests: PredictRequests as bytes, asked in turn.
        pace: How fast.
        bounds: How long.
        images_per_request: How many images each holds.
        when_warm: Called, in a thread, when the measured time begins.
    """
    run = _Run(connection, requests, pace, bounds, images_per_request)
    try:
        if bounds.warm_up_seconds > 0:
            await run.ask_for(bounds.warm_up_seconds, Step(pace, images_per_request))
        await asyncio.to_thread(when_warm)
        step = Step(pace, images_per_request)
        cpu_start, start = time.process_time(), time.perf_counter()
        await run.ask_for(bounds.duration_seconds, step)
        step.client_cpu_fraction = (time.process_time() - cpu_start) / max(time.perf_counter() - start, 1e-9)
        return step
    finally:
        await run.channel.close()


class _Run:
    """One step's channel and its place in the requests."""

    def __init__(
        self,
        connection: Connection,
        requests: Sequence[bytes],
        pace: Pace,
        bounds: LoadBounds,
        images_per_request: int,
    ) -> None:
        self.channel = connection.open_async_channel()
        self._predict = self.channel.unary_unary(PREDICT.path)  # bytes in and out: the client's own work stays small
        self._metadata = tuple(connection.metadata)
        self._requests = requests
        self._pace = pace
        self._bounds = bounds
        self._next = 0
        self._start = 0.0
        self._random = random.Random(0)

    async def ask_for(self, seconds: float, step: Step) -> None:
        """Asks until `seconds` are over or enough was asked, waits for the last answers, and counts into `step`."""
        start = self._start = time.perf_counter()
        end = start + seconds
        if self._pace.concurrency is not None:
            budget = iter(range(self._bounds.max_requests))
            workers = [self._closed_loop(step, budget, end) for _ in range(self._pace.concurrency)]
            await asyncio.gather(*workers)
        else:
            await self._open_loop(step, start, end)
        # A step that its number of requests ended was as long as it took to answer them.
        step.seconds = min(seconds, time.perf_counter() - start)

    async def _closed_loop(self, step: Step, budget: Any, end: float) -> None:
        while (now := time.perf_counter()) < end and next(budget, None) is not None:
            await self._ask(step, now, end)

    async def _open_loop(self, step: Step, start: float, end: float) -> None:
        assert self._pace.rate_per_second is not None, "an open loop has a rate"
        on_their_way: set[asyncio.Task[None]] = set()
        due = start
        try:
            for _ in range(self._bounds.max_requests):
                due += self._gap_seconds()
                if due >= end:
                    break
                step.due_seconds.append(due - start)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if len(on_their_way) >= self._bounds.max_in_flight:
                    step.statuses[NOT_SENT] += 1
                    continue
                task = asyncio.create_task(self._ask(step, due, end))
                on_their_way.add(task)
                task.add_done_callback(on_their_way.discard)
            await asyncio.gather(*on_their_way)
        finally:
            for task in on_their_way:
                task.cancel()

    def _gap_seconds(self) -> float:
        rate = self._pace.rate_per_second or 1.0
        return 1.0 / rate if self._bounds.arrivals == CONSTANT else self._random.expovariate(rate)

    async def _ask(self, step: Step, due: float, end: float) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        try:
            await self._predict(request, timeout=self._bounds.timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            status = error.code().name
            step.statuses[status] += 1
            if status in ("UNAVAILABLE", "RESOURCE_EXHAUSTED") and self._pace.concurrency is not None:
                await asyncio.sleep(0.01)  # a closed loop must not turn a refusal into a storm
            return
        now = time.perf_counter()
        step.statuses[OK] += 1
        step.latencies_seconds.append(now - due)
        step.answer_seconds.append(now - self._start)
        step.answered_in_time += int(now <= end)
