"""A server for SavedModels in plain Python, for development and tests; production is TensorFlow Serving.

It speaks what `tensorflow_model_server` speaks: Predict, GetModelMetadata, GetModelStatus and HandleReloadConfigRequest
over gRPC with the standard health service beside them, the REST API, and Prometheus's metrics.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from data_prep.runtime.command_line import UserError
from serving.client_library.channels import (
    DEFAULT_MAX_IMAGE_MEGAPIXELS,
    DEFAULT_MAX_MESSAGE_MEBIBYTES,
    MEBIBYTE,
    server_options,
)
from serving.local_server.batching_options import BatchingOptions
from serving.local_server.listening import address_of, take_port
from serving.local_server.request_checks import RequestLimits
from serving.local_server.rest_limits import RestLimits
from serving.local_server.status_errors import StatusError
from serving.operating.model_server_config import ServedModel
from serving.operating.ports import check_port_free
from serving.operating.version_folders import VersionFolder, check_base_path

if TYPE_CHECKING:
    from serving.local_server.batching import BatchScheduler
    from serving.local_server.config_file import ConfigFilePolling
    from serving.local_server.health import Health
    from serving.local_server.loaded_model import LoadedModel
    from serving.local_server.metrics import Metrics
    from serving.local_server.models import Models
    from serving.local_server.rest import RestServer

LOG = logging.getLogger(__name__)
DEFAULT_MAX_WORKERS = 8
MAX_WORKERS_FOR_BATCHING = 32  # each may hold one message; more would be more memory
MAX_WAITING_CALLS = 1000  # beyond them a call ends with RESOURCE_EXHAUSTED at once


class LocalServer:
    """Serves models; `with LocalServer("detector", base_path) as server:` starts and stops it.

    TensorFlow is imported by `start`, not before.
    """

    def __init__(
        self,
        model_name: str | None = None,
        base_path: str | os.PathLike[str] | None = None,
        port: int = 0,
        *,
        models: Sequence[ServedModel] = (),
        model_config_file: Path | None = None,
        model_config_poll_wait_seconds: float = 0,
        rest_port: int | None = None,
        rest_limits: RestLimits | None = None,
        metrics_path: str | None = None,
        batching: BatchingOptions | None = None,
        ssl_config: Any = None,
        host: str = "localhost",
        max_workers: int | None = None,
        max_message_mebibytes: int = DEFAULT_MAX_MESSAGE_MEBIBYTES,
        max_image_megapixels: float = DEFAULT_MAX_IMAGE_MEGAPIXELS,
        poll_wait_seconds: float = 1.0,
        wait_for_model: bool = False,
        warm_up: bool = True,
        warm_up_iterations: int = 1,
        allow_labels_for_unavailable: bool = False,
        grace_seconds: float = 30.0,
        intra_op_threads: int = 0,
        inter_op_threads: int = 0,
    ) -> None:
        """Sets up a server; `start` starts it.

        Args:
            model_name: What requests call the model.
            base_path: The folder of version folders, BASE/1, BASE/2, ...
            port: The TCP port for gRPC; 0 for any free one, which `port` then tells.
            models: In place of a name and a base path: what to serve, with policies and labels.
            model_config_file: Where `models` come from, if it is to be read again; see the next.
            model_config_poll_wait_seconds: How often to read `model_config_file` again; 0 never.
            rest_port: The TCP port for REST; 0 for any free one, None for no REST.
            rest_limits: Threads and time-outs of REST.
            metrics_path: Where the REST port shows Prometheus's metrics; None for nowhere.
            batching: How concurrent requests are batched; None runs each by itself.
            ssl_config: An SSLConfig message: gRPC is TLS then; None for plain text.
            host: The address to listen at; nobody is asked who they are, so by default only this machine's.
            max_workers: gRPC requests that run at the same time; more wait. None for 8, and with batching more.
            max_message_mebibytes: The largest request taken.
            max_image_megapixels: The largest encoded image taken, by its header.
            poll_wait_seconds: How often to look for other versions; 0 looks only at the start.
            wait_for_model: Start even where there is no version yet.
            warm_up: Replay a version's warm-up requests before it is available.
            warm_up_iterations: How often each is run.
            allow_labels_for_unavailable: Whether a new label may name a version that is not loaded (yet).
            grace_seconds: How long `stop` lets running requests go on.
            intra_op_threads: Threads of one TensorFlow op; 0 leaves it to TensorFlow.
            inter_op_threads: TensorFlow ops at the same time; 0 leaves it to TensorFlow.

        Raises:
            UserError: The model's name cannot be part of a URL, or there is no model.
        """
        if model_name is not None and base_path is not None:
            models = [ServedModel(model_name, str(Path(base_path).absolute()))]
        if not models:
            raise UserError("no model to serve: give a name and a base path, or a list of models")
        self._wanted_models = list(models)
        self.model_name = models[0].name
        self.host = host
        self.grace_seconds = grace_seconds
        self._wanted_port, self._wanted_rest_port = port, rest_port
        self._config_file, self._config_poll_seconds = model_config_file, model_config_poll_wait_seconds
        self._rest_limits = rest_limits or RestLimits()
        self._metrics_path = metrics_path
        self._batching_options = batching
        self._ssl_config = ssl_config
        self._max_workers = max_workers or _workers_for(batching)
        self._max_message_bytes = max_message_mebibytes * MEBIBYTE
        self._limits = RequestLimits(self._max_message_bytes, int(max_image_megapixels * 1_000_000))
        self._poll_wait_seconds = poll_wait_seconds
        self._wait_for_model = wait_for_model
        self._warm_up_iterations = warm_up_iterations if warm_up else 0
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._threads = {"intra_op_threads": intra_op_threads, "inter_op_threads": inter_op_threads}
        self._stop_lock = threading.Lock()
        self._port = 0
        self._server: Any = None
        self._health: Health | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._models: Models | None = None
        self._batching: BatchScheduler | None = None
        self._rest: RestServer | None = None
        self._config_polling: ConfigFilePolling | None = None

    @property
    def port(self) -> int:
        """The TCP port for gRPC, 0 before the server listens."""
        return self._port

    @property
    def rest_port(self) -> int:
        """The TCP port for REST, 0 where there is none."""
        return self._rest.port if self._rest is not None else 0

    @property
    def address(self) -> str:
        """What a gRPC client connects to, `host:port`."""
        return address_of(self.host, self._port)

    @property
    def rest_address(self) -> str:
        """What an HTTP client connects to, `http://host:port`; empty where REST is not served."""
        return f"http://{address_of(self.host, self._rest.port)}" if self._rest is not None else ""

    @property
    def version(self) -> int | None:
        """The highest version in use of the first model, None while there is none."""
        return self.versions().get(self.model_name)

    def versions(self) -> dict[str, int | None]:
        """Returns model name -> its highest version in use, None while there is none."""
        models = self._models.all() if self._models is not None else []
        return {versions.model_name: versions.available_version() for versions in models}

    def start(self) -> LocalServer:
        """Takes the ports, loads and warms the versions wanted, and answers requests from then on.

        Until a version is loaded, Predict answers UNAVAILABLE and the health service NOT_SERVING.

        Returns:
            The server itself.

        Raises:
            UserError: A port is taken, or a model has no version that can be loaded (unless `wait_for_model`).
        """
        if not self._wait_for_model:
            for model in self._wanted_models:
                check_base_path(Path(model.base_path))
        # gRPC itself is content with one of localhost's two addresses, and leaves the other to whoever has it.
        check_port_free(self.host, self._wanted_port)
        check_port_free(self.host, self._wanted_rest_port or 0, "--rest_api_port")
        self._pool = ThreadPoolExecutor(self._max_workers, thread_name_prefix="request")
        self._server = grpc.server(
            self._pool, options=server_options(self._max_message_bytes), maximum_concurrent_rpcs=MAX_WAITING_CALLS
        )
        # Before TensorFlow is imported: that takes five seconds, and a port that is in use is known at once.
        self._port = take_port(self._server, self.host, self._wanted_port, self._ssl_config)
        try:
            self._start_services()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        return self

    def stop(self, grace_seconds: float | None = None) -> bool:
        """Stops taking requests, lets running ones end, and frees the models. A second call does nothing.

        Args:
            grace_seconds: How long running requests may go on; None for the constructor's.

        Returns:
            Whether all requests ended by themselves.
        """
        with self._stop_lock:
            if self._server is None or self._pool is None:
                return True
            if self._health is not None:
                self._health.say_goodbye()
            if self._config_polling is not None:
                self._config_polling.stop()
            grace = self.grace_seconds if grace_seconds is None else grace_seconds
            started = time.monotonic()
            if self._rest is not None:
                self._rest.refuse_new()
            self._server.stop(grace).wait()
            in_time = time.monotonic() - started < grace or grace == 0
            if self._rest is not None:
                in_time &= self._rest.stop(max(0.0, grace - (time.monotonic() - started)))
            if self._batching is not None:
                self._batching.stop()
            if self._models is not None:
                self._models.stop()
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

    def _start_services(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        # What TensorFlow has to say of its own loader reaches us as exceptions.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        from serving.local_server.batching import BatchScheduler
        from serving.local_server.health import Health
        from serving.local_server.metrics import Metrics
        from serving.local_server.models import Models
        from serving.local_server.prediction_service import service_handlers
        from serving.local_server.predictor import Predictor
        from serving.local_server.rest import RestServer

        counted = Metrics()
        health = self._health = Health(model.name for model in self._wanted_models)
        models = self._models = Models(
            load=partial(self._load, counted),
            allow_labels_for_unavailable=self._allow_labels_for_unavailable,
            on_change=health.update,
        )
        if self._batching_options is not None:
            self._batching = BatchScheduler(self._batching_options, counted)
        predictor = Predictor(self._limits, counted, self._batching)
        health.add_to(self._server)
        self._server.add_generic_rpc_handlers(service_handlers(models, predictor, counted))
        health.update(models)
        self._server.start()
        if self._wanted_rest_port is not None:
            self._rest = RestServer(
                models,
                predictor,
                counted,
                host=self.host,
                port=self._wanted_rest_port,
                limits=self._rest_limits,
                max_body_bytes=self._max_message_bytes,
                metrics_path=self._metrics_path,
            )
            self._rest.start()
        self._configure(models)
        models.start_polling(self._poll_wait_seconds)
        if self._config_file is not None and self._config_poll_seconds > 0:
            from serving.local_server.config_file import ConfigFilePolling

            self._config_polling = ConfigFilePolling(self._config_file, models, self._config_poll_seconds)

    def _configure(self, models: Models) -> None:
        try:
            models.configure(self._wanted_models)
        except StatusError as error:
            if error.code is grpc.StatusCode.FAILED_PRECONDITION:
                raise UserError(
                    f"{error.message}: at the start none is; give --allow_version_labels_for_unavailable_models"
                ) from error
            if not self._wait_for_model:
                reasons = {versions.model_name: versions.failure() for versions in models.all()}
                missing = next(name for name, version in self.versions().items() if version is None)
                raise UserError(f"no version of model {missing} can be served: {reasons[missing]}") from error

    def _load(self, counted: Metrics, model_name: str, folder: VersionFolder) -> LoadedModel:
        from serving.local_server.loading import load_version

        return load_version(
            model_name,
            folder,
            self._limits,
            counted,
            warm_up_iterations=self._warm_up_iterations,
            **self._threads,
        )


def _workers_for(batching: BatchingOptions | None) -> int:
    """Returns how many requests are worked on at a time: where they are batched, enough to fill two batches."""
    if batching is None:
        return DEFAULT_MAX_WORKERS
    return min(MAX_WORKERS_FOR_BATCHING, max(DEFAULT_MAX_WORKERS, 2 * batching.max_batch_size))
