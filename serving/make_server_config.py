"""Writes models.config, batching.config and monitoring.config, the files that `tensorflow_model_server` reads."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.runtime import atomic_files
from data_prep.runtime.command_line import (
    EXIT_DONE,
    ArgumentParser,
    UsageError,
    int_from_zero,
    positive_int,
    run_command,
)
from serving.operating.model_server_config import (
    DEFAULT_METRICS_PATH,
    ServedModel,
    VersionPolicy,
    batching_parameters,
    model_server_config,
    monitoring_config,
    version_number,
)
from serving.operating.version_folders import check_base_path
from serving.wire.server_files import BATCHING_FILE, MODELS_FILE, MONITORING_FILE, server_file_text

EXAMPLE = """  python -m serving.make_server_config --output_directory serving_config \\
      --model detector=/models/detector \\
      --version_policy detector=specific:1,2 --version_label detector:stable=1 --version_label detector:canary=2"""


@dataclass(frozen=True)
class BatchingPreset:
    """Batching parameters to start tuning from; serving/deploy/README.md says why.

    Attributes:
        sizes: Allowed batch sizes.
        timeout_micros: How long a batch is waited for.
        threads: Batches at the same time.
        enqueued: Batches that wait.
    """

    sizes: tuple[int, ...]
    timeout_micros: int
    threads: int
    enqueued: int


# On a CPU every size is allowed, since filling a batch up decodes and detects images beyond a request. On a GPU
# a few sizes are, since each new one is a shape that cuDNN chooses algorithms for while a request waits.
PRESETS = {
    "cpu": BatchingPreset(sizes=(1, 2, 3, 4), timeout_micros=1000, threads=4, enqueued=64),
    "gpu": BatchingPreset(sizes=(1, 2, 4, 8, 16), timeout_micros=5000, threads=2, enqueued=32),
}


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("--output_directory", type=Path, required=True, help="where the three files go")
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="NAME=BASE_PATH",
        help="a model and the folder of its versions as the server sees it (in a container: /models/NAME); repeatable",
    )
    parser.add_argument(
        "--version_policy",
        action="append",
        default=[],
        metavar="NAME=POLICY",
        help="latest, latest:2, all, or specific:1,2; repeatable; by default the labelled versions, else latest",
    )
    parser.add_argument(
        "--version_label",
        action="append",
        default=[],
        metavar="NAME:LABEL=VERSION",
        help="a name for a version that clients can ask for, such as stable or canary; repeatable",
    )
    parser.add_argument(
        "--check_base_path",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="where this machine sees a model's base path: the versions named must be there; repeatable",
    )
    parser.add_argument("--device", choices=sorted(PRESETS), default="cpu", help="what batching is set up for")
    parser.add_argument(
        "--allowed_batch_sizes",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="ascending; batches are filled up to the next one; by default cpu: 1 2 3 4, gpu: 1 2 4 8 16",
    )
    parser.add_argument(
        "--batch_timeout_micros",
        type=int_from_zero,
        help="how long a request waits for others, in microseconds; by default cpu: 1000, gpu: 5000",
    )
    parser.add_argument(
        "--num_batch_threads", type=positive_int, help="batches that run at a time; by default cpu: 4, gpu: 2"
    )
    parser.add_argument(
        "--max_enqueued_batches",
        type=positive_int,
        help="batches that wait before requests are refused; by default cpu: 64, gpu: 32",
    )
    parser.add_argument(
        "--metrics_path", default=DEFAULT_METRICS_PATH, help="of Prometheus's metrics, on the REST port"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help=f"replace a {MODELS_FILE} that says something else, labels included"
    )
    return parser


def served_models(arguments: argparse.Namespace) -> list[ServedModel]:
    """Puts the repeatable flags together, a model each.

    Raises:
        UsageError: A flag does not read as its help says, or names a model that --model does not.
    """
    paths = _pairs("--model", arguments.model)
    policies = {
        name: VersionPolicy.of_text(text) for name, text in _pairs("--version_policy", arguments.version_policy).items()
    }
    labels: dict[str, dict[str, int]] = {}
    for key, version in _pairs("--version_label", arguments.version_label).items():
        name, colon, label = key.partition(":")
        if not colon:
            raise UsageError(f"--version_label {key}={version}: give it as NAME:LABEL=VERSION")
        labels.setdefault(name, {})[label] = version_number(version)
    for flag, names in (("--version_policy", policies), ("--version_label", labels)):
        unknown = sorted(set(names) - set(paths))
        if unknown:
            raise UsageError(f"{flag} names {unknown[0]}, but --model names {', '.join(sorted(paths))}")
    models = []
    for name, base_path in paths.items():
        labelled = labels.get(name, {})
        by_default = VersionPolicy("specific", versions=tuple(sorted(set(labelled.values())))) if labelled else None
        models.append(ServedModel(name, base_path, policies.get(name) or by_default or VersionPolicy(), labelled))
    return models


def check_versions(models: Sequence[ServedModel], folders: dict[str, str]) -> None:
    """Looks whether the versions that are named are there.

    Args:
        models: What will be served.
        folders: Model name -> the folder of its versions on this machine.

    Raises:
        UserError: A folder has no version.
        UsageError: A version is missing, or a model is unknown.
    """
    by_name = {model.name: model for model in models}
    for name, folder in folders.items():
        if name not in by_name:
            raise UsageError(f"--check_base_path names {name}, but --model names {', '.join(sorted(by_name))}")
        model = by_name[name]
        there = [found.version for found in check_base_path(Path(folder))]
        kept = there[: model.policy.count] if model.policy.kind == "latest" else there
        missing = sorted(({*model.policy.versions, *model.labels.values()}) - set(kept))
        if missing:
            known = ", ".join(map(str, sorted(there)))
            of_those = f", of which the policy loads {', '.join(map(str, sorted(kept)))}" if kept != there else ""
            raise UsageError(f"version {missing[0]} of {name} would not be loaded: {folder} has {known}{of_those}")


def server_flags(directory: str) -> list[str]:
    """Returns the flags of `tensorflow_model_server` that make it read the files in `directory`.

    Args:
        directory: As the server sees it.
    """
    return [
        f"--model_config_file={directory}/{MODELS_FILE}",
        # Labels are read before any version has been loaded; without this flag a server with labels does not start.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={directory}/{BATCHING_FILE}",
        f"--monitoring_config_file={directory}/{MONITORING_FILE}",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    models = served_models(arguments)
    check_versions(models, _pairs("--check_base_path", arguments.check_base_path))
    preset = PRESETS[arguments.device]
    micros = arguments.batch_timeout_micros
    batching = batching_parameters(
        allowed_batch_sizes=arguments.allowed_batch_sizes or preset.sizes,
        batch_timeout_micros=preset.timeout_micros if micros is None else micros,
        num_batch_threads=arguments.num_batch_threads or preset.threads,
        max_enqueued_batches=arguments.max_enqueued_batches or preset.enqueued,
    )
    files = {
        MODELS_FILE: server_file_text(model_server_config(models)),
        BATCHING_FILE: server_file_text(batching),
        MONITORING_FILE: server_file_text(monitoring_config(arguments.metrics_path)),
    }
    directory = arguments.output_directory
    existing = directory / MODELS_FILE
    if existing.exists() and not arguments.overwrite and existing.read_text(encoding="utf-8") != files[MODELS_FILE]:
        raise UsageError(f"{existing} says something else, such as labels that were moved; --overwrite replaces it")
    for name, text in files.items():
        atomic_files.write_text(directory / name, text)
    for model in models:
        labels = "".join(f", {label} -> {version}" for label, version in sorted(model.labels.items()))
        print(f"{model.name}: {model.base_path}, {_policy_text(model.policy)}{labels}")
    print(f"wrote {', '.join(files)} to {directory}; tensorflow_model_server takes them as")
    print("  " + " \\\n  ".join(server_flags(str(directory.absolute()))))
    print(f"warm-up for these batches: --batch_sizes {' '.join(map(str, batching.allowed_batch_sizes))}")
    return EXIT_DONE


def _policy_text(policy: VersionPolicy) -> str:
    if policy.kind == "specific":
        return f"versions {', '.join(map(str, policy.versions))}"
    return "all versions" if policy.kind == "all" else f"the latest {policy.count}"


def _pairs(flag: str, words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{flag} {word!r}: give it as {'NAME:LABEL' if 'label' in flag else 'NAME'}=VALUE")
        if key in pairs:
            raise UsageError(f"{flag} names {key} twice")
        pairs[key] = value
    return pairs


if __name__ == "__main__":
    run_command(main)
