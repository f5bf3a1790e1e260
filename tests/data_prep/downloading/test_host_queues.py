from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

from data_prep.downloading.host_queues import LOOK_AHEAD, MAX_FAILURES_IN_A_ROW, HostQueues, Task


def queues_of(items: Sequence[str], max_per_host: int = 4, stop: threading.Event | None = None) -> HostQueues[str]:
    """Items are named HOST/NUMBER."""
    return HostQueues(
        iter(items), lambda item: item.partition("/")[0], max_per_host=max_per_host, stop=stop or threading.Event()
    )


def take(queues: HostQueues[str]) -> Task[str]:
    task = queues.take()
    assert task is not None
    return task


def test_every_item_comes_once_in_order() -> None:
    items = [f"a/{number}" for number in range(3 * LOOK_AHEAD)]
    queues = queues_of(items)
    taken = []
    while (task := queues.take()) is not None:
        taken.append(task.item)
        queues.done(task, answered=True)
    assert taken == items


def test_no_host_gets_more_than_its_limit_and_none_holds_up_the_others() -> None:
    queues = queues_of([f"slow/{number}" for number in range(100)] + [f"fast/{number}" for number in range(100)], 3)
    slow = []
    fast = 0
    for _ in range(103):  # nothing of `slow` ever ends
        task = take(queues)
        if task.item.startswith("slow"):
            slow.append(task)
        else:
            fast += 1
            queues.done(task, answered=True)
    assert (len(slow), fast) == (3, 100)


def test_a_thread_waits_until_a_host_is_free() -> None:
    queues = queues_of(["a/1", "a/2"], 1)
    first = take(queues)
    threading.Timer(0.2, queues.done, (first,), {"answered": True}).start()
    start = time.monotonic()
    assert take(queues).item == "a/2"
    assert 0.1 < time.monotonic() - start < 0.8


def test_a_task_comes_again_after_its_wait_and_others_come_before() -> None:
    queues = queues_of(["a/1", "a/2"])
    first = take(queues)
    start = time.monotonic()
    queues.retry(first, 0.3, slow_down=False)
    second = take(queues)
    assert second.item == "a/2"
    queues.done(second, answered=True)
    assert take(queues) is first
    assert 0.25 < time.monotonic() - start < 0.8


def test_a_host_that_asks_for_it_rests_and_gets_less() -> None:
    queues = queues_of([*(f"a/{number}" for number in range(50)), "b/1", "b/2"], 8)
    first = take(queues)
    start = time.monotonic()
    queues.retry(first, 0.3, slow_down=True)
    others = [take(queues), take(queues)]
    assert [task.item for task in others] == ["b/1", "b/2"]
    assert time.monotonic() - start < 0.2
    taken = [take(queues) for _ in range(4)]
    assert time.monotonic() - start > 0.25
    threading.Timer(0.3, queues.done, (taken[0],), {"answered": True}).start()
    take(queues)  # the fifth: the limit of 8 has become 4
    assert time.monotonic() - start > 0.55


def test_a_host_without_answers_is_given_up() -> None:
    queues = queues_of([*(f"down/{number}" for number in range(200)), *(f"up/{number}" for number in range(200))])
    asked: Counter[str] = Counter()
    while (task := queues.take()) is not None:
        host = task.item.partition("/")[0]
        if queues.why_given_up(task):
            queues.done(task, answered=True)
            asked["told"] += 1
            continue
        asked[host] += 1
        queues.done(task, answered=host == "up")
    assert asked == {"down": MAX_FAILURES_IN_A_ROW, "told": 200 - MAX_FAILURES_IN_A_ROW, "up": 200}


def test_single_failures_do_not_add_up() -> None:
    queues = queues_of([f"a/{number}" for number in range(500)])
    while (task := queues.take()) is not None:
        assert not queues.why_given_up(task)
        queues.done(task, answered=int(task.item[2:]) % 10 == 0)


def test_stopping_ends_all_waits() -> None:
    stop = threading.Event()
    queues = queues_of(["a/1", "a/2"], 1, stop)
    take(queues)
    ended = []
    threads = [threading.Thread(target=lambda: ended.append(queues.take())) for _ in range(8)]
    for thread in threads:
        thread.start()
    stop.set()
    queues.wake_all()
    for thread in threads:
        thread.join(1)
    assert ended == [None] * 8


def test_many_threads_and_hosts() -> None:
    items = [f"{number % 7}/{number}" for number in range(3000)]
    queues = queues_of(items, 3)
    lock = threading.Lock()
    active: Counter[str] = Counter()
    most: Counter[str] = Counter()
    seen: Counter[str] = Counter()

    def work() -> None:
        while (task := queues.take()) is not None:
            host = task.item.partition("/")[0]
            with lock:
                active[host] += 1
                most[host] = max(most[host], active[host])
            time.sleep(0.0001)
            with lock:
                active[host] -= 1
            if task.tries == 0 and int(task.item.partition("/")[2]) % 10 == 0:
                task.tries += 1
                queues.retry(task, 0.01, slow_down=False)
                continue
            with lock:
                seen[task.item] += 1
            queues.done(task, answered=True)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == dict.fromkeys(items, 1)
    assert max(most.values()) <= 3
