"""Receiving of gRPC requests: only when there is memory for one of the largest size, and within a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from serving.local_server.caller import Caller, caller_of
from serving.local_server.request_memory import RequestMemory
from serving.saved_models.status_errors import StatusError, invalid_argument

_SECONDS_BETWEEN_LOOKS = 0.25


class Receiver:
    """Takes requests off their calls.

    How large a request is, is known when it has arrived. So the largest that is taken is held in the server's memory
    for requests before anything of it is read, and what it does not need is given back when it is there.
    """

    def __init__(self, memory: RequestMemory, max_message_bytes: int, receive_seconds: float) -> None:
        """Starts the thread that cuts off slow senders; `stop` ends it.

        Args:
            memory: What all requests share.
            max_message_bytes: The largest request taken.
            receive_seconds: How long a request may take to arrive, from when it is waited for.
        """
        self._memory = memory
        self._max_message_bytes = max_message_bytes
        self._seconds = receive_seconds
        self._ends: dict[grpc.ServicerContext, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="receive-timeouts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join()

    @contextlib.contextmanager
    def request(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[tuple[list[bytes], Caller]]:
        """Receives the one message of a call, and holds memory for it until it is answered.

        Yields:
            The message, in a list so that it can be taken away, and who sent it.

        Raises:
            StatusError: RESOURCE_EXHAUSTED: there was no memory in time; CANCELLED: the caller has gone or was too
                slow; DEADLINE_EXCEEDED; INVALID_ARGUMENT: there was no message.
        """
        caller = caller_of(context)
        caller.seconds_left()
        with self._memory.hold(self._max_message_bytes, caller.seconds_left) as held:
            with self._lock:
                self._ends[context] = time.monotonic() + self._seconds
            try:
                content = next(messages, None)
            except grpc.RpcError as error:
                raise StatusError(grpc.StatusCode.CANCELLED, "the request did not arrive") from error
            finally:
                with self._lock:
                    self._ends.pop(context)
            if content is None:
                raise invalid_argument("the call has no message")
            held.shrink(len(content))
            received = [content]
            del content
            yield received, Caller(caller.deadline, caller.is_connected, held)

    def _watch(self) -> None:
        while not self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
            now = time.monotonic()
            with self._lock:
                slow = [context for context, end in self._ends.items() if end < now]
            for context in slow:
                context.cancel()
