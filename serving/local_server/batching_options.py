"""Options of batching, as `--enable_batching` and `--batching_parameters_file` give them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from data_prep.runtime.command_line import UsageError

MAX_THREADS = 256


@dataclass(frozen=True)
class BatchingOptions:
    """TensorFlow Serving's BatchingParameters, with its defaults.

    Attributes:
        max_batch_size: Images in the largest request, and in the largest batch.
        batch_timeout_micros: How long the first request of a batch waits for others, in microseconds.
        max_enqueued_batches: Batches that wait; a request that would need one more is refused.
        num_batch_threads: Batches that run at the same time.
        thread_pool_name: What the metrics call it.
        allowed_batch_sizes: A batch is filled up to the next of these; empty: it stays as it is.
        max_execution_batch_size: Images in the largest batch, where that is smaller than the largest request.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    thread_pool_name: str = "model_server_batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        """Checks the numbers; where there is no `max_execution_batch_size`, it is `max_batch_size`.

        Raises:
            UsageError: One is out of range, or the allowed sizes do not ascend to `max_batch_size`.
        """
        if not self.max_execution_batch_size:
            object.__setattr__(self, "max_execution_batch_size", self.max_batch_size)
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 1),
            ("num_batch_threads", 1),
            ("max_execution_batch_size", 1),
        ):
            if getattr(self, name) < least:
                raise UsageError(f"batching parameters: {name} is {getattr(self, name)}; it has to be {least} at least")
        if self.num_batch_threads > MAX_THREADS:
            raise UsageError(
                f"batching parameters: num_batch_threads is {self.num_batch_threads}; at most {MAX_THREADS}"
            )
        if self.max_execution_batch_size > self.max_batch_size:
            raise UsageError("batching parameters: max_execution_batch_size is larger than max_batch_size")
        sizes = list(self.allowed_batch_sizes)
        if sizes and (sizes != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.max_execution_batch_size):
            raise UsageError(
                f"batching parameters: allowed_batch_sizes {sizes} have to ascend and end with the largest batch, "
                f"{self.max_execution_batch_size}"
            )

    def allowed_size(self, size: int) -> int:
        """Returns how large a batch of `size` images is made."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def batching_options(parameters: Any) -> BatchingOptions:
    """Returns what a BatchingParameters message says.

    Raises:
        UsageError: It asks for what cannot be, or for padding inputs to one shape, which would move boxes.
    """
    if parameters.pad_variable_length_inputs:
        raise UsageError(
            "batching parameters: pad_variable_length_inputs would put zeros beside images and move their boxes; "
            "leave it out, and images of different sizes go into different batches"
        )
    given: dict[str, Any] = {
        name: getattr(parameters, name).value
        for name in (
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "num_batch_threads",
            "thread_pool_name",
        )
        if parameters.HasField(name)
    }
    if parameters.enable_large_batch_splitting.value and parameters.HasField("max_execution_batch_size"):
        given["max_execution_batch_size"] = parameters.max_execution_batch_size.value
    return BatchingOptions(allowed_batch_sizes=tuple(parameters.allowed_batch_sizes), **given)
