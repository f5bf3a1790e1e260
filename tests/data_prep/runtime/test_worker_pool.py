from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_prep.runtime import worker_pool
from data_prep.runtime.command_line import UserError


def test_results_come_in_order() -> None:
    def slow_if_even(number: int) -> int:
        time.sleep(0.01 * (number % 2 == 0))
        return number * number

    with ThreadPoolExecutor(4) as executor:
        results = list(worker_pool.map_in_order(executor, slow_if_even, range(50), num_workers=4))
    assert results == [number * number for number in range(50)]


@pytest.mark.parametrize("function", [worker_pool.map_in_order, worker_pool.map_as_completed])
def test_items_are_taken_a_few_ahead_and_not_all_at_once(function: object) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 1000:
            taken += 1
            yield taken

    with ThreadPoolExecutor(2) as executor:
        results = function(executor, abs, items(), num_workers=2)  # type: ignore[operator]
        next(results)
        assert taken <= 2 * worker_pool.ITEMS_IN_FLIGHT_PER_WORKER
        assert len(list(results)) == 999


def test_one_slow_item_does_not_hold_up_the_others() -> None:
    released = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert released.wait(20)
        return number

    with ThreadPoolExecutor(2) as executor:
        results = worker_pool.map_as_completed(executor, work, range(100), num_workers=2)
        others = [next(results) for _ in range(99)]
        assert sorted(others) == list(range(1, 100))
        released.set()
        assert list(results) == [0]


@pytest.mark.parametrize("function", [worker_pool.map_in_order, worker_pool.map_as_completed])
def test_an_exception_is_raised_and_ends_the_rest(function: object) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        done.append(number)
        return number

    with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
        list(function(executor, work, range(1000), num_workers=1))  # type: ignore[operator]
    assert len(done) < 20


def test_a_worker_that_dies_is_said_in_one_line() -> None:
    with worker_pool.process_pool(1) as executor, pytest.raises(UserError, match="smaller --num_processes"):
        list(worker_pool.map_in_order(executor, os._exit, [3], num_workers=1))


def test_workers_get_their_environment() -> None:
    with worker_pool.process_pool(1, environment={"CUDA_VISIBLE_DEVICES": "of the worker"}) as executor:
        results = list(worker_pool.map_in_order(executor, os.getenv, ["CUDA_VISIBLE_DEVICES"], num_workers=1))
    assert results == ["of the worker"]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") != "of the worker"


def test_workers_count_together() -> None:
    counter = worker_pool.SharedCounter()
    with worker_pool.process_pool(2, counter=counter) as executor:
        futures = [executor.submit(worker_pool.count_one) for _ in range(50)]
        assert sum(1 for _ in counter.until_done(futures)) == 50
