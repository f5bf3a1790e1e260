"""MLflow as a place to watch a training. Its own settings (`MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME`) hold."""

from __future__ import annotations

import os
import posixpath
import re
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from data_prep.runtime.command_line import UserError
from train.tracking.identity import TRACKING_NAME, read_identity, write_identity
from train.tracking.tracker import Outcome, RunDescription, Tracker

NAME = "mlflow"
DEFAULT_EXPERIMENT = "object-detection"
_STATUS = {Outcome.FINISHED: "FINISHED", Outcome.STOPPED: "KILLED", Outcome.FAILED: "FAILED"}
_MOST_METRICS = 1000  # that one request may have
_LONGEST_NAME = 250  # of a metric
_NOT_IN_NAMES = re.compile(r"[^\w\-./: ]")
# By itself MLflow asks a server that does not answer seven times, for minutes; steps would wait as long.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


class MlflowTracker(Tracker):
    """Sends to a run of an MLflow server or store."""

    name = NAME
    failures = (MlflowException, OSError)

    def __init__(self, model_dir: Path) -> None:
        """Opens nothing yet.

        Args:
            model_dir: The run is named after it, and remembered there.
        """
        self._model_dir = model_dir
        self._run_id = ""

    def start(self, description: RunDescription, step: int) -> str:
        """See the base class."""
        identity = read_identity(self._model_dir).get(NAME, {})
        self._client, uri = _client(identity)
        try:
            self._run_id = identity.get("run_id") or self._new_run()
            run = self._client.get_run(self._run_id)
            self._client.update_run(self._run_id, status="RUNNING")
            write_identity(self._model_dir, NAME, {"run_id": self._run_id, "tracking_uri": _without_password(uri)})
            params = {name: str(value) for name, value in description.hyperparameters.items()}
            new = [Param(name, value) for name, value in params.items() if name not in run.data.params]
            self._client.log_batch(self._run_id, params=new)
            # A parameter never changes in MLflow; what a resumed run does otherwise stands among its tags.
            for name, value in params.items():
                if run.data.params.get(name, value) != value:
                    self._client.set_tag(self._run_id, f"{name} from step {step}", value)
            for name, text in description.texts.items():
                self._client.log_text(self._run_id, text, name)
        except self.failures as error:
            raise _cannot(error, uri, self._model_dir, self._run_id) from None
        return f"tracked by mlflow, run {self._run_id} in {_without_password(uri)}"

    def scalars(self, folder: str, values: Mapping[str, float], step: int) -> None:
        """See the base class; `mAP@.50IOU` is `mAP_.50IOU`, and `mAP (small)` is `mAP small`, as MLflow wants names."""
        now = int(time.time() * 1000)
        named = metric_names(f"{folder}/{name}" for name in values)
        metrics = [Metric(name, value, now, step) for name, value in zip(named, values.values(), strict=True)]
        for first in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[first : first + _MOST_METRICS])

    def images(self, folder: str, name: str, images: Sequence[np.ndarray], step: int) -> None:
        """See the base class."""
        for index, image in enumerate(images):
            self._client.log_image(self._run_id, image, key=f"{folder}/{name}/{index}", step=step)

    def finish(self, outcome: Outcome) -> None:
        """See the base class."""
        if self._run_id:
            self._client.set_terminated(self._run_id, _STATUS[outcome])

    def _new_run(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(name)
        run = self._client.create_run(experiment_id, run_name=self._model_dir.resolve().name)
        return str(run.info.run_id)


TRACKER = MlflowTracker


def record_export(model_dir: Path, identity: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Adds to the tags of a model's run where it was exported to; as `train.tracking.wandb_tracker.record_export`."""
    client, uri = _client(identity)
    try:
        for name, value in values.items():
            client.set_tag(identity["run_id"], name, value)
    except (MlflowException, OSError) as error:
        raise _cannot(error, uri, model_dir, identity["run_id"]) from None
    return f"mlflow knows of it, run {identity['run_id']} in {_without_password(uri)}"


def _client(identity: Mapping[str, str]) -> tuple[MlflowClient, str]:
    """The client of the store that the environment names, else of the one that the run is in."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or identity.get("tracking_uri") or mlflow.get_tracking_uri()
    try:
        return MlflowClient(uri), uri
    except (MlflowException, ImportError, OSError) as error:
        raise _cannot(error, uri, Path(), "") from None


def _cannot(error: Exception, uri: str, model_dir: Path, run_id: str) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    reason = reason.replace(urlsplit(uri).netloc or uri, urlsplit(_without_password(uri)).netloc or uri)
    about = f" (the run {run_id} is named by {model_dir / TRACKING_NAME})" if run_id else ""
    return UserError(
        f"--track mlflow: {_without_password(uri)}: {reason}{about}; set MLFLOW_TRACKING_URI to a store that answers"
    )


def _without_password(uri: str) -> str:
    """An address as it may be written down."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return uri if host == parts.netloc else urlunsplit(parts._replace(netloc=host))


def metric_names(names: Iterable[str]) -> list[str]:
    """Makes names such that MLflow takes them, each its own: of two that would be one, the later gets a checksum.

    Args:
        names: Any texts, each once.
    """
    taken: dict[str, None] = {}
    for name in names:
        # A name must be what it is as a path, too.
        plain = posixpath.normpath(re.sub("[()]", "", name).replace("..", "__")).lstrip("/")
        allowed = _NOT_IN_NAMES.sub("_", plain)[:_LONGEST_NAME]
        if allowed in taken:
            allowed = f"{allowed[: _LONGEST_NAME - 9]}_{zlib.crc32(name.encode()):08x}"
        taken[allowed] = None
    return list(taken)
