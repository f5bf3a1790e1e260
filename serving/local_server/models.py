"""Models of a server: found by name, configured anew while it runs, and looked after by one thread."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from data_prep.runtime.command_line import UserError
from serving.local_server.model_versions import ModelVersions, VersionStatus, unavailable_label
from serving.operating.model_server_config import ServedModel, served_models
from serving.operating.version_folders import VersionFolder
from serving.saved_models.loaded_model import LoadedModel
from serving.saved_models.status_errors import StatusError, invalid_argument
from serving.wire.server_files import read_models_file

LOG = logging.getLogger(__name__)
SECONDS_FOR_POLL_TO_END = 10  # when stopping: a version that is being loaded then is not waited for longer
LOG = logging.getLogger(__name__)
SECONDS_TO_END = 10


class Models:
    """Model name -> versions. All methods may be called from any thread."""

    def __init__(
        self,
        *,
        load: Callable[[str, VersionFolder], LoadedModel],
        allow_labels_for_unavailable: bool = False,
        on_change: Callable[[Models], None] = lambda models: None,
    ) -> None:
        """Begins with no model; `configure` says which there are.

        Args:
            load: Loads and warms a version of the model of this name, or raises ModelLoadError.
            allow_labels_for_unavailable: Whether a new label may name a version that is not available (yet).
            on_change: Called when a version has become available, or models have come or gone.
        """
        self._load = load
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._on_change = on_change
        self._models: dict[str, ModelVersions] = {}
        self._lock = threading.Lock()  # of `_models`
        self._polling = threading.RLock()  # held while versions are loaded or models configured
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def configure(self, wanted: Sequence[ServedModel]) -> None:
        """Serves `wanted` from now on, in place of what was configured before; TensorFlow Serving's rules.

        Labels are checked first, against the versions that are available now; where one is refused, nothing changes.
        Models that are new are loaded before this returns, other versions of known models after it, when the polling
        thread is running. Models that are no longer wanted end with their last request.

        Raises:
            StatusError: FAILED_PRECONDITION: a label names a version that is not available; UNKNOWN: a model that is
                new has no version that can be loaded.
        """
        with self._polling:
            for model in wanted:
                known = self._models.get(model.name)
                if known is not None and str(known.base_path) == model.base_path:
                    known.check_labels(model.labels, allow_unavailable=self._allow_labels_for_unavailable)
                elif model.labels and not self._allow_labels_for_unavailable:
                    raise unavailable_label(model.name, next(iter(model.labels.values())))
            # A model whose base path has changed is served from the old one until the new one answers.
            moved = {model.name: self._versions_of(model) for model in wanted if self._has_moved(model)}
            for versions in moved.values():
                versions.poll()
            missing = [versions for versions in moved.values() if versions.available_version() is None]
            if missing:
                raise _not_available(missing)
            gone, new = self._exchange(wanted, moved)
            for versions in new:
                versions.poll()
            for model in wanted:
                self._models[model.name].assign_labels(model.labels)
            for versions in gone:
                versions.stop()
            self._on_change(self)
            missing = [versions for versions in new if versions.available_version() is None]
        self._wake.set()
        if missing:
            raise _not_available(missing)

    def start_polling(self, seconds: float) -> None:
        """Looks for other versions every so many seconds, and when the configuration has changed, until `stop`.

        Args:
            seconds: How often; 0 only when the configuration has changed.
        """
        self._wake.clear()
        self._thread = threading.Thread(target=self._poll_for_ever, args=(seconds,), name="version-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the polling, and lets all versions go when their last request has ended."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(SECONDS_FOR_POLL_TO_END)
        for versions in self.all():
            versions.stop()

    def all(self) -> list[ModelVersions]:
        """Returns all models."""
        with self._lock:
            return list(self._models.values())

    @contextlib.contextmanager
    def use(self, model_spec: Any) -> Iterator[LoadedModel]:
        """Yields the version that a request's ModelSpec asks for; it stays loaded until the block ends.

        Raises:
            StatusError: As `ModelVersions.use`; NOT_FOUND: there is no such model; INVALID_ARGUMENT: it names none.
        """
        with self._versions(model_spec).use(model_spec) as model:
            yield model

    def statuses(self, model_spec: Any) -> dict[int, VersionStatus]:
        """Returns the statuses of a model's versions, newest first, or of the one that the ModelSpec names.

        Raises:
            StatusError: NOT_FOUND: no such model, or a version never seen; INVALID_ARGUMENT: a label assigned to
                nothing.
        """
        name = model_spec.name
        if not name:
            raise _nameless()
        with self._lock:
            versions = self._models.get(name)
        version = versions.version_of(model_spec) if versions is not None else None
        statuses = versions.statuses() if versions is not None else {}
        if version is not None:
            if version not in statuses:
                raise StatusError(grpc.StatusCode.NOT_FOUND, f"Could not find version {version} of model {name}")
            return {version: statuses[version]}
        if not statuses:
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {name}")
        return statuses

    def _versions(self, model_spec: Any) -> ModelVersions:
        name = model_spec.name
        if not name:
            raise _nameless()
        with self._lock:
            versions = self._models.get(name)
        if versions is None:
            version = model_spec.version.value if model_spec.HasField("version") else None
            request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")
        return versions

    def _has_moved(self, model: ServedModel) -> bool:
        known = self._models.get(model.name)
        return known is not None and str(known.base_path) != model.base_path

    def _versions_of(self, model: ServedModel) -> ModelVersions:
        return ModelVersions(
            model.name,
            Path(model.base_path),
            load=self._load,
            policy=model.policy,
            on_available=lambda: self._on_change(self),
        )

    def _exchange(
        self, wanted: Sequence[ServedModel], moved: Mapping[str, ModelVersions]
    ) -> tuple[list[ModelVersions], list[ModelVersions]]:
        """Puts new policies and models in place; returns those that end, and those that are new and not loaded."""
        new, models = [], {}
        for model in wanted:
            if model.name in moved:
                models[model.name] = moved[model.name]
            elif model.name in self._models:
                models[model.name] = self._models[model.name]
                models[model.name].policy = model.policy
            else:
                models[model.name] = self._versions_of(model)
                new.append(models[model.name])
        gone = [versions for versions in self._models.values() if versions not in models.values()]
        with self._lock:
            self._models = models
        return gone, new

    def _poll_for_ever(self, seconds: float) -> None:
        while True:
            self._wake.wait(seconds or None)
            self._wake.clear()
            if self._stopping:
                return
            with self._polling:
                for versions in self.all():
                    versions.poll()


def _not_available(missing: Sequence[ModelVersions]) -> StatusError:
    reasons = "; ".join(
        f"{versions.model_name}: {versions.failure() or f'no version in {versions.base_path}'}" for versions in missing
    )
    return StatusError(grpc.StatusCode.UNKNOWN, f"{len(missing)} model(s) did not become available: {reasons}")


def _nameless() -> StatusError:
    return invalid_argument("ModelSpec has no name specified.")


class ConfigFilePolling:
    """Reads the file every so many seconds until `stop`; what cannot be followed is logged, and tried again."""

    def __init__(self, path: Path, models: Models, seconds: float) -> None:
        """Starts the thread.

        Args:
            path: The file, protobuf text of a ModelServerConfig.
            models: What follows it.
            seconds: How often it is read.
        """
        self._path = path
        self._models = models
        self._seconds = seconds
        self._followed = ""
        self._complaint = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll_for_ever, name="config-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(SECONDS_TO_END)

    def _poll_for_ever(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                config = read_models_file(self._path)
                if str(config) != self._followed:
                    self._models.configure(served_models(config))
                    self._followed, self._complaint = str(config), ""
                    LOG.info("%s is followed", self._path)
            except (UserError, StatusError) as error:
                if str(error) != self._complaint:
                    LOG.error("%s is not followed: %s; what was served before stays", self._path, error)
                self._complaint = str(error)
