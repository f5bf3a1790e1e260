"""Queues of URLs, one a host: many hosts at a time, each within its limits, with pauses after 429 and 503."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")

LOOK_AHEAD = 10_000  # items that wait in the queues: while one host rests, those of others among them are fetched
MAX_FAILURES_IN_A_ROW = 40  # of items that got no answer at all, before a host is taken to be down
SECONDS_BETWEEN_SLOW_DOWNS = 1.0  # answers that were under way say nothing new


class Task(Generic[Item]):
    """An item on its way.

    Attributes:
        item: What is to be fetched.
        host: Whose turn it takes.
        tries: How many have failed.
    """

    __slots__ = ("host", "item", "tries")

    def __init__(self, item: Item, host: _Host[Item]) -> None:
        self.item = item
        self.host = host
        self.tries = 0


class _Host(Generic[Item]):
    """One host: what waits for it, and how much it takes at a time."""

    def __init__(self, limit: int) -> None:
        self.waiting: deque[Task[Item]] = deque()
        self.active = 0
        self.limit = float(limit)
        self.paused_until = 0.0
        self.slowed_at = float("-inf")
        self.failures_in_a_row = 0
        self.given_up = ""
        self.listed = False


class HostQueues(Generic[Item]):
    """Hands out items to threads, in their order as far as each host's limit allows.

    A host that answers "too many requests" or "unavailable" is asked half as often from then on, and a little more with
    every good answer, up to its limit again.
    """

    def __init__(
        self,
        items: Iterable[Item],
        host_of: Callable[[Item], str],
        *,
        max_per_host: int,
        stop: threading.Event,
    ) -> None:
        """Prepares.

        Args:
            items: Taken a few thousand ahead.
            host_of: Gives an item's host.
            max_per_host: How many items of a host are out at a time.
            stop: Once set, nothing more is handed out.
        """
        self._items = iter(items)
        self._host_of = host_of
        self._max_per_host = max_per_host
        self._stop = stop
        self._changed = threading.Condition()
        self._hosts: dict[str, _Host[Item]] = {}
        self._ready: deque[_Host[Item]] = deque()  # those that may have an item to give, each once
        self._timers: list[tuple[float, int, _Host[Item], Task[Item] | None]] = []
        self._timer_number = itertools.count()
        self._num_waiting = 0  # in queues and timers
        self._num_active = 0
        self._exhausted = False

    def take(self) -> Task[Item] | None:
        """Returns the next task, waiting until a host is free for one; None when nothing is left."""
        with self._changed:
            while not self._stop.is_set():
                self._refill()
                self._wake()
                host = self._next_host()
                if host is not None:
                    task = host.waiting.popleft()
                    self._num_waiting -= 1
                    self._num_active += 1
                    host.active += 1
                    self._list(host)
                    return task
                if not self._num_waiting and not self._num_active:
                    break
                # With a time-out: `stop` may be set without a notification.
                soonest = self._timers[0][0] - time.monotonic() if self._timers else 1.0
                self._changed.wait(min(max(soonest, 0.0), 1.0))
            self._changed.notify_all()
            return None

    def done(self, task: Task[Item], *, answered: bool) -> None:
        """Takes back a task that needs no further try.

        Args:
            task: The task.
            answered: Whether its host has said anything at all.
        """
        with self._changed:
            host = task.host
            if answered:
                host.failures_in_a_row = 0
                host.limit = min(float(self._max_per_host), host.limit + 1.0 / host.limit)
            else:
                host.failures_in_a_row += 1
                if host.failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                    host.given_up = f"no answer to {MAX_FAILURES_IN_A_ROW} images in a row"
            self._give_back(task)

    def retry(self, task: Task[Item], wait_seconds: float, *, slow_down: bool) -> None:
        """Takes back a task that is handed out again after a while.

        Args:
            task: The task.
            wait_seconds: For how long it is kept.
            slow_down: Whether the host has asked for that: then it gets none of the others meanwhile either.
        """
        with self._changed:
            host, now = task.host, time.monotonic()
            if slow_down:
                host.failures_in_a_row = 0
                host.paused_until = max(host.paused_until, now + wait_seconds)
                if now - host.slowed_at > SECONDS_BETWEEN_SLOW_DOWNS:
                    host.slowed_at = now
                    host.limit = max(1.0, host.limit / 2)
            self._num_waiting += 1
            self._set_timer(now + wait_seconds, host, task)
            self._give_back(task)

    def give_up(self, task: Task[Item], why: str) -> None:
        """Gives up the task's host: its other tasks are still handed out, and then fail with `why`."""
        with self._changed:
            task.host.given_up = why
            task.host.paused_until = 0.0
            self._list(task.host)

    def why_given_up(self, task: Task[Item]) -> str:
        """Returns why the task's host is not to be asked, or an empty text."""
        return task.host.given_up

    def wake_all(self) -> None:
        """Lets threads that wait see that `stop` is set."""
        with self._changed:
            self._changed.notify_all()

    def _refill(self) -> None:
        while not self._exhausted and self._num_waiting < LOOK_AHEAD:
            item = next(self._items, None)
            if item is None:
                self._exhausted = True
                return
            name = self._host_of(item)
            host = self._hosts.get(name)
            if host is None:
                host = self._hosts[name] = _Host(self._max_per_host)
            host.waiting.append(Task(item, host))
            self._num_waiting += 1
            self._list(host)

    def _wake(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, host, task = heapq.heappop(self._timers)
            if task is not None:
                host.waiting.append(task)
            self._list(host)

    def _next_host(self) -> _Host[Item] | None:
        now = time.monotonic()
        while self._ready:
            host = self._ready.popleft()
            host.listed = False
            if not host.waiting or host.active >= int(host.limit):
                continue  # it is listed again when one of its tasks comes or goes
            if host.paused_until > now:
                self._set_timer(host.paused_until, host, None)
                continue
            return host
        return None

    def _list(self, host: _Host[Item]) -> None:
        if not host.listed and host.waiting:
            host.listed = True
            self._ready.append(host)

    def _set_timer(self, moment: float, host: _Host[Item], task: Task[Item] | None) -> None:
        heapq.heappush(self._timers, (moment, next(self._timer_number), host, task))

    def _give_back(self, task: Task[Item]) -> None:
        task.host.active -= 1
        self._num_active -= 1
        self._list(task.host)
        self._changed.notify()
