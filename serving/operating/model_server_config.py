"""`models.config`, written and read: the models to serve, which of their versions, and the versions' labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from data_prep.runtime.command_line import UsageError
from serving.operating.version_folders import MAX_VERSION, check_model_name
from serving.wire.messages import ModelServerConfig
from serving.wire.server_files import BatchingParameters, MonitoringConfig

PLATFORM = "tensorflow"
DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
MAX_ALLOWED_BATCH_SIZES = 1000
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_POLICY = re.compile(r"latest(?::(?P<count>[0-9]{1,4}))?|all|specific:(?P<versions>[0-9]+(?:,[0-9]+)*)")


@dataclass(frozen=True)
class VersionPolicy:
    """Policy of which version folders are loaded.

    Attributes:
        kind: `latest` (the highest numbers), `all`, or `specific` (those named).
        count: How many of the latest.
        versions: Those named, ascending.
    """

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: tuple[int, ...] = ()

    @staticmethod
    def of_text(text: str) -> VersionPolicy:
        """Reads `latest`, `latest:2`, `all` or `specific:1,2`.

        Raises:
            UsageError: It is none of them.
        """
        match = _POLICY.fullmatch(text)
        if match is None:
            raise UsageError(f"version policy {text!r}: use latest, latest:2, all, or specific:1,2")
        if text == "all":
            return VersionPolicy("all")
        if match["versions"]:
            return VersionPolicy(
                "specific", versions=tuple(sorted({version_number(v) for v in match["versions"].split(",")}))
            )
        count = int(match["count"] or 1)
        if count < 1:
            raise UsageError(f"version policy {text!r}: at least one version is kept")
        return VersionPolicy("latest", count=count)


@dataclass(frozen=True)
class ServedModel:
    """A model in `models.config`.

    Attributes:
        name: What requests call it.
        base_path: The folder of its version folders, as the server sees it: inside a container, the container's path.
        policy: Which versions are loaded.
        labels: Label -> version, such as `stable` -> 1.
    """

    name: str
    base_path: str
    policy: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that the labels can be kept under the policy.

        Raises:
            UserError: The name cannot be part of a URL.
            UsageError: A label's version would not be loaded, or the path is no absolute one.
        """
        check_model_name(self.name)
        if not (self.base_path.startswith("/") or "://" in self.base_path):
            raise UsageError(
                f"base path {self.base_path!r} of {self.name} is relative; give it as the server sees it, such as "
                f"/models/{self.name}"
            )
        for label, version in self.labels.items():
            check_label(label)
            if self.policy.kind == "specific" and version not in self.policy.versions:
                listed = ", ".join(map(str, self.policy.versions))
                raise UsageError(f"label {label} of {self.name} names version {version}, but only {listed} are loaded")
        if self.policy.kind == "latest" and len(set(self.labels.values())) > self.policy.count:
            raise UsageError(
                f"the labels of {self.name} name {len(set(self.labels.values()))} versions, but latest:"
                f"{self.policy.count} keeps {self.policy.count}; name the versions with specific:"
                + ",".join(map(str, sorted(set(self.labels.values()))))
            )


def version_number(text: str) -> int:
    """Reads a version's number, 1..2^63-1.

    Raises:
        UsageError: It is none.
    """
    if not re.fullmatch(r"[0-9]{1,19}", text) or not 1 <= int(text) <= MAX_VERSION:
        raise UsageError(f"version {text!r}: a version is a whole number from 1")
    return int(text)


def check_label(label: str) -> str:
    """Returns `label` if it can be part of a URL.

    Raises:
        UsageError: It cannot.
    """
    if not _LABEL.fullmatch(label):
        raise UsageError(f"label {label!r}: use letters, digits, '_', '-' and '.', at most 64")
    return label


