"""The flags of `tensorflow_model_server`, with its names and its files, as `serving.serve` takes them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    int_from_zero,
    number_above_zero,
    positive_int,
)
from serving.client_library.channels import DEFAULT_MAX_IMAGE_MEGAPIXELS
from serving.operating.backends import AUTO, BACKENDS, ServerSettings
from serving.operating.model_server_config import ServedModel, served_models
from serving.operating.model_server_flags import DEFAULT_REST_PORT, FLAGS, Here, truth
from serving.operating.version_folders import check_base_path
from serving.wire.server_files import read_models_file

# Where `backends.py` puts them in its own way, and not as one flag among others.
_PLACED_FLAGS = ("port", "rest_api_port", "model_config_file", "model_name", "model_base_path")
_DEFAULT_MODEL_NAME = "default"  # tensorflow_model_server's


def add_server_flags(parser: ArgumentParser) -> None:
    """Adds the flags that the real server has."""
    others = parser.add_argument_group(
        "flags of tensorflow_model_server that the local server refuses, or that change nothing there"
    )
    for flag in FLAGS:
        group = parser if flag.here is Here.HONOURED else others
        reason = f" (local server: {flag.reason})" if flag.reason else ""
        group.add_argument(
            f"--{flag.name}",
            default=flag.default,
            help=flag.help + reason,
            **_switch if flag.type is truth else {"type": flag.type},
        )


def add_own_flags(parser: ArgumentParser) -> None:
    """Adds the flags that choose a server, and those that only the local server has."""
    parser.add_argument("--backend", choices=BACKENDS, default=AUTO, help="what serves")
    parser.add_argument(
        "--host",
        default="localhost",
        help="the address that docker and the local server listen at, 0.0.0.0 for all of this machine's (there is no "
        "authentication); tensorflow_model_server always listens at all",
    )
    parser.add_argument(
        "--wait_for_model", action="store_true", help="start even where the base path has no version yet"
    )
    parser.add_argument("--docker_image", default="tensorflow/serving", help="the image that docker runs")
    local = parser.add_argument_group("local server only")
    local.add_argument(
        "--max_request_memory_mebibytes",
        type=positive_int,
        help="what all requests together may take, models not counted; by default half of the memory there is",
    )
    local.add_argument(
        "--max_message_mebibytes",
        type=positive_int,
        help="the largest request; by default a quarter of what all together may take, 2047 at most, which is "
        "TensorFlow Serving's own limit",
    )
    local.add_argument(
        "--max_image_megapixels",
        type=number_above_zero,
        default=DEFAULT_MAX_IMAGE_MEGAPIXELS,
        help="the largest encoded image",
    )
    local.add_argument(
        "--drain_seconds", type=int_from_zero, default=30, help="how long running requests may go on after SIGTERM"
    )
    parser.add_argument("server_arguments", nargs="*", metavar="-- FLAG", help="passed to tensorflow_model_server")


def settings_of(arguments: argparse.Namespace) -> ServerSettings:
    """Checks the flags and returns what they ask for.

    Raises:
        UserError: A base path has no version (unless --wait_for_model), a name is not one, a file cannot be read.
        UsageError: A word is no flag, or flags contradict each other.
    """
    stray = [word for word in arguments.server_arguments if not word.startswith("-")]
    if stray:
        raise UsageError(f"{stray[0]!r} is not a flag; flags for tensorflow_model_server follow -- as --name=value")
    if arguments.batching_parameters_file is not None and not arguments.enable_batching:
        raise UsageError("--batching_parameters_file is given without --enable_batching")
    given = {flag: value for flag in FLAGS if (value := getattr(arguments, flag.name)) is not None}
    for flag, value in given.items():
        if isinstance(value, Path):
            given[flag] = value.absolute()
            setattr(arguments, flag.name, given[flag])
    models = () if arguments.version else _models_of(arguments)
    if not arguments.wait_for_model:
        for model in models:
            check_base_path(Path(model.base_path))
    return ServerSettings(
        models=models,
        model_config_file=arguments.model_config_file,
        port=arguments.port,
        rest_api_port=DEFAULT_REST_PORT if arguments.rest_api_port is None else arguments.rest_api_port,
        host=arguments.host,
        docker_image=arguments.docker_image,
        config_files=tuple(value for flag, value in given.items() if flag.is_file),
        server_flags={flag.name: _text_of(value) for flag, value in given.items() if flag.name not in _PLACED_FLAGS},
        extra_arguments=tuple(arguments.server_arguments),
    )


def flags_without_effect(arguments: argparse.Namespace, backend_reason: str) -> list[str]:
    """Returns a line for each given flag that changes nothing on the local server.

    Args:
        arguments: As they were given.
        backend_reason: Why it is the local server.

    Raises:
        UsageError: One is given that the local server refuses.
    """
    lines = []
    for flag in FLAGS:
        value = getattr(arguments, flag.name)
        if value is None or flag.here is Here.HONOURED:
            continue
        if flag.here is Here.WITHOUT_EFFECT:
            lines.append(f"--{flag.name} changes nothing on the local server: {flag.reason}")
        elif value != flag.allowed:
            raise UsageError(
                f"--{flag.name}: the local server (used since: {backend_reason}) cannot do that: {flag.reason}; leave "
                "it out"
            )
    return lines


_switch: dict[str, Any] = {"type": truth, "nargs": "?", "const": True, "metavar": "true|false"}


def _models_of(arguments: argparse.Namespace) -> tuple[ServedModel, ...]:
    by_flags = arguments.model_name is not None or arguments.model_base_path is not None
    if arguments.model_config_file is not None:
        if by_flags:
            raise UsageError("--model_config_file names the models; leave out --model_name and --model_base_path")
        config = read_models_file(arguments.model_config_file)
        try:
            return tuple(served_models(config))
        except UserError as error:
            raise UsageError(f"{arguments.model_config_file}: {' '.join(str(error).split())}") from error
    if arguments.model_base_path is None:
        raise UsageError("give --model_name and --model_base_path, or --model_config_file")
    name = _DEFAULT_MODEL_NAME if arguments.model_name is None else arguments.model_name
    return (ServedModel(name, str(arguments.model_base_path)),)


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
