"""A gRPC server for a SavedModel in plain Python, for development and tests; production is TensorFlow Serving.

It speaks what `tensorflow_model_server` speaks: Predict, GetModelMetadata, GetModelStatus, the standard health service.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from data_prep.command_line import UserError
from serving.channels import DEFAULT_MAX_IMAGE_MEGAPIXELS, DEFAULT_MAX_MESSAGE_MEBIBYTES, MEBIBYTE, server_options
from serving.ports import check_port_free
from serving.local_server.request_checks import RequestLimits
from serving.version_folders import VersionFolder, check_base_path, check_model_name

if TYPE_CHECKING:
    from serving.local_server.loaded_model import LoadedModel
    from serving.local_server.model_versions import ModelVersions

LOG = logging.getLogger(__name__)
DEFAULT_MAX_WORKERS = 8
MAX_WAITING_CALLS = 1000  # beyond them a call ends with RESOURCE_EXHAUSTED at once


class LocalServer:
    """Serves the newest version of one model; `with LocalServer("detector", base_path) as server:` starts and stops it.

    TensorFlow is imported by `start`, not before.
    """

    def __init__(
        self,
        model_name: str,
        base_path: str | os.PathLike[str],
        port: int = 0,
        *,
        host: str = "localhost",
        max_workers: int = DEFAULT_MAX_WORKERS,
        max_message_mebibytes: int = DEFAULT_MAX_MESSAGE_MEBIBYTES,
        max_image_megapixels: float = DEFAULT_MAX_IMAGE_MEGAPIXELS,
        poll_wait_seconds: float = 1.0,
        wait_for_model: bool = False,
        grace_seconds: float = 30.0,
        intra_op_threads: int = 0,
        inter_op_threads: int = 0,
    ) -> None:
        """Sets up a server; `start` starts it.

        Args:
            model_name: What requests call the model.
            base_path: The folder of version folders, BASE/1, BASE/2, ...
            port: The TCP port; 0 for any free one, which `port` then tells.
            host: The address to listen at; nobody is asked who they are, so by default only this machine's.
            max_workers: Requests that run at the same time; more wait.
            max_message_mebibytes: The largest request taken.
            max_image_megapixels: The largest encoded picture taken, by its header.
            poll_wait_seconds: How often to look for a newer version; 0 looks only at the start.
            wait_for_model: Start even where there is no version yet.
            grace_seconds: How long `stop` lets running requests go on.
            intra_op_threads: Threads of one TensorFlow op; 0 leaves it to TensorFlow.
            inter_op_threads: TensorFlow ops at the same time; 0 leaves it to TensorFlow.
        """
        self.model_name = check_model_name(model_name)
        self.base_path = Path(base_path)
        self.host = host
        self.grace_seconds = grace_seconds
        self._wanted_port = port
        self._max_workers = max_workers
        self._max_message_bytes = max_message_mebibytes * MEBIBYTE
        self._limits = RequestLimits(self._max_message_bytes, int(max_image_megapixels * 1_000_000))
        self._poll_wait_seconds = poll_wait_seconds
        self._wait_for_model = wait_for_model
        self._threads = {"intra_op_threads": intra_op_threads, "inter_op_threads": inter_op_threads}
        self._stop_lock = threading.Lock()
        self._port = 0
        self._server: Any = None
        self._health: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._versions: ModelVersions | None = None

    @property
    def port(self) -> int:
        """The TCP port that the server listens at, 0 before it does."""
        return self._port

    @property
    def address(self) -> str:
        """What a client connects to, `host:port`."""
        return self._address(self._port)

    @property
    def version(self) -> int | None:
        """The version in use, None while there is none."""
        return self._versions.available_version() if self._versions is not None else None

    def start(self) -> LocalServer:
        """Takes the port, loads and warms the newest version that can be loaded, and answers requests from then on.

        Until the version is loaded, Predict answers UNAVAILABLE and the health service NOT_SERVING.

        Returns:
            The server itself.

        Raises:
            UserError: The port is taken, or there is no version that can be loaded (unless `wait_for_model`).
        """
        if not self._wait_for_model:
            check_base_path(self.base_path)
        # gRPC itself is content with one of localhost's two addresses, and leaves the other to whoever has it.
        check_port_free(self.host, self._wanted_port)
        self._pool = ThreadPoolExecutor(self._max_workers, thread_name_prefix="request")
        self._server = grpc.server(
            self._pool, options=server_options(self._max_message_bytes), maximum_concurrent_rpcs=MAX_WAITING_CALLS
        )
        # Before TensorFlow is imported: that takes five seconds, and a port that is in use is known at once.
        self._port = self._take_port()
        try:
            self._start_services()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        return self

    def stop(self, grace_seconds: float | None = None) -> bool:
        """Stops taking requests, lets running ones end, and frees the model. A second call does nothing.

        Args:
            grace_seconds: How long running requests may go on; None for the constructor's.

        Returns:
            Whether all requests ended by themselves.
        """
        with self._stop_lock:
            if self._server is None or self._pool is None:
                return True
            if self._health is not None:
                self._health.enter_graceful_shutdown()
            grace = self.grace_seconds if grace_seconds is None else grace_seconds
            started = time.monotonic()
            self._server.stop(grace).wait()
            in_time = time.monotonic() - started < grace or grace == 0
            if self._versions is not None:
                self._versions.stop()
            self._pool.shutdown(wait=in_time, cancel_futures=True)
            self._server = self._pool = None
            return in_time

    def __enter__(self) -> LocalServer:
        """Starts the server."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops the server."""
        self.stop()

    def _address(self, port: int) -> str:
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def _take_port(self) -> int:
        try:
            port = self._server.add_insecure_port(self._address(self._wanted_port))
        except RuntimeError as error:
            port, reason = 0, str(error)
        else:
            reason = "gRPC does not say why"
        if not port:
            raise UserError(f"cannot listen at {self.host}:{self._wanted_port} ({reason}); choose another with --port")
        return port

    def _start_services(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        # What TensorFlow has to say of its own loader reaches us as exceptions.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc

        from serving.local_server.model_versions import ModelVersions
        from serving.local_server.prediction_service import service_handlers

        self._health = health.HealthServicer()
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        versions = self._versions = ModelVersions(
            self.model_name,
            self.base_path,
            load=self._load,
            on_available=lambda: self._set_health(health_pb2.HealthCheckResponse.SERVING),
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers(service_handlers(versions, self._limits))
        self._server.start()
        versions.poll()
        if versions.available_version() is None and not self._wait_for_model:
            raise UserError(f"no version of model {self.model_name} can be served: {versions.failure()}")
        if self._poll_wait_seconds > 0:
            versions.start_polling(self._poll_wait_seconds)

    def _load(self, folder: VersionFolder) -> LoadedModel:
        from serving.local_server.loaded_model import LoadedModel, ModelLoadError
        from serving.local_server.prediction_service import replay_warm_up

        started = time.monotonic()
        model = LoadedModel(folder.version, folder.path, **self._threads)
        loaded = time.monotonic()
        try:
            count = replay_warm_up(model, model.warm_up_requests(folder.path), self._limits)
        except ModelLoadError:
            model.close()
            raise
        LOG.info(
            "model %s: version %d loaded in %.1f s, %s",
            self.model_name,
            folder.version,
            loaded - started,
            f"{count} warm-up requests run in {time.monotonic() - loaded:.1f} s" if count else "no warm-up requests",
        )
        return model

    def _set_health(self, status: int) -> None:
        for service in ("", self.model_name):
            self._health.set(service, status)
