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
from serving.client_library.channels import DEFAULT_MAX_IMAGE_MEGAPIXELS, DEFAULT_MAX_MESSAGE_MEBIBYTES
from serving.operating.backends import AUTO, BACKENDS, ServerSettings
from serving.operating.model_server_config import ServedModel, served_models
from serving.operating.version_folders import check_base_path
from serving.wire.server_files import read_models_file

DEFAULT_REST_PORT = 8501
# Handed to the real server as they were given; its own defaults hold for the others.
SERVER_FLAGS = (
    "model_config_file_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models",
    "file_system_poll_wait_seconds",
    "enable_batching",
    "batching_parameters_file",
    "monitoring_config_file",
    "ssl_config_file",
    "grpc_max_threads",
    "rest_api_num_threads",
    "rest_api_timeout_in_ms",
    "enable_model_warmup",
    "num_request_iterations_for_warmup",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
)
CONFIG_FILES = ("batching_parameters_file", "monitoring_config_file", "ssl_config_file")


def add_server_flags(parser: ArgumentParser) -> None:
    """Adds the flags that the real server has."""
    parser.add_argument("--model_name", help="what requests call the model")
    parser.add_argument("--model_base_path", type=Path, help="the folder of version folders")
    parser.add_argument(
        "--model_config_file",
        type=Path,
        help="models with version policies and labels as a ModelServerConfig in protobuf text, in place of the two "
        "flags above",
    )
    parser.add_argument(
        "--model_config_file_poll_wait_seconds", type=int_from_zero, help="how often to read it again; by default never"
    )
    parser.add_argument(
        "--allow_version_labels_for_unavailable_models",
        **_switch,
        help="let a new label name a version that is still to be loaded, as all are at the start; by default not",
    )
    parser.add_argument("--port", type=port_number, default=8500, help="for gRPC; 0: any free one (local only)")
    parser.add_argument(
        "--rest_api_port",
        type=port_number,
        help=f"for REST; 0: none; by default {DEFAULT_REST_PORT} (the local server does without where that is in use, "
        "or --port is 0)",
    )
    parser.add_argument(
        "--file_system_poll_wait_seconds",
        type=int_from_zero,
        help="how often to look for a newer version; 0 looks only at the start; by default every second",
    )
    parser.add_argument("--enable_batching", **_switch, help="run concurrent requests together; by default not")
    parser.add_argument(
        "--batching_parameters_file", type=Path, help="how, as BatchingParameters in protobuf text; see above"
    )
    parser.add_argument(
        "--monitoring_config_file",
        type=Path,
        help="where the REST port shows Prometheus's metrics, as a MonitoringConfig in protobuf text; by default "
        "nowhere",
    )
    parser.add_argument(
        "--ssl_config_file",
        type=Path,
        help="key and certificates for gRPC as an SSLConfig in protobuf text; by default plain text is spoken",
    )
    parser.add_argument(
        "--grpc_max_threads", type=positive_int, help="requests that run at the same time; by default the server's own"
    )
    parser.add_argument("--rest_api_num_threads", type=positive_int, help="the same for REST")
    parser.add_argument(
        "--rest_api_timeout_in_ms", type=positive_int, help="how long a REST request may take; by default 30000"
    )
    parser.add_argument(
        "--enable_model_warmup",
        **_switch,
        help="replay a version's warm-up requests before it is served; by default on",
    )
    parser.add_argument(
        "--num_request_iterations_for_warmup", type=positive_int, help="how often each of them is run; by default once"
    )
    parser.add_argument(
        "--tensorflow_intra_op_parallelism",
        type=int_from_zero,
        help="threads of one op; by default TensorFlow's choice",
    )
    parser.add_argument(
        "--tensorflow_inter_op_parallelism", type=int_from_zero, help="ops at a time; by default TensorFlow's choice"
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
        "--max_message_mebibytes", type=positive_int, default=DEFAULT_MAX_MESSAGE_MEBIBYTES, help="the largest request"
    )
    local.add_argument(
        "--max_image_megapixels",
        type=number_above_zero,
        default=DEFAULT_MAX_IMAGE_MEGAPIXELS,
        help="the largest encoded picture",
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
    for name in (*CONFIG_FILES, "model_config_file"):
        if getattr(arguments, name) is not None:
            setattr(arguments, name, getattr(arguments, name).absolute())
    models = _models_of(arguments)
    if not arguments.wait_for_model:
        for model in models:
            check_base_path(Path(model.base_path))
    given = {name: getattr(arguments, name) for name in SERVER_FLAGS}
    return ServerSettings(
        models=models,
        model_config_file=arguments.model_config_file,
        port=arguments.port,
        rest_api_port=DEFAULT_REST_PORT if arguments.rest_api_port is None else arguments.rest_api_port,
        host=arguments.host,
        docker_image=arguments.docker_image,
        config_files=tuple(getattr(arguments, name) for name in CONFIG_FILES if getattr(arguments, name) is not None),
        server_flags={name: _text_of(value) for name, value in given.items() if value is not None},
        extra_arguments=tuple(arguments.server_arguments),
    )


def port_number(text: str) -> int:
    """Reads a TCP port, 0..65535."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 0 to 65535")
    return value


def truth(text: str) -> bool:
    """Reads `true` or `false`, as `--enable_batching=true` has it."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return text.lower() in ("true", "1")


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
    if arguments.model_name is None or arguments.model_base_path is None:
        raise UsageError("give --model_name and --model_base_path, or --model_config_file")
    return (ServedModel(arguments.model_name, str(arguments.model_base_path.absolute())),)


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
