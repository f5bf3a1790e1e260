"""Batching of concurrent requests, by the rules and the parameters of TensorFlow Serving."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from serving.local_server import metrics
from serving.local_server.batching_options import BatchingOptions
from serving.local_server.caller import Caller
from serving.local_server.metrics import Metrics
from serving.saved_models.loaded_model import LoadedModel
from serving.saved_models.status_errors import StatusError, invalid_argument

MICROSECONDS = 1_000_000
Arrays = dict[str, np.ndarray]
# Statuses that a batch ends with whatever is in it: its requests, run one by one, would end the same way.
_SAME_ONE_BY_ONE = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
)


@dataclass(eq=False)
class _Task:
    inputs: Arrays
    size: int
    caller: Caller
    enqueued: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    outputs: Arrays | None = None
    error: StatusError | None = None

    def finish(self, outputs: Arrays | None = None, error: StatusError | None = None) -> None:
        self.outputs, self.error = outputs, error
        self.done.set()


@dataclass(eq=False)
class _Batch:
    tasks: list[_Task] = field(default_factory=list)
    size: int = 0


@dataclass(eq=False)
class _Queue:
    """Requests that may share a batch: same signature, outputs and input shape; the last batch is still open."""

    model: LoadedModel
    signature: Any
    output_names: list[str]
    batches: deque[_Batch] = field(default_factory=deque)


def can_be_batched(signature: Any) -> bool:
    """Says whether all inputs and outputs of a SignatureDef begin with a dimension of any size."""
    return all(
        not info.tensor_shape.unknown_rank and len(info.tensor_shape.dim) > 0 and info.tensor_shape.dim[0].size == -1
        for info in (*signature.inputs.values(), *signature.outputs.values())
    )


class BatchScheduler:
    """Threads that run batches of what callers of `run` ask for at the same time."""

    def __init__(self, options: BatchingOptions, counted: Metrics) -> None:
        """Starts the threads; `stop` ends them.

        Args:
            options: How large batches are and how long they wait.
            counted: Where batch sizes and waiting times are counted.
        """
        self._options = options
        self._metrics = counted
        self._condition = threading.Condition()
        self._queues: OrderedDict[Hashable, _Queue] = OrderedDict()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self, model: LoadedModel, signature: Any, inputs: Arrays, output_names: list[str], caller: Caller
    ) -> Arrays:
        """Runs a request in a batch with others, and waits for it.

        Args:
            model: The version to run.
            signature: One of its signatures, for which `can_be_batched`.
            inputs: Input name -> array, checked against it.
            output_names: Which outputs to compute.
            caller: Who waits.

        Returns:
            Output name -> array.

        Raises:
            StatusError: RESOURCE_EXHAUSTED: as many batches wait as may; INVALID_ARGUMENT: the request is larger than
                a batch, or its inputs are of different sizes; otherwise as `LoadedModel.run` and `Caller`.
        """
        sizes = {len(array) for array in inputs.values()}
        if len(sizes) != 1:
            raise invalid_argument(f"batching input tensors must have equal 0-dimension size, not {sorted(sizes)}")
        (size,) = sizes
        if size == 0:
            return model.run(signature, inputs, output_names, timeout_seconds=caller.seconds_left())
        if size > self._options.max_batch_size:
            raise invalid_argument(
                f"Task size {size} is larger than maximum input batch size {self._options.max_batch_size}"
            )
        step = self._options.max_execution_batch_size
        parts = [
            _Task(
                {name: array[start : start + step] for name, array in inputs.items()}, min(step, size - start), caller
            )
            for start in range(0, size, step)
        ]
        self._enqueue(model, signature, output_names, parts)
        answers = [self._wait_for(task) for task in parts]
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in output_names}

    def stop(self) -> None:
        """Ends the threads; what still waits is refused."""
        with self._condition:
            self._stopping = True
            waiting = [task for queue in self._queues.values() for batch in queue.batches for task in batch.tasks]
            self._queues.clear()
            self._condition.notify_all()
        for task in waiting:
            task.finish(error=StatusError(grpc.StatusCode.UNAVAILABLE, "the server is stopping"))

    def _enqueue(self, model: LoadedModel, signature: Any, output_names: list[str], tasks: Sequence[_Task]) -> None:
        # Arrays of different shapes cannot be one array; padding them, as TensorFlow Serving can, would move boxes.
        shapes = tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(tasks[0].inputs.items()))
        key = (id(model), id(signature), tuple(sorted(output_names)), shapes)
        for task in tasks:
            self._metrics.observe(metrics.INPUT_BATCH_SIZE, self._labels, task.size)
        with self._condition:
            if self._stopping:
                raise StatusError(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            queue = self._queues.get(key) or _Queue(model, signature, output_names)
            batches = list(queue.batches)
            opened: list[_Batch] = []
            placed: list[tuple[_Batch, _Task]] = []
            room = self._options.max_execution_batch_size - batches[-1].size if batches else 0
            for task in tasks:
                if task.size > room:
                    opened.append(_Batch())
                    room = self._options.max_execution_batch_size
                placed.append(((batches + opened)[-1], task))
                room -= task.size
            if len(batches) + len(opened) > self._options.max_enqueued_batches:
                raise StatusError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "The batch scheduling queue to which this task was submitted is full",
                )
            for batch, task in placed:
                batch.tasks.append(task)
                batch.size += task.size
            queue.batches.extend(opened)
            self._queues[key] = queue
            self._condition.notify()

    def _wait_for(self, task: _Task) -> Arrays:
        while not task.done.wait(task.caller.seconds_left()):
            pass  # seconds_left says when it is too late
        if task.error is not None:
            raise StatusError(task.error.code, task.error.message)
        assert task.outputs is not None
        return task.outputs

    def _work(self) -> None:
        while self._work_once():
            pass  # between two batches this thread holds none: the last one may be of 60 MB

    def _work_once(self) -> bool:
        taken = self._take()
        if taken is None:
            return False
        self._process(*taken)
        return True

    def _take(self) -> tuple[_Queue, _Batch] | None:
        """Waits for a batch that is full or has waited long enough; None when the scheduler is stopped."""
        timeout = self._options.batch_timeout_micros / MICROSECONDS
        with self._condition:
            while not self._stopping:
                now = time.monotonic()
                soonest: float | None = None
                for key, queue in self._queues.items():
                    first = queue.batches[0]
                    is_full = first.size >= self._options.max_execution_batch_size or len(queue.batches) > 1
                    wait = first.tasks[0].enqueued + timeout - now
                    if is_full or wait <= 0:
                        queue.batches.popleft()
                        if queue.batches:
                            self._queues.move_to_end(key)  # so that every queue has its turn
                        else:
                            del self._queues[key]
                        return queue, first
                    soonest = wait if soonest is None else min(soonest, wait)
                self._condition.wait(soonest)
        return None

    def _process(self, queue: _Queue, batch: _Batch) -> None:
        started = time.monotonic()
        for task in batch.tasks:
            self._metrics.observe(metrics.QUEUING_LATENCY, self._labels, (started - task.enqueued) * MICROSECONDS)
        error = self._run_together(queue, batch.tasks)
        waiting = [task for task in batch.tasks if not task.done.is_set()]
        for task in waiting:
            # One bad request must not fail the others: each is run by itself.
            alone = len(waiting) > 1 and error is not None and error.code not in _SAME_ONE_BY_ONE
            own_error = self._run_together(queue, [task]) if alone else error
            if own_error is not None:
                task.finish(error=own_error)

    def _run_together(self, queue: _Queue, tasks: list[_Task]) -> StatusError | None:
        """Answers `tasks` from one run of the model, or returns why that cannot be done.

        Those whose callers have gone are finished before, and no part of it.
        """
        timeouts: list[float | None] = []
        wanted: list[_Task] = []
        for task in tasks:
            try:
                timeouts.append(task.caller.seconds_left())
                wanted.append(task)
            except StatusError as error:
                task.finish(error=error.without_frames())
        if not wanted:
            return None
        size = sum(task.size for task in wanted)
        padding = self._options.allowed_size(size) - size
        try:
            inputs = {name: _joined([task.inputs[name] for task in wanted], padding) for name in wanted[0].inputs}
            outputs = queue.model.run(
                queue.signature,
                inputs,
                queue.output_names,
                timeout_seconds=None if None in timeouts else max(seconds for seconds in timeouts if seconds),
            )
        except StatusError as error:
            return error.without_frames()
        except MemoryError:
            return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"no memory for a batch of {size}")
        self._metrics.observe(metrics.PROCESSED_BATCH_SIZE, self._labels, size + padding)
        self._metrics.observe(metrics.PADDING_SIZE, self._labels, padding)
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != size + padding:
                return StatusError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"output {name} of a batch of {size + padding} has the shape {list(array.shape)}: this model "
                    "cannot be batched",
                )
        start = 0
        for task in wanted:
            task.finish({name: array[start : start + task.size] for name, array in outputs.items()})
            start += task.size
        return None

    @property
    def _labels(self) -> dict[str, str]:
        return {"thread_pool_name": self._options.thread_pool_name}


def _joined(arrays: list[np.ndarray], padding: int) -> np.ndarray:
    """Returns arrays one after the other, followed by `padding` copies of the first row."""
    if len(arrays) == 1 and not padding:
        return arrays[0]
    return np.concatenate([*arrays, *[arrays[0][:1]] * padding])
