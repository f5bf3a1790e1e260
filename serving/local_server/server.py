"""A server for SavedModels in plain Python, for development and tests; production is TensorFlow Serving.

It speaks what `tensorflow_model_server` speaks: Predict, GetModelMetadata, GetModelStatus and HandleReloadConfigRequest
over gRPC with the standard health service beside them, the REST API, and Prometheus's metrics.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from data_prep.runtime.command_line import UserError
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from serving.client_library.channels import server_options
from serving.local_server.listening import address_of, bind_port, bind_socket
from serving.local_server.options import ServerOptions
from serving.operating.model_server_config import ServedModel
from serving.operating.ports import check_port_free
from serving.operating.version_folders import check_base_path
from serving.saved_models.status_errors import StatusError

if TYPE_CHECKING:
    from serving.local_server.batching import BatchScheduler
    from serving.local_server.models import ConfigFilePolling, Models
    from serving.local_server.prediction_service import Health
    from serving.local_server.receiving import Receiver
    from serving.local_server.rest import RestServer

MAX_WAITING_CALLS = 1000  # beyond them a call ends with RESOURCE_EXHAUSTED at once


class LocalServer:
    """Serves models; `with LocalServer.of_model("detector", base_path) as server:` starts and stops it.

    TensorFlow is imported by `start`, not before.

    Attributes:
        model_name: What requests call the first model.
        options: As they were given.
    """

    def __init__(self, models: Sequence[ServedModel], options: ServerOptions | None = None) -> None:
        """Sets up a server; `start` starts it.

        Args:
            models: What to serve, with policies and labels.
            options: Ports, limits, batching, and how models are loaded.

        Raises:
            UserError: There is no model.
        """
        if not models:
            raise UserError("no model to serve: give a name and a base path, or a list of models")
        self.options = options or ServerOptions()
        self.model_name = models[0].name
        self._wanted_models = list(models)
        self._stop_lock = threading.Lock()
        self._port = 0
        self._server: Any = None
        self._health: Health | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._models: Models | None = None
        self._batching: BatchScheduler | None = None
        self._rest: RestServer | None = None
        self._receiver: Receiver | None = None
        self._config_polling: ConfigFilePolling | None = None

    @classmethod
    def of_model(
        cls, name: str, base_path: str | os.PathLike[str], options: ServerOptions | None = None
    ) -> LocalServer:
        """Returns a server of one model.

        Args:
            name: What requests call the model.
            base_path: The folder of version folders, BASE/1, BASE/2, ...
            options: As for the constructor.

        Raises:
            UserError: The model's name cannot be part of a URL.
        """
        return cls([ServedModel(name, str(Path(base_path).absolute()))], options)

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
        return address_of(self.options.host, self._port)

    @property
    def rest_address(self) -> str:
        """What an HTTP client connects to, `http://host:port`; empty where REST is not served."""
        return f"http://{address_of(self.options.host, self._rest.port)}" if self._rest is not None else ""

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
        options = self.options
        if not options.loading.wait_for_model:
            for model in self._wanted_models:
                check_base_path(Path(model.base_path))
        # gRPC itself is content with one of localhost's two addresses, and leaves the other to another process.
        check_port_free(options.host, options.port)
        check_port_free(options.host, options.rest.port if options.rest is not None else 0, "--rest_api_port")
        self._pool = ThreadPoolExecutor(options.workers, thread_name_prefix="request")
        self._server = grpc.server(
            self._pool,
            options=[*server_options(options.max_message_bytes), *options.channel_arguments],
            maximum_concurrent_rpcs=MAX_WAITING_CALLS,
        )
        # Before TensorFlow is imported: that takes five seconds, and a port that is in use is known at once.
        self._port = bind_port(self._server, options.host, options.port, options.ssl_config)
        try:
            if options.socket_path is not None:
                bind_socket(self._server, options.socket_path, options.ssl_config)
            self._start_services()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        return self

    def stop(self, grace_seconds: float | None = None) -> bool:
        """Stops taking requests, lets running ones end, and frees the models. A second call does nothing.

        Args:
            grace_seconds: How long running requests may go on; None for that of the options.

        Returns:
            Whether all requests ended by themselves.
        """
        with self._stop_lock:
            if self._server is None or self._pool is None:
                return True
            if self._health is not None:
                self._health.shut_down()
            if self._config_polling is not None:
                self._config_polling.stop()
            grace = self.options.grace_seconds if grace_seconds is None else grace_seconds
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
            if self._receiver is not None:
                self._receiver.stop()
            self._pool.shutdown(wait=in_time, cancel_futures=True)
            self._server = self._pool = None
            return in_time

    def __enter__(self) -> LocalServer:
        """Starts the server."""
        return self.start()

    def __exit__(self, *error: object) -> None:
        """Stops the server."""
        self.stop()

    def _start_services(self) -> None:
        quiet_tensorflow()  # failures of its loader are raised as exceptions as well
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        from serving.local_server.batching import BatchScheduler
        from serving.local_server.loading import load_version
        from serving.local_server.metrics import Metrics
        from serving.local_server.models import ConfigFilePolling, Models
        from serving.local_server.prediction_service import Health, service_handlers
        from serving.local_server.predictor import Predictor
        from serving.local_server.receiving import Receiver
        from serving.local_server.reflection import add_reflection
        from serving.local_server.request_memory import RequestMemory
        from serving.local_server.rest import RestServer

        options, loading, limits = self.options, self.options.loading, self.options.request_limits
        counted = Metrics()
        health = self._health = Health(model.name for model in self._wanted_models)
        models = self._models = Models(
            load=partial(load_version, options=loading, limits=limits, counted=counted),
            allow_labels_for_unavailable=loading.allow_labels_for_unavailable,
            on_change=health.update,
        )
        if options.batching is not None:
            self._batching = BatchScheduler(options.batching, counted)
        predictor = Predictor(limits, counted, self._batching, in_one_piece=options.answer_in_one_piece)
        memory = RequestMemory(options.max_request_memory_bytes)
        self._receiver = Receiver(memory, options.max_message_bytes, options.receive_seconds)
        health.add_to(self._server)
        add_reflection(self._server)
        self._server.add_generic_rpc_handlers(service_handlers(models, predictor, counted, self._receiver))
        health.update(models)
        self._server.start()
        if options.rest is not None:
            self._rest = RestServer(
                models,
                predictor,
                counted,
                memory,
                options.rest,
                host=options.host,
                max_body_bytes=options.max_message_bytes,
            )
            self._rest.start()
        self._configure(models)
        models.start_polling(loading.poll_wait_seconds)
        if loading.model_config_file is not None and loading.model_config_poll_wait_seconds > 0:
            self._config_polling = ConfigFilePolling(
                loading.model_config_file, models, loading.model_config_poll_wait_seconds
            )

    def _configure(self, models: Models) -> None:
        try:
            models.configure(self._wanted_models)
        except StatusError as error:
            if error.code is grpc.StatusCode.FAILED_PRECONDITION:
                raise UserError(
                    f"{error.message}: at the start none is; give --allow_version_labels_for_unavailable_models"
                ) from error
            if not self.options.loading.wait_for_model:
                reasons = {versions.model_name: versions.failure() for versions in models.all()}
                missing = next(name for name, version in self.versions().items() if version is None)
                raise UserError(f"no version of model {missing} can be served: {reasons[missing]}") from error
