"""Options of the local server, as frozen dataclasses: its ports, how it loads models, and how much it takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.runtime.command_line import UsageError
from serving.client_library.channels import DEFAULT_MAX_IMAGE_MEGAPIXELS, MEBIBYTE
from serving.local_server.batching_options import BatchingOptions
from serving.local_server.request_memory import half_of_memory

DEFAULT_MAX_WORKERS = 8
MAX_WORKERS_FOR_BATCHING = 32
MAX_MESSAGE_MEBIBYTES = 2047  # TensorFlow Serving's and protobuf's limit is 2 GiB less one byte
MESSAGES_AT_A_TIME = 4  # of the largest size, that can be received within the memory for requests


@dataclass(frozen=True)
class RequestLimits:
    """How much a request may ask for.

    Attributes:
        max_tensor_bytes: Of one input, once it is an array.
        max_image_pixels: Of one encoded image, by its header; a request may hold four times as many together.
    """

    max_tensor_bytes: int
    max_image_pixels: int


@dataclass(frozen=True)
class RestOptions:
    """The REST port, its threads and its time-outs.

    Attributes:
        port: The TCP port; 0 for any free one.
        metrics_path: Where the port shows Prometheus's metrics; None for nowhere.
        threads: Requests that are worked on at the same time; more wait. TensorFlow Serving's default.
        request_seconds: How long a request may take from its last byte on; TensorFlow Serving's default.
        receive_seconds: How long a client may take to send a request, first to last byte.
        idle_seconds: How long a connection stays open without a request.
        max_connections: Beyond them a connection is answered 503 at once.
        allow_other_origins: Whether pages of any web site may ask, by CORS headers in the answers.
    """

    port: int = 0
    metrics_path: str | None = None
    threads: int = field(default_factory=lambda: 4 * (os.cpu_count() or 1))
    request_seconds: float = 30.0
    receive_seconds: float = 30.0
    idle_seconds: float = 60.0
    max_connections: int = 500
    allow_other_origins: bool = False


@dataclass(frozen=True)
class LoadingOptions:
    """Options of finding, loading and warming versions.

    Attributes:
        poll_wait_seconds: How often to look for other versions; 0 looks only at the start.
        wait_for_model: Start even where there is no version yet.
        allow_labels_for_unavailable: Whether a new label may name a version that is not loaded (yet).
        model_config_file: Where the models come from, if it is to be read again; see the next.
        model_config_poll_wait_seconds: How often to read `model_config_file` again; 0 never.
        warm_up_iterations: How often each of a version's warm-up requests is run; 0 leaves them out.
        intra_op_threads: Threads of one TensorFlow op; 0 leaves it to TensorFlow.
        inter_op_threads: TensorFlow ops at the same time; 0 leaves it to TensorFlow.
    """

    poll_wait_seconds: float = 1.0
    wait_for_model: bool = False
    allow_labels_for_unavailable: bool = False
    model_config_file: Path | None = None
    model_config_poll_wait_seconds: float = 0
    warm_up_iterations: int = 1
    intra_op_threads: int = 0
    inter_op_threads: int = 0


@dataclass(frozen=True)
class ServerOptions:
    """The options of a whole server.

    Attributes:
        host: The address to listen at; clients are not authenticated, so by default only this machine's.
        port: The TCP port for gRPC; 0 for any free one, which `LocalServer.port` then tells.
        socket_path: A UNIX socket for gRPC beside the port; None for none.
        channel_arguments: gRPC's own options, name and value.
        answer_in_one_piece: Whether arrays are answered as `tensor_content` rather than value by value.
        ssl_config: An SSLConfig message: gRPC is TLS then; None for plain text.
        max_workers: gRPC requests that run at the same time; more wait. None for 8, and with batching more.
        max_message_mebibytes: The largest request taken; None for a quarter of the memory for requests, at most
            `MAX_MESSAGE_MEBIBYTES`.
        max_request_memory_mebibytes: What all requests together may hold; None for half of what there is.
        max_image_megapixels: The largest encoded image taken, by its header.
        receive_seconds: How long a gRPC request may take to arrive once it is waited for.
        grace_seconds: How long `LocalServer.stop` lets running requests go on.
        rest: The REST side; None for no REST.
        batching: How concurrent requests are batched; None runs each by itself.
        loading: How versions are loaded.
    """

    host: str = "localhost"
    port: int = 0
    socket_path: Path | None = None
    channel_arguments: Sequence[tuple[str, Any]] = ()
    answer_in_one_piece: bool = False
    ssl_config: Any = None
    max_workers: int | None = None
    max_message_mebibytes: int | None = None
    max_request_memory_mebibytes: int | None = None
    max_image_megapixels: float = DEFAULT_MAX_IMAGE_MEGAPIXELS
    receive_seconds: float = 60.0
    grace_seconds: float = 30.0
    rest: RestOptions | None = None
    batching: BatchingOptions | None = None
    loading: LoadingOptions = field(default_factory=LoadingOptions)

    def __post_init__(self) -> None:
        """Checks the sizes.

        Raises:
            UsageError: A message may be larger than protobuf can read, or than the memory for requests.
        """
        if self.max_message_mebibytes is None:
            return
        if self.max_message_mebibytes > MAX_MESSAGE_MEBIBYTES:
            raise UsageError(
                f"--max_message_mebibytes {self.max_message_mebibytes} is above {MAX_MESSAGE_MEBIBYTES}, the most that "
                "protobuf can read"
            )
        if self.max_message_bytes > self.max_request_memory_bytes:
            raise UsageError(
                f"--max_message_mebibytes {self.max_message_mebibytes} is above --max_request_memory_mebibytes, "
                f"{self.max_request_memory_bytes // MEBIBYTE}"
            )

    @property
    def max_message_bytes(self) -> int:
        """The largest request, in bytes."""
        if self.max_message_mebibytes is not None:
            return self.max_message_mebibytes * MEBIBYTE
        return min(MAX_MESSAGE_MEBIBYTES * MEBIBYTE, self.max_request_memory_bytes // MESSAGES_AT_A_TIME)

    @property
    def max_request_memory_bytes(self) -> int:
        """What all requests together may hold, in bytes."""
        if self.max_request_memory_mebibytes is not None:
            return self.max_request_memory_mebibytes * MEBIBYTE
        return half_of_memory()

    @property
    def request_limits(self) -> RequestLimits:
        """How much a request may ask for."""
        return RequestLimits(self.max_message_bytes, int(self.max_image_megapixels * 1_000_000))

    @property
    def workers(self) -> int:
        """The gRPC requests worked on at a time: where they are batched, enough to fill two batches."""
        if self.max_workers:
            return self.max_workers
        if self.batching is None:
            return DEFAULT_MAX_WORKERS
        return min(MAX_WORKERS_FOR_BATCHING, max(DEFAULT_MAX_WORKERS, 2 * self.batching.max_batch_size))
