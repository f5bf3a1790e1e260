"""Parallel download of many URLs, with threads, retries and back-off."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from data_prep.downloading.download_errors import DownloadError, TransientError
from data_prep.downloading.host_queues import HostQueues, Task
from data_prep.downloading.http_download import Downloader, Fetched
from data_prep.runtime.worker_pool import default_num_processes

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_RETRY_AFTER_SECONDS = 60.0
FIRST_BACK_OFF_SECONDS = 0.5
MAX_BACK_OFF_SECONDS = 20.0
_SECONDS_BETWEEN_LOOKS = 0.02
_STATUSES_OF_A_BUSY_HOST = frozenset({429, 503})


class ParallelDownload(Generic[Item, Result]):
    """Threads that fetch, and take in what they fetched.

    What fails with a `TransientError` is tried again, after a wait that doubles each time (with jitter, so that many
    threads do not come back at once) or that the server asks for, up to a minute. Everything else is final, and so is a
    server that asks to wait for longer.

    An image that has to be tried again later does not hold its thread meanwhile, a slow host does not hold up the
    others, and what came is taken in by a few threads, one more than there are cores, as they write files as well: each
    thread that has ever decoded keeps some of the memory that it took.
    """

    def __init__(
        self,
        downloader: Downloader,
        *,
        url_of: Callable[[Item], str],
        accept: Callable[[Item, Fetched], Result],
        reject: Callable[[Item, DownloadError], Result],
        check_start: Callable[[bytes, str], None] | None = None,
    ) -> None:
        """Prepares.

        Args:
            downloader: Fetches one.
            url_of: Gives an item's URL.
            accept: Called in one of a few threads with what came; returns the item's result or raises `DownloadError`.
            reject: Called in a thread with why nothing came, or nothing good; returns the item's result.
            check_start: See `Downloader.fetch`.
        """
        self._downloader = downloader
        self._url_of = url_of
        self._accept = accept
        self._reject = reject
        self._check_start = check_start

    def run(
        self, items: Iterable[Item], *, num_threads: int, max_per_host: int, stop: threading.Event
    ) -> Generator[Result, None, None]:
        """Yields the result of each of `items`, as they come.

        Args:
            items: What to fetch.
            num_threads: How many at a time.
            max_per_host: How many of one host at a time.
            stop: The downloader's; set here when the work ends, however it does.

        Raises:
            Exception: What `accept` or `reject` raised, in this thread.
        """
        queues = HostQueues(items, self._host_of, max_per_host=max_per_host, stop=stop)
        # Results, and each thread's future when it ends: an exception of its own is raised here.
        results: queue.SimpleQueue[Result | Future[None]] = queue.SimpleQueue()
        with (
            ThreadPoolExecutor(default_num_processes() + 1, thread_name_prefix="decode") as decoding,
            ThreadPoolExecutor(num_threads, thread_name_prefix="download") as executor,
        ):
            try:
                for _ in range(num_threads):
                    executor.submit(self._work, queues, results, decoding).add_done_callback(results.put)
                at_work = num_threads
                while at_work:
                    if results.empty():
                        # A thread that wakes this one for each image loses its turn of the interpreter each time.
                        time.sleep(_SECONDS_BETWEEN_LOOKS)
                        continue
                    result = results.get()
                    if isinstance(result, Future):
                        result.result()
                        at_work -= 1
                    else:
                        yield result
            finally:
                stop.set()  # however the loop ended, no thread waits out a back-off or a body
                queues.wake_all()

    def _host_of(self, item: Item) -> str:
        try:
            return urlsplit(self._url_of(item)).netloc.lower()
        except ValueError:
            return ""

    def _work(
        self, queues: HostQueues[Item], results: queue.SimpleQueue[Result | Future[None]], decoding: Executor
    ) -> None:
        while (task := queues.take()) is not None:
            fetched = self._fetch(task, queues)
            if fetched is not None:
                results.put(self._result(task.item, fetched, decoding))

    def _fetch(self, task: Task[Item], queues: HostQueues[Item]) -> Fetched | DownloadError | None:
        """Tries once; returns None where the task is to be tried again later."""
        url = self._url_of(task.item)
        why_not = queues.why_given_up(task)
        if why_not:
            queues.done(task, answered=True)
            return DownloadError("host given up", f"{url}: {why_not}", permanent=False)
        answered = True
        try:
            return self._end(task, queues, self._downloader.fetch(url, check_start=self._check_start))
        except TransientError as error:
            task.tries += 1
            wait = _wait_seconds(task.tries, error.retry_after_seconds)
            if wait > MAX_RETRY_AFTER_SECONDS:
                queues.give_up(task, f"it asks to wait {wait:.0f} s")
            elif task.tries <= self._downloader.limits.max_retries:
                busy = error.status in _STATUSES_OF_A_BUSY_HOST
                queues.retry(task, wait, slow_down=busy)
                return None
            answered = error.status is not None
            return self._end(task, queues, _given_up(error, task.tries), answered=answered)
        except DownloadError as error:
            return self._end(task, queues, error)

    @staticmethod
    def _end(
        task: Task[Item], queues: HostQueues[Item], what: Fetched | DownloadError, *, answered: bool = True
    ) -> Fetched | DownloadError:
        queues.done(task, answered=answered)
        return what

    def _result(self, item: Item, fetched: Fetched | DownloadError, decoding: Executor) -> Result:
        if isinstance(fetched, DownloadError):
            return self._reject(item, fetched)
        try:
            # Waited for, so that no more bodies are in memory than there are threads that fetch.
            return decoding.submit(self._accept, item, fetched).result()
        except DownloadError as error:
            return self._reject(item, error)


def _wait_seconds(tries: int, retry_after_seconds: float | None) -> float:
    """Returns how long to wait after the given number of failed tries, unless the server says."""
    if retry_after_seconds is not None:
        return retry_after_seconds
    longest = min(FIRST_BACK_OFF_SECONDS * 2 ** (tries - 1), MAX_BACK_OFF_SECONDS)
    return random.uniform(longest / 2, longest)


def _given_up(error: TransientError, tries: int) -> DownloadError:
    """Returns the final error of a URL whose retries are used up."""
    asked = error.retry_after_seconds
    if asked is not None and asked > MAX_RETRY_AFTER_SECONDS:
        return DownloadError(error.reason, f"{error.detail} (it asks to wait {asked:.0f} s)", permanent=False)
    return DownloadError(error.reason, f"{error.detail} ({tries} {'try' if tries == 1 else 'tries'})", permanent=False)