def model_server_config(models: Sequence[ServedModel]) -> Any:
    """Returns the ModelServerConfig that serves `models`.

    Raises:
        UsageError: There are none, or two of one name.
    """
    if not models:
        raise UsageError("no model to serve")
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise UsageError(f"a model is named twice: {', '.join(names)}")
    config = ModelServerConfig()
    for model in models:
        entry = config.model_config_list.config.add(name=model.name, base_path=model.base_path, model_platform=PLATFORM)
        policy = entry.model_version_policy
        if model.policy.kind == "specific":
            policy.specific.versions.extend(model.policy.versions)
        elif model.policy.kind == "all":
            policy.all.SetInParent()
        else:
            policy.latest.num_versions = model.policy.count
        for label, version in model.labels.items():
            entry.version_labels[label] = version
    return config


def served_models(config: Any) -> list[ServedModel]:
    """Returns the models of a ModelServerConfig, by TensorFlow Serving's rules; the inverse of `model_server_config`.

    Raises:
        UserError: It asks for what cannot be served here, such as a bucket; the message names the model.
    """
    models: dict[str, ServedModel] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise UsageError(f"Illegal to list model {entry.name} multiple times in config list")
        if "://" in entry.base_path:
            raise UsageError(f"model {entry.name}: {entry.base_path} is no folder of this machine")
        if entry.model_platform != PLATFORM:
            raise UsageError(
                f'model {entry.name}: model_platform is "{entry.model_platform}"; it has to be "{PLATFORM}"'
            )
        models[entry.name] = ServedModel(
            entry.name, entry.base_path, _policy_of(entry.model_version_policy), dict(entry.version_labels)
        )
    return list(models.values())


def batching_parameters(
    *,
    allowed_batch_sizes: Sequence[int],
    batch_timeout_micros: int,
    num_batch_threads: int,
    max_enqueued_batches: int,
) -> Any:
    """Returns BatchingParameters in which the largest allowed size is the largest batch.

    Inputs are never padded to one shape: zeros beside an image would shift its boxes.

    Args:
        allowed_batch_sizes: Batches are filled up to the next of these by repeating a request's first image.
        batch_timeout_micros: How long the first request of a batch waits for others, in microseconds.
        num_batch_threads: Batches that run at the same time.
        max_enqueued_batches: Full batches that wait; beyond them requests are refused at once.

    Raises:
        UsageError: The sizes do not ascend from 1 or more.
    """
    sizes = list(allowed_batch_sizes)
    if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 1 or len(sizes) > MAX_ALLOWED_BATCH_SIZES:
        raise UsageError(f"allowed batch sizes {sizes}: give whole numbers from 1 that ascend")
    parameters = BatchingParameters(allowed_batch_sizes=sizes)
    parameters.max_batch_size.value = sizes[-1]
    parameters.batch_timeout_micros.value = batch_timeout_micros
    parameters.num_batch_threads.value = num_batch_threads
    parameters.max_enqueued_batches.value = max_enqueued_batches
    parameters.thread_pool_name.value = "detectors"
    return parameters


def monitoring_config(metrics_path: str = DEFAULT_METRICS_PATH) -> Any:
    """Returns the MonitoringConfig that shows Prometheus's metrics at `metrics_path` of the REST port.

    Raises:
        UsageError: The path does not begin with a slash.
    """
    if not re.fullmatch(r"/[A-Za-z0-9_./-]*", metrics_path):
        raise UsageError(f"metrics path {metrics_path!r}: give a path such as {DEFAULT_METRICS_PATH}")
    config = MonitoringConfig()
    config.prometheus_config.enable = True
    config.prometheus_config.path = metrics_path
    return config


def _policy_of(message: Any) -> VersionPolicy:
    choice = message.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy("all")
    if choice == "specific":
        if not message.specific.versions:
            raise UsageError("model_version_policy is specific, but names no version")
        return VersionPolicy("specific", versions=tuple(sorted(set(message.specific.versions))))
    return VersionPolicy("latest", count=max(1, message.latest.num_versions))
