"""Moves of version labels, on one server or on all replicas, with a history to take them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.runtime import atomic_files
from data_prep.runtime.command_line import UsageError, UserError
from serving.client_library.model_service import AVAILABLE, ModelServiceClient, states_text
from serving.operating.label_history import LabelChange, append_change, history_path
from serving.wire.server_files import server_file_text


def find_model(config: Any, model_name: str | None, source: Path) -> Any:
    """Returns the ModelConfig of a model, of the only one where no name is given.

    Raises:
        UsageError: There is none of that name, or several and no name.
    """
    models = {model.name: model for model in config.model_config_list.config}
    if model_name is None and len(models) == 1:
        return next(iter(models.values()))
    if model_name is None or model_name not in models:
        asked = "give --model_name" if model_name is None else f"there is no model {model_name!r}"
        raise UsageError(f"{source}: {asked}; its models are {', '.join(sorted(models))}")
    return models[model_name]


def with_labels(config: Any, model_name: str, labels: Mapping[str, int]) -> Any:
    """Returns a copy of a ModelServerConfig in which a model has these labels and no others."""
    changed = _copy(config)
    model = _model(changed, model_name)
    model.version_labels.clear()
    for label, version in labels.items():
        model.version_labels[label] = version
    return changed


def with_versions(config: Any, model_name: str, versions: Sequence[int]) -> Any:
    """Returns a copy of a ModelServerConfig in which a model's `specific` versions include these.

    Raises:
        UsageError: The model's policy is not `specific`: the server chooses, and the folders on its disk decide.
    """
    changed = _copy(config)
    policy = _model(changed, model_name).model_version_policy
    if policy.WhichOneof("policy_choice") != "specific":
        kind = policy.WhichOneof("policy_choice") or "latest"
        raise UsageError(
            f"--load names versions under the policy specific, but {model_name} has {kind}: put the version's folder "
            "where the server looks, and it loads by itself"
        )
    everything = sorted({*policy.specific.versions, *versions})
    del policy.specific.versions[:]
    policy.specific.versions.extend(everything)
    return changed


def require_available(clients: Sequence[ModelServiceClient], model_name: str, versions: Sequence[int]) -> None:
    """Checks that every server can answer with every version.

    Raises:
        UserError: One cannot; the message says which, and what it has instead.
    """
    for client in clients:
        known = client.versions(model_name)
        for version in versions:
            state = known.get(version)
            if state is None or state.state != AVAILABLE:
                raise UserError(
                    f"version {version} of {model_name} is not available at {client.server}, which has "
                    f"{states_text(known)}; no label was moved (--load loads it first)"
                )


def load_versions(clients: Sequence[ModelServiceClient], config: Any, model_name: str, versions: Sequence[int]) -> Any:
    """Makes every server load versions that the config does not name yet, and waits until all can be asked.

    Returns:
        The config with the versions in it, which the servers have now.

    Raises:
        UsageError: The model's policy is not `specific`.
        UserError: A server refuses, or cannot load a version: those that took the config get the old one back.
    """
    loading = with_versions(config, model_name, versions)
    reload_all(clients, config, loading)
    try:
        for client in clients:
            for version in versions:
                client.wait_until_available(model_name, version)
    except UserError as error:
        raise UserError(f"{error}; {_put_back(clients, config)}") from error
    return loading


def reload_all(clients: Sequence[ModelServiceClient], old: Any, new: Any) -> None:
    """Gives every server the new config, or none: what took it before another refused gets the old one back.

    Raises:
        UserError: A server refuses, or does not answer.
    """
    for position, client in enumerate(clients):
        try:
            client.reload(new)
        except UserError as error:
            # The one that failed may have taken it as well, and not been able to say so.
            raise UserError(f"{error}; {_put_back(clients[: position + 1], old)}") from error


def write_labels(path: Path, config: Any, change: LabelChange) -> None:
    """Writes what the servers have now, and how it was before, so that a restart and a rollback find it."""
    atomic_files.write_text(path, server_file_text(config))
    append_change(history_path(path), change)


def labels_text(labels: Mapping[str, int | None]) -> str:
    """Returns labels in one line."""
    words = [f"{label} -> {version or 'nothing'}" for label, version in sorted(labels.items())]
    return ", ".join(words) or "no label"


def show_state(
    clients: Sequence[ModelServiceClient], model_name: str, labels: Sequence[str], when: str, show: Callable[[str], Any]
) -> list[dict[str, int | None]]:
    """Shows what every server has loaded and which versions its labels stand for, and returns the latter."""
    found = []
    for client in clients:
        versions = client.versions(model_name)
        if not versions:
            raise UserError(f"{client.server} serves no model {model_name!r}")
        seen = {label: client.labelled_version(model_name, label) for label in labels}
        show(f"{when:<7} {client.server}  {model_name}: {states_text(versions)}; {labels_text(seen)}")
        found.append(seen)
    return found


def _put_back(clients: Sequence[ModelServiceClient], config: Any) -> str:
    failed = []
    for client in clients:
        try:
            client.reload(config)
        except UserError as error:
            failed.append(str(error))
    if failed:
        return f"and the old configuration could not be put back: {'; '.join(failed)}"
    return "every server has its old configuration"


def _copy(config: Any) -> Any:
    copied = type(config)()
    copied.CopyFrom(config)
    return copied


def _model(config: Any, model_name: str) -> Any:
    return next(model for model in config.model_config_list.config if model.name == model_name)
