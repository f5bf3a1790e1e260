"""Asyncio client of a served detector, with the settings, answers and errors of `detection_client`.

async with AsyncDetectionClient("localhost:8500", "detector", min_score=0.5) as client:
    found = await client.detect(jpeg_bytes)
    async for found in client.detect_many(paths):     # any iterable, asynchronous or not; in its order
        ...
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from serving.client_library.call_policy import Attempts
from serving.client_library.client_errors import ImageRequestError, ServerError
from serving.client_library.client_settings import ClientSettings
from serving.client_library.detections import ImageDetections
from serving.client_library.detector_exchanges import GET_METADATA, PREDICT, Exchange, Request, Returned
from serving.client_library.image_sources import ImageSource

__all__ = ["AsyncDetectionClient", "ImageRequestError", "ServerError"]

_READING_THREADS = 4  # read files and headers, decode for models that take pixels; the waiting takes no thread


class AsyncDetectionClient(ClientSettings):
    """Asks one model on one server, from the event loop in which it was made, with what `ClientSettings` takes."""

    def _open(self) -> None:
        self._channel = self.connection.open_async_channel()
        self._methods = {method: self._channel.unary_unary(*method) for method in (PREDICT, GET_METADATA)}
        self._connect_lock = asyncio.Lock()
        self._readers = ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="read images")

    async def connect(self) -> None:
        """As `DetectionClient.connect`."""
        async with self._connect_lock:
            if self._signature is None:
                self._signature = await self._run(self._exchanges.read_signature())

    async def detect(self, image: ImageSource) -> ImageDetections:
        """As `DetectionClient.detect`."""
        await self.connect()
        result = (await self._ask([image]))[0]
        if result.failure is not None:
            raise ImageRequestError(result.failure)
        return result

    async def detect_many(
        self, images: Iterable[ImageSource] | AsyncIterable[ImageSource]
    ) -> AsyncIterator[ImageDetections]:
        """As `DetectionClient.detect_many`; `images` may be asynchronous, and is taken as it is needed."""
        await self.connect()
        source = _batches(images, self.batch_size if self._known_signature.encoded else 1)
        free = asyncio.Semaphore(self.max_in_flight)
        waiting: deque[asyncio.Task[list[ImageDetections]]] = deque()

        async def ask(batch: list[ImageSource]) -> list[ImageDetections]:
            async with free:
                return await self._ask(batch)

        try:
            exhausted = False
            while True:
                # Twice as many, so that one slow answer at the head does not leave the others idle.
                while not exhausted and len(waiting) < 2 * self.max_in_flight:
                    batch = await anext(source, None)
                    if batch is None:
                        exhausted = True
                    else:
                        waiting.append(asyncio.create_task(ask(batch)))
                if not waiting:
                    return
                for result in await waiting[0]:
                    yield result
                waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        """Closes the channel; requests on their way are cancelled."""
        await self._channel.close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> AsyncDetectionClient:
        """Returns the client."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes the channel."""
        await self.close()

    async def _ask(self, images: list[ImageSource]) -> list[ImageDetections]:
        return await self._run(self._exchanges.detect(images, self._known_signature))

    async def _run(self, exchange: Exchange[Returned]) -> Returned:
        loop = asyncio.get_running_loop()
        response: Any = None
        error: grpc.RpcError | None = None
        while True:
            # In a thread: what stands between two requests reads files and decodes images.
            request, returned = await loop.run_in_executor(self._readers, _next, exchange, response, error)
            if request is None:
                return returned
            response = error = None
            try:
                response = await self._call(request)
            except grpc.RpcError as raised:
                error = raised

    async def _call(self, request: Request) -> Any:
        attempts = Attempts(self._policy, connecting=self._signature is None)
        self.counts.add(calls=1)
        while True:
            try:
                return await self._attempt(request, attempts)
            except grpc.RpcError as error:
                back_off = attempts.back_off_seconds(error)
                if back_off is None:
                    raise
            await asyncio.sleep(back_off)
            self.counts.add(retries=1)

    async def _attempt(self, request: Request, attempts: Attempts) -> Any:
        async def send() -> Any:
            timeout = attempts.remaining_seconds()
            return await self._methods[request.method](request.message, timeout=timeout, metadata=self._metadata)

        first = asyncio.create_task(send())
        tasks, hedge_after = {first}, self._policy.hedge_after_seconds
        try:
            while True:
                pending = {task for task in tasks if not task.done()}
                ended, _ = await asyncio.wait(pending, timeout=hedge_after, return_when=asyncio.FIRST_COMPLETED)
                if not ended:
                    hedge_after = None
                    if self.counts.may_hedge():
                        tasks.add(asyncio.create_task(send()))
                    continue
                for task in ended:
                    if task.exception() is None:
                        self.counts.add(hedges_won=int(task is not first))
                        return task.result()
                if all(task.done() for task in tasks):
                    return next(iter(ended)).result()  # raises the call's error
                hedge_after = None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _next(exchange: Exchange[Returned], response: Any, error: grpc.RpcError | None) -> tuple[Request | None, Any]:
    """Returns the exchange's next request, or None and what it returned: a StopIteration cannot cross threads."""
    try:
        return (exchange.throw(error) if error is not None else exchange.send(response)), None
    except StopIteration as end:
        return None, end.value


async def _batches(
    images: Iterable[ImageSource] | AsyncIterable[ImageSource], size: int
) -> AsyncIterator[list[ImageSource]]:
    batch: list[ImageSource] = []
    if isinstance(images, AsyncIterable):
        async for image in images:
            batch.append(image)
            if len(batch) == size:
                yield batch
                batch = []
    else:
        for image in images:
            batch.append(image)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch
