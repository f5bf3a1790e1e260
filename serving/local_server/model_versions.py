"""The versions of one model: those of its policy are found, loaded, warmed and swapped in; others are unloaded.

As in TensorFlow Serving, a version becomes available only when it is ready, and one that is no longer wanted stays
until what replaces it is available and its last request has been answered. A version that cannot be loaded is reported,
and tried again when its files change.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import grpc

from serving.operating.model_server_config import VersionPolicy
from serving.operating.version_folders import VersionFolder, find_version_folders, fingerprint
from serving.saved_models.loaded_model import LoadedModel, ModelLoadError
from serving.saved_models.status_errors import StatusError, invalid_argument

LOG = logging.getLogger(__name__)
MAX_REMEMBERED_VERSIONS = 100  # in GetModelStatus, once they are gone


class VersionState(IntEnum):
    """The state of a version, by the numbers of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """The status of a version, as GetModelStatus reports it.

    Attributes:
        state: Its state.
        code: OK, or why it could not be loaded.
        message: Empty, or why it could not be loaded.
    """

    state: VersionState
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""


class ModelVersions:
    """Keeps the versions of a model that its policy names ready for requests.

    Any thread may call any method, but `poll` and `stop` only one at a time.
    """

    def __init__(
        self,
        model_name: str,
        base_path: Path,
        *,
        load: Callable[[str, VersionFolder], LoadedModel],
        policy: VersionPolicy | None = None,
        on_available: Callable[[], None] = lambda: None,
    ) -> None:
        """Begins with no version; `poll` looks for one.

        Args:
            model_name: What requests call it.
            base_path: The folder of version folders.
            load: Loads and warms a version of the model of this name, or raises ModelLoadError.
            policy: Which versions are wanted; by default the latest.
            on_available: Called when a version has become available.
        """
        self.model_name = model_name
        self.base_path = base_path
        self.policy = policy or VersionPolicy()
        self._load = load
        self._on_available = on_available
        self._lock = threading.Lock()
        self._loaded: dict[int, LoadedModel] = {}
        self._labels: dict[str, int] = {}
        self._users: dict[LoadedModel, int] = {}
        self._retired: set[LoadedModel] = set()
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[Path, object] = {}  # the fingerprint with which a folder failed
        self._warned_missing: set[int] = set()
        self._stopped = False

    def poll(self) -> None:
        """Looks at the base path once, loads the versions that are wanted, and then lets the others go.

        Under the policy `latest`, where one of the newest cannot be loaded, the next one down is tried: removing a
        version's folder, or breaking it, rolls back to the one before. Nothing is let go before something that is
        wanted is there, so an empty base path changes nothing.
        """
        folders = find_version_folders(self.base_path)
        policy = self.policy
        if policy.kind == "specific":
            self._warn_of_missing(policy.versions, folders)
            folders = [folder for folder in folders if folder.version in policy.versions]
        wanted: set[int] = set()
        for folder in folders:
            if policy.kind == "latest" and len(wanted) == policy.count:
                break
            if folder.version in self._loaded or self._add(folder):
                wanted.add(folder.version)
        if wanted:
            for version in sorted(set(self._loaded) - wanted):
                self._retire(version)

    def stop(self) -> None:
        """Lets every version go when its last request has ended; none is loaded any more."""
        with self._lock:
            self._stopped = True
        for version in list(self._loaded):
            self._retire(version)

    @contextlib.contextmanager
    def use(self, model_spec: Any) -> Iterator[LoadedModel]:
        """Yields the version that a request's ModelSpec asks for; it stays loaded until the block ends.

        Raises:
            StatusError: NOT_FOUND: a version that is not loaded; UNAVAILABLE: the first version is still being loaded;
                INVALID_ARGUMENT: a label that nothing was assigned.
        """
        model = self._acquire(model_spec)
        try:
            yield model
        finally:
            self._release(model)

    def version_of(self, model_spec: Any) -> int | None:
        """Returns the version that a ModelSpec names by number or label, None where it leaves the choice to us.

        Raises:
            StatusError: INVALID_ARGUMENT: the label was assigned to nothing.
        """
        if model_spec.WhichOneof("version_choice") == "version_label":
            with self._lock:
                if model_spec.version_label not in self._labels:
                    raise invalid_argument(f"Unrecognized servable version label: {model_spec.version_label}")
                return self._labels[model_spec.version_label]
        return model_spec.version.value if model_spec.HasField("version") else None

    def check_labels(self, labels: Mapping[str, int], *, allow_unavailable: bool) -> None:
        """Checks that labels can be assigned as asked; TensorFlow Serving's rule.

        Args:
            labels: Label -> version.
            allow_unavailable: Whether a new label may name a version that is not available (yet).

        Raises:
            StatusError: FAILED_PRECONDITION: one names a version that is not available.
        """
        with self._lock:
            for label, version in labels.items():
                unmoved = self._labels.get(label, version) == version
                if version not in self._loaded and not (allow_unavailable and unmoved):
                    raise unavailable_label(self.model_name, version)

    def assign_labels(self, labels: Mapping[str, int]) -> None:
        """Takes `labels`, label -> version, in place of those before."""
        with self._lock:
            self._labels = dict(labels)

    def available_version(self) -> int | None:
        """Returns the highest version in use, or None."""
        with self._lock:
            return max(self._loaded, default=None)

    def statuses(self) -> dict[int, VersionStatus]:
        """Returns the status of every version seen so far, newest first."""
        with self._lock:
            return dict(sorted(self._statuses.items(), reverse=True))

    def failure(self) -> str:
        """Returns why the newest version that failed did, or an empty text."""
        return next((status.message for status in self.statuses().values() if status.message), "")

    def _acquire(self, model_spec: Any) -> LoadedModel:
        version = self.version_of(model_spec)
        with self._lock:
            if not self._loaded:
                raise StatusError(
                    grpc.StatusCode.UNAVAILABLE, f"model {self.model_name} has no version loaded; try again soon"
                )
            model = self._loaded.get(max(self._loaded) if version is None else version)
            if model is None:
                request = f"Specific({self.model_name}, {version})"
                raise StatusError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")
            self._users[model] = self._users.get(model, 0) + 1
            return model

    def _release(self, model: LoadedModel) -> None:
        with self._lock:
            self._users[model] -= 1
            if self._users[model]:
                return
            del self._users[model]
            unused = model in self._retired
        if unused:
            self._unload(model)

    def _add(self, folder: VersionFolder) -> bool:
        seen = fingerprint(folder.path)
        if self._failed.get(folder.path) == seen:
            return False
        self._note(folder.version, VersionStatus(VersionState.LOADING))
        try:
            model = self._load(self.model_name, folder)
        except ModelLoadError as error:
            self._failed[folder.path] = seen
            self._note(folder.version, VersionStatus(VersionState.END, error.code, str(error)))
            kept = f"version {self.available_version()} stays" if self._loaded else "no version is served yet"
            LOG.error("model %s version %d is not served: %s; %s", self.model_name, folder.version, error, kept)
            return False
        self._failed.pop(folder.path, None)
        with self._lock:
            stopped = self._stopped
            if not stopped:
                self._loaded[folder.version] = model
        if stopped:
            model.close()
            self._note(folder.version, VersionStatus(VersionState.END))
            return False
        self._note(folder.version, VersionStatus(VersionState.AVAILABLE))
        LOG.info("model %s: version %d is available", self.model_name, folder.version)
        self._on_available()
        return True

    def _retire(self, version: int) -> None:
        self._note(version, VersionStatus(VersionState.UNLOADING))
        with self._lock:
            model = self._loaded.pop(version)
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
        if model.version not in self._loaded:  # it may have come back while this one was still in use
            self._note(model.version, VersionStatus(VersionState.END))
        LOG.info("model %s: version %d is unloaded", self.model_name, model.version)

    def _warn_of_missing(self, versions: tuple[int, ...], folders: list[VersionFolder]) -> None:
        missing = set(versions) - {folder.version for folder in folders}
        for version in sorted(missing - self._warned_missing):
            LOG.warning("model %s: version %d is wanted, but is not in %s", self.model_name, version, self.base_path)
        self._warned_missing = missing

    def _note(self, version: int, status: VersionStatus) -> None:
        with self._lock:
            self._statuses.pop(version, None)
            self._statuses[version] = status
            ended = [old for old, known in self._statuses.items() if known.state is VersionState.END]
            for old in ended[: max(0, len(self._statuses) - MAX_REMEMBERED_VERSIONS)]:
                del self._statuses[old]


def unavailable_label(model_name: str, version: int) -> StatusError:
    """Returns the status of a label that names a version which is not available."""
    return StatusError(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Request to assign label to version {version} of model {model_name}, which is not currently available for "
        "inference",
    )
