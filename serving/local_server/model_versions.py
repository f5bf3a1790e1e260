"""The versions of one model: the newest is found, loaded, warmed and swapped in; the one before it is let go.

As in TensorFlow Serving, a version becomes available only when it is ready, and the one that it replaces stays until
its last request has been answered. A version that cannot be loaded is reported, and tried again when its files change.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import grpc

from serving.local_server.loaded_model import LoadedModel, ModelLoadError
from serving.local_server.status_errors import StatusError, invalid_argument
from serving.version_folders import VersionFolder, find_version_folders, fingerprint

LOG = logging.getLogger(__name__)
MAX_REMEMBERED_VERSIONS = 100  # in GetModelStatus, once they are gone
SECONDS_FOR_POLL_TO_END = 10  # when stopping: a version that is being loaded then is not waited for longer


class VersionState(IntEnum):
    """Where a version is in its life, by the numbers of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """What GetModelStatus says of a version.

    Attributes:
        state: Where it is.
        code: OK, or why it could not be loaded.
        message: Empty, or why it could not be loaded.
    """

    state: VersionState
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""


class ModelVersions:
    """Keeps the newest version of a model ready for requests. All methods may be called from any thread."""

    def __init__(
        self,
        model_name: str,
        base_path: Path,
        *,
        load: Callable[[VersionFolder], LoadedModel],
        on_available: Callable[[], None] = lambda: None,
    ) -> None:
        """Begins with no version; `poll` looks for one.

        Args:
            model_name: What requests call it.
            base_path: The folder of version folders.
            load: Loads and warms a version, or raises ModelLoadError.
            on_available: Called when a version has become available.
        """
        self.model_name = model_name
        self.base_path = base_path
        self._load = load
        self._on_available = on_available
        self._lock = threading.Lock()
        self._current: LoadedModel | None = None
        self._users: dict[LoadedModel, int] = {}
        self._retired: set[LoadedModel] = set()
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[Path, object] = {}  # the fingerprint with which a folder failed
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def poll(self) -> None:
        """Looks at the base path once; loads the newest complete version unless it is the one in use.

        Where the newest cannot be loaded, the next one down is tried, but nothing older than what is in use, unless
        that one's folder is gone: removing a version's folder rolls back to the one before it. An empty base path
        changes nothing.
        """
        for folder in find_version_folders(self.base_path):
            if self._current is not None and folder.version == self._current.version:
                return
            if self._replace_with(folder):
                return

    def start_polling(self, seconds: float) -> None:
        """Polls every so many seconds in a thread, until `stop`."""
        self._thread = threading.Thread(target=self._poll_for_ever, args=(seconds,), name="version-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the polling, and lets the version in use go when its last request has ended."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(SECONDS_FOR_POLL_TO_END)
        with self._lock:
            current, self._current = self._current, None
        if current is not None:
            self._retire(current)

    @contextlib.contextmanager
    def use(self, model_spec: Any) -> Iterator[LoadedModel]:
        """Yields the version that a request's ModelSpec names; it stays loaded until the block ends.

        Raises:
            StatusError: NOT_FOUND: another model, or a version that is not loaded; UNAVAILABLE: the first version is
                still being loaded; INVALID_ARGUMENT: a version label, since nothing assigns any.
        """
        model = self._acquire(model_spec)
        try:
            yield model
        finally:
            self._release(model)

    def available_version(self) -> int | None:
        """Returns the version in use, or None."""
        with self._lock:
            return self._current.version if self._current is not None else None

    def statuses(self) -> dict[int, VersionStatus]:
        """Returns the status of every version seen so far, newest first."""
        with self._lock:
            return dict(sorted(self._statuses.items(), reverse=True))

    def failure(self) -> str:
        """Returns why the newest version that failed did, or an empty text."""
        return next((status.message for status in self.statuses().values() if status.message), "")

    def _acquire(self, model_spec: Any) -> LoadedModel:
        name = model_spec.name
        if model_spec.WhichOneof("version_choice") == "version_label":
            if name == self.model_name:
                raise invalid_argument(f"Unrecognized servable version label: {model_spec.version_label}")
            version = None
        else:
            version = model_spec.version.value if model_spec.HasField("version") else None
        request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        with self._lock:
            current = self._current
            if name == self.model_name and current is None:
                raise StatusError(grpc.StatusCode.UNAVAILABLE, f"model {name} has no version loaded; try again soon")
            if current is None or name != self.model_name or version not in (None, current.version):
                raise StatusError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")
            self._users[current] = self._users.get(current, 0) + 1
            return current

    def _release(self, model: LoadedModel) -> None:
        with self._lock:
            self._users[model] -= 1
            if self._users[model]:
                return
            del self._users[model]
            unused = model in self._retired
        if unused:
            self._unload(model)

    def _replace_with(self, folder: VersionFolder) -> bool:
        seen = fingerprint(folder.path)
        if self._failed.get(folder.path) == seen:
            return False
        self._note(folder.version, VersionStatus(VersionState.LOADING))
        try:
            model = self._load(folder)
        except ModelLoadError as error:
            self._failed[folder.path] = seen
            self._note(folder.version, VersionStatus(VersionState.END, error.code, str(error)))
            kept = f"version {self._current.version} stays" if self._current is not None else "no version is served yet"
            LOG.error("model %s version %d is not served: %s; %s", self.model_name, folder.version, error, kept)
            return False
        self._failed.pop(folder.path, None)
        with self._lock:
            previous, self._current = self._current, model
        self._note(folder.version, VersionStatus(VersionState.AVAILABLE))
        LOG.info("model %s: version %d is available", self.model_name, folder.version)
        self._on_available()
        if previous is not None:
            self._retire(previous)
        return True

    def _retire(self, model: LoadedModel) -> None:
        self._note(model.version, VersionStatus(VersionState.UNLOADING))
        with self._lock:
            self._retired.add(model)
            unused = model not in self._users
        if unused:
            self._unload(model)

    def _unload(self, model: LoadedModel) -> None:
        with self._lock:
            if model not in self._retired:
                return  # another thread was faster
            self._retired.discard(model)
        model.close()
        self._note(model.version, VersionStatus(VersionState.END))
        LOG.info("model %s: version %d is unloaded", self.model_name, model.version)

    def _note(self, version: int, status: VersionStatus) -> None:
        with self._lock:
            self._statuses.pop(version, None)
            self._statuses[version] = status
            ended = [old for old, known in self._statuses.items() if known.state is VersionState.END]
            for old in ended[: max(0, len(self._statuses) - MAX_REMEMBERED_VERSIONS)]:
                del self._statuses[old]

    def _poll_for_ever(self, seconds: float) -> None:
        while not self._stopping.wait(seconds):
            self.poll()
