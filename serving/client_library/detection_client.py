"""Client of a served detector: the library under `serving.client`, without TensorFlow or model code.

    from serving.client_library.detection_client import DetectionClient

    with DetectionClient("localhost:8500", "detector", label_map=read_label_map(path)) as client:
        found = client.detect(jpeg_bytes)                 # or a path; ImageError where this image has no answer
        for detection in found.detections:                # best score first
            print(detection.name, detection.score, detection.box_pixels.xmin)
        for found in client.detect_many(paths):           # any iterable; in its order, however long
            if found.failure is None: ...                 # an image that fails costs the others nothing

The answer is an `ImageDetections` of `.detections`: the image's name, width and height, and for each detection the
class id, name, score, and the box as fractions and in pixels; `as_json()` is a line of `--json`, `to_dataframe()`,
`to_coco()`, `to_supervision()` and `to_fiftyone()` are what other libraries take, and `draw()` is the image with its
boxes. An image is a path, its bytes, a PIL image, a NumPy array, or a `NamedImage(name, content)` of `.image_sources`.
Detections below `min_score` are left out: by default 0.5, as the command has it; 0.0 leaves out none. TLS, API keys and
metadata are a `Connection` of `.connection` in place of the address. `.async_detection_client` has the same for
asyncio: `await client.detect(...)`, `async for found in client.detect_many(...)`.

Retries: a request is sent again only after UNAVAILABLE or RESOURCE_EXHAUSTED, with growing waits, until the deadline
(`timeout_seconds`) that all its attempts share. A server that is killed and comes back within it costs no image.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import grpc

from serving.client_library.call_policy import Attempts
from serving.client_library.client_errors import ImageRequestError, ServerError
from serving.client_library.client_settings import ClientSettings
from serving.client_library.detections import ImageDetections
from serving.client_library.detector_exchanges import (
    GET_METADATA,
    PREDICT,
    Exchange,
    Request,
    Returned,
)
from serving.client_library.image_sources import ImageSource

__all__ = ["DetectionClient", "ImageRequestError", "ServerError"]


class DetectionClient(ClientSettings):
    """Asks one model on one server; made with what `ClientSettings` takes. Any thread may call its methods."""

    def _open(self) -> None:
        self._channel = self.connection.open_channel()
        self._methods = {method: self._channel.unary_unary(*method) for method in (PREDICT, GET_METADATA)}
        self._connect_lock = threading.Lock()
        self._own_calls = _Calls()
        self._all_calls = weakref.WeakSet([self._own_calls])

    def connect(self) -> None:
        """Asks the server, once, what the model takes: encoded images or pixels. Called by the first request.

        Raises:
            ServerError: No server answers, or it serves no such model, version or signature, or no detector.
        """
        with self._connect_lock:
            if self._signature is None:
                self._signature = self._run(self._exchanges.read_signature(), self._own_calls)

    def detect(self, image: ImageSource) -> ImageDetections:
        """Asks about one image.

        Args:
            image: A path, an encoded image's bytes, a PIL image, or pixels: RGB, uint8 [height, width, 3]. The last
                two are sent as PNG, which loses nothing and takes time and room: give the JPEG where there is one.

        Raises:
            ImageError: The image cannot be read, or the server refuses it.
            TypeError: It is none of these.
            ServerError: The server cannot be asked.
        """
        self.connect()
        result = self._ask([image], self._own_calls)[0]
        if result.failure is not None:
            raise ImageRequestError(result.failure)
        return result

    def detect_many(self, images: Iterable[ImageSource]) -> Iterator[ImageDetections]:
        """Asks about many images, `max_in_flight` requests at a time, and yields the answers in the order given.

        Only a few requests' images are in memory at a time, however many there are. An image that fails is yielded
        with its `failure` and costs the others nothing. Leaving early cancels what is on its way.

        Args:
            images: As `detect` takes them; taken as they are needed.

        Raises:
            ServerError: The server cannot be asked (any more); what was answered before has been yielded.
        """
        self.connect()
        source = iter(images)
        size = self.batch_size if self._known_signature.encoded else 1
        waiting: deque[Future[list[ImageDetections]]] = deque()
        calls = _Calls()
        self._all_calls.add(calls)
        pool = ThreadPoolExecutor(self.max_in_flight, thread_name_prefix="detect")
        try:
            while True:
                # Twice as many, so that one slow answer at the head does not leave the others idle.
                while len(waiting) < 2 * self.max_in_flight and (batch := list(islice(source, size))):
                    waiting.append(pool.submit(self._ask, batch, calls))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            calls.stop()

    def request_for(self, images: Sequence[ImageSource]) -> Any:
        """Returns the PredictRequest that would ask about `images`, for callers that send it themselves.

        Args:
            images: One, where the model takes pixels.

        Raises:
            ImageError: One cannot be read, or all together do not fit into a request.
            ServerError: The server cannot be asked what it takes.
        """
        self.connect()
        return self._exchanges.predict_request_for(images, self._known_signature)

    def close(self) -> None:
        """Closes the channel; requests on their way are cancelled."""
        for calls in list(self._all_calls):
            calls.stop()
        self._channel.close()

    def __enter__(self) -> DetectionClient:
        """Returns the client."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the channel."""
        self.close()

    def _ask(self, images: Sequence[ImageSource], calls: _Calls) -> list[ImageDetections]:
        return self._run(self._exchanges.detect(images, self._known_signature), calls)

    def _run(self, exchange: Exchange[Returned], calls: _Calls) -> Returned:
        try:
            request = next(exchange)
            while True:
                try:
                    response = self._call(request, calls)
                except grpc.RpcError as error:
                    request = exchange.throw(error)
                else:
                    request = exchange.send(response)
        except StopIteration as end:
            return end.value

    def _call(self, request: Request, calls: _Calls) -> Any:
        """Returns the response, of whichever attempt has one; raises the last attempt's `grpc.RpcError`."""
        attempts = Attempts(self._policy, connecting=self._signature is None)
        self.counts.add(calls=1)
        while True:
            try:
                return self._attempt(request, attempts, calls)
            except grpc.RpcError as error:
                back_off = attempts.back_off_seconds(error)
                if back_off is None:
                    raise
            if calls.stopped.wait(back_off):
                raise ServerError(f"the client of {self.server} was closed")
            self.counts.add(retries=1)

    def _attempt(self, request: Request, attempts: Attempts, calls: _Calls) -> Any:
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def start() -> Any:
            timeout = attempts.remaining_seconds()
            call = calls.start(self._methods[request.method], request.message, timeout, self._metadata)
            call.add_done_callback(ended.put)
            return call

        first = start()
        started, failed = [first], 0
        hedge_after = self._policy.hedge_after_seconds
        hedge_at = None if hedge_after is None else time.monotonic() + hedge_after
        try:
            while True:
                try:
                    call = ended.get(timeout=None if hedge_at is None else max(0.0, hedge_at - time.monotonic()))
                except queue.Empty:
                    hedge_at = None
                    if self.counts.may_hedge():
                        started.append(start())
                    continue
                if call.code() is grpc.StatusCode.OK:
                    self.counts.add(hedges_won=int(call is not first))
                    return call.result()
                failed += 1
                if failed == len(started):
                    return call.result()  # raises the call's error
        finally:
            for call in started:
                call.cancel()


class _Calls:
    """Requests on their way that can all be ended at once, and nothing be sent afterwards.

    Attributes:
        stopped: Set when they were.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._live: set[Any] = set()

    def start(self, method: Any, request: Any, timeout_seconds: float, metadata: tuple[tuple[str, str], ...]) -> Any:
        """Sends a request; returns gRPC's call, which is also its future."""
        with self._lock:
            if self.stopped.is_set():
                raise ServerError("the client was closed")
            call = method.future(request, timeout=timeout_seconds, metadata=metadata)
            self._live.add(call)
        call.add_done_callback(self._forget)
        return call

    def stop(self) -> None:
        """Cancels what is on its way, and wakes who waits to send again."""
        self.stopped.set()
        with self._lock:
            live = list(self._live)
        for call in live:
            call.cancel()

    def _forget(self, call: Any) -> None:
        with self._lock:
            self._live.discard(call)
