"""A ModelServerConfig as the local server reads it: by TensorFlow Serving's rules, and folders of this machine only."""

from __future__ import annotations

from typing import Any

from data_prep.runtime.command_line import UserError
from serving.local_server.status_errors import invalid_argument
from serving.operating.model_server_config import ServedModel, VersionPolicy


def served_models(config: Any) -> list[ServedModel]:
    """Returns what a ModelServerConfig asks for.

    Raises:
        StatusError: INVALID_ARGUMENT: it asks for what cannot be served here; the message names the model.
    """
    models: dict[str, ServedModel] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise invalid_argument(f"Illegal to list model {entry.name} multiple times in config list")
        if "://" in entry.base_path:
            raise invalid_argument(f"model {entry.name}: {entry.base_path} is no folder of this machine")
        if entry.model_platform != "tensorflow":
            raise invalid_argument(
                f'model {entry.name}: model_platform is "{entry.model_platform}"; it has to be "tensorflow"'
            )
        try:
            models[entry.name] = ServedModel(
                entry.name, entry.base_path, policy_of(entry.model_version_policy), dict(entry.version_labels)
            )
        except UserError as error:
            raise invalid_argument(str(error)) from error
    return list(models.values())


def policy_of(message: Any) -> VersionPolicy:
    """Returns what a ServableVersionPolicy says.

    Raises:
        StatusError: INVALID_ARGUMENT: it is for specific versions, but names none.
    """
    choice = message.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy("all")
    if choice == "specific":
        if not message.specific.versions:
            raise invalid_argument("model_version_policy is specific, but names no version")
        return VersionPolicy("specific", versions=tuple(sorted(set(message.specific.versions))))
    return VersionPolicy("latest", count=max(1, message.latest.num_versions))
