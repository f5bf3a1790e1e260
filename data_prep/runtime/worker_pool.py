"""Pools of threads or processes: few items in flight, and no worker process outlives its parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from data_prep.runtime import large_image_turn
from data_prep.runtime.command_line import UserError

Item = TypeVar("Item")
Task = TypeVar("Task")
Result = TypeVar("Result")

ITEMS_IN_FLIGHT_PER_WORKER = 4
SECONDS_BETWEEN_COUNTS = 0.2

_CONTEXT = multiprocessing.get_context("spawn")
_counter_of_worker: Any = None


def map_in_order(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, num_workers: int
) -> Iterator[Result]:
    """Yields `function(item)` for each of `items`, in their order.

    Only a few items a worker are taken from `items` ahead of what has been yielded, so that millions of them neither
    wait as futures nor pile up as results. An exception of `function` is raised here, and what has not begun by then is
    cancelled.

    Raises:
        UserError: A worker process died.
    """
    in_flight: deque[Future[Result]] = deque()
    with ending_cleanly(in_flight):
        for item in items:
            in_flight.append(executor.submit(function, item))
            if len(in_flight) >= num_workers * ITEMS_IN_FLIGHT_PER_WORKER:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()


def map_as_completed(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, num_workers: int
) -> Iterator[Result]:
    """Does what `map_in_order` does, but yields whatever is done first: one slow item does not hold up the others."""
    in_flight: set[Future[Result]] = set()
    with ending_cleanly(in_flight):
        for item in items:
            in_flight.add(executor.submit(function, item))
            if len(in_flight) >= num_workers * ITEMS_IN_FLIGHT_PER_WORKER:
                for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                    in_flight.discard(future)
                    yield future.result()
        while in_flight:
            for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                in_flight.discard(future)
                yield future.result()


@contextlib.contextmanager
def ending_cleanly(in_flight: Collection[Future[Any]]) -> Iterator[None]:
    """Turns a worker's death into a `UserError`, and cancels what has not begun when the block ends."""
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, most likely for want of memory; try again with a smaller --num_processes"
        ) from error
    finally:
        for future in in_flight:
            future.cancel()


def process_pool(
    num_processes: int, *, environment: dict[str, str] | None = None, counter: SharedCounter | None = None
) -> ProcessPoolExecutor:
    """Returns a pool of fresh processes (spawned: a copy of a process with TensorFlow's threads in it would hang).

    They and this process decode one large image at a time; see `large_image_turn`.

    Args:
        num_processes: How many.
        environment: Variables for them, set before any function of theirs runs.
        counter: Counts `count_one()` calls in them, for work whose items are long.
    """
    turn = _CONTEXT.RLock()
    large_image_turn.take_turns_by(turn)
    return ProcessPoolExecutor(
        num_processes,
        mp_context=_CONTEXT,
        initializer=_start_worker,
        initargs=(environment or {}, counter.value if counter is not None else None, turn),
    )


class SharedCounter:
    """A whole number that a pool's processes count up together.

    Attributes:
        value: The shared number, a `multiprocessing` value with its lock.
    """

    def __init__(self) -> None:
        self.value: Any = _CONTEXT.Value("q", 0)

    def until_done(self, futures: Collection[Future[Any]]) -> Iterator[None]:
        """Yields once for each `count_one()`, as they come, until all `futures` are done or one fails."""
        counted = 0
        pending: Collection[Future[Any]] = futures
        while pending:
            done, pending = wait(pending, timeout=SECONDS_BETWEEN_COUNTS)
            for future in done:
                future.result()  # raises what went wrong there, without waiting for the rest
            now = self.value.value
            for _ in range(counted, now):
                yield
            counted = now


def counted_steps(
    one_by_one: Callable[[Sequence[Task], list[Result]], Iterator[None]],
    tasks: Sequence[Task],
    results: list[Result],
    num_processes: int,
    *,
    environment: dict[str, str] | None = None,
) -> Iterator[None]:
    """Does tasks of many items each, in this process or several; yields once for each item that is done.

    Args:
        one_by_one: Does the tasks that it is given in turn, appends a result for each to the list, and yields once for
            each item; a function of a module, as other processes have to find it.
        tasks: What to do; they go to other processes, one at a time each.
        results: Gets a result for each task, in their order.
        num_processes: How many tasks are worked at; 1 stays in this process.
        environment: As `process_pool` takes it.

    Raises:
        UserError: A worker process died.
    """
    if num_processes <= 1:
        yield from one_by_one(tasks, results)
        return
    counter = SharedCounter()
    with process_pool(num_processes, environment=environment, counter=counter) as executor:
        futures = [executor.submit(_counting, one_by_one, task) for task in tasks]
        with ending_cleanly(futures):
            yield from counter.until_done(futures)
            results.extend(future.result() for future in futures)


def _counting(one_by_one: Callable[[Sequence[Task], list[Result]], Iterator[None]], task: Task) -> Result:
    results: list[Result] = []
    for _ in one_by_one([task], results):
        count_one()
    return results[0]


def count_one() -> None:
    """Counts one up, in a process of a pool that has a counter."""
    if _counter_of_worker is not None:
        with _counter_of_worker.get_lock():
            _counter_of_worker.value += 1


def default_num_processes() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_worker(environment: dict[str, str], counter_value: Any, turn: Any) -> None:
    global _counter_of_worker  # noqa: PLW0603 - a pool's functions have no other way to what the pool was made with
    _counter_of_worker = counter_value
    large_image_turn.take_turns_by(turn)
    os.environ.update(environment)
    # Ctrl-C reaches the whole group: the parent prints what happened, workers just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when its parent is gone, which a killed parent cannot ask for."""
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(1)
