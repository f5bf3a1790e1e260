"""Starts a server for an exported detector, on the flags of `tensorflow_model_server`.

The real server where it is installed, its container where docker runs, and otherwise the local server of this project.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from data_prep.command_line import EXIT_DONE, ArgumentParser, UsageError, UserError, positive_int, run_command
from serving.backends import (
    AUTO,
    BACKENDS,
    DOCKER,
    LOCAL,
    Choice,
    ServerSettings,
    choose_backend,
    docker_command,
    model_server_command,
)
from serving.channels import DEFAULT_MAX_IMAGE_MEGAPIXELS, DEFAULT_MAX_MESSAGE_MEBIBYTES
from serving.ports import check_port_free
from serving.version_folders import check_base_path, check_model_name

DESCRIPTION = """Serves the newest version of a model, BASE/1, BASE/2, ..., over gRPC.

--backend auto takes the first of these that is there:
  tensorflow_model_server   on the PATH: is started in place of this process, on the same flags
  docker                    with a running daemon: starts the image tensorflow/serving
  local                     a server in Python, for development and tests; gRPC only"""
EXAMPLE = """  python -m serving.serve --model_name detector --model_base_path exported/detector
  python -m serving.serve --model_name detector --model_base_path exported/detector --backend docker \\
      -- --enable_batching=true        (what follows -- goes to tensorflow_model_server as it is)"""
ALL_ADDRESSES = "0.0.0.0"
SERVER_FLAGS = (
    "file_system_poll_wait_seconds",
    "grpc_max_threads",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
)


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=DESCRIPTION, example=EXAMPLE)
    parser.add_argument("--model_name", required=True, help="what requests call the model")
    parser.add_argument("--model_base_path", required=True, type=Path, help="the folder of version folders")
    parser.add_argument("--port", type=port_number, default=8500, help="for gRPC; 0: any free one (local only)")
    parser.add_argument("--rest_api_port", type=port_number, default=8501, help="for REST; 0: none")
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
    parser.add_argument(
        "--file_system_poll_wait_seconds",
        type=whole_number,
        help="how often to look for a newer version; 0 looks only at the start; by default every second",
    )
    parser.add_argument(
        "--grpc_max_threads", type=positive_int, help="requests that run at the same time; by default the server's own"
    )
    parser.add_argument(
        "--tensorflow_intra_op_parallelism", type=whole_number, help="threads of one op; by default TensorFlow's choice"
    )
    parser.add_argument(
        "--tensorflow_inter_op_parallelism", type=whole_number, help="ops at a time; by default TensorFlow's choice"
    )
    local = parser.add_argument_group("local server only")
    local.add_argument(
        "--max_message_mebibytes", type=positive_int, default=DEFAULT_MAX_MESSAGE_MEBIBYTES, help="the largest request"
    )
    local.add_argument(
        "--max_image_megapixels",
        type=positive_float,
        default=DEFAULT_MAX_IMAGE_MEGAPIXELS,
        help="the largest encoded picture",
    )
    local.add_argument(
        "--drain_seconds", type=whole_number, default=30, help="how long running requests may go on after SIGTERM"
    )
    parser.add_argument("server_arguments", nargs="*", metavar="-- FLAG", help="passed to tensorflow_model_server")
    return parser


def port_number(text: str) -> int:
    """Reads a TCP port, 0..65535."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 0 to 65535")
    return value


def whole_number(text: str) -> int:
    """Reads a whole number from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return value


def positive_float(text: str) -> float:
    """Reads a number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def settings_of(arguments: argparse.Namespace) -> ServerSettings:
    """Checks the flags and returns what they ask for.

    Raises:
        UserError: The base path has no version (unless --wait_for_model), or a name is not one.
        UsageError: A word is no flag.
    """
    stray = [word for word in arguments.server_arguments if not word.startswith("-")]
    if stray:
        raise UsageError(f"{stray[0]!r} is not a flag; flags for tensorflow_model_server follow -- as --name=value")
    check_model_name(arguments.model_name)
    base_path = arguments.model_base_path.absolute()
    if not arguments.wait_for_model:
        check_base_path(base_path)
    given = {name: getattr(arguments, name) for name in SERVER_FLAGS}
    return ServerSettings(
        model_name=arguments.model_name,
        base_path=base_path,
        port=arguments.port,
        rest_api_port=arguments.rest_api_port,
        host=arguments.host,
        docker_image=arguments.docker_image,
        server_flags={name: str(value) for name, value in given.items() if value is not None},
        extra_arguments=tuple(arguments.server_arguments),
    )


def start_real_server(choice: Choice, settings: ServerSettings) -> int:
    """Replaces this process by the real server or by docker; returns only by an exception.

    Raises:
        UserError: A port is in use, or the program does not start.
    """
    if settings.port == 0:
        raise UsageError("--port 0 needs --backend local; give a port")
    if settings.port == settings.rest_api_port:
        raise UsageError(f"--port and --rest_api_port are both {settings.port}; they need two ports")
    host = settings.host if choice.backend == DOCKER else ALL_ADDRESSES
    check_port_free(host, settings.port, "--port")
    check_port_free(host, settings.rest_api_port, "--rest_api_port")
    command = docker_command(settings) if choice.backend == DOCKER else model_server_command(settings)
    print(f"backend {choice.backend} ({choice.reason}): {' '.join(command)}", flush=True)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise UserError(f"{command[0]} does not start: {error.strerror}") from error


def run_local_server(choice: Choice, settings: ServerSettings, arguments: argparse.Namespace) -> int:
    """Runs the local server until SIGTERM or Ctrl-C, then lets running requests end.

    Raises:
        UserError: The port is in use, or no version can be loaded.
        UsageError: There are flags that only the real server has.
    """
    if settings.extra_arguments:
        raise UsageError(
            f"the local server (used since: {choice.reason}) does not know {settings.extra_arguments[0]}; "
            "leave out what follows --"
        )
    print(
        f"backend local ({choice.reason}): for development and tests; production is TensorFlow Serving. REST is not "
        f"served by the local server yet; nothing listens at --rest_api_port {settings.rest_api_port}",
        flush=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    asked_to_stop = threading.Event()
    _stop_on_signals(asked_to_stop)
    from serving.local_server import DEFAULT_MAX_WORKERS, LocalServer

    poll_wait_seconds = arguments.file_system_poll_wait_seconds
    server = LocalServer(
        settings.model_name,
        settings.base_path,
        settings.port,
        host=settings.host,
        max_workers=arguments.grpc_max_threads or DEFAULT_MAX_WORKERS,
        max_message_mebibytes=arguments.max_message_mebibytes,
        max_image_megapixels=arguments.max_image_megapixels,
        poll_wait_seconds=1.0 if poll_wait_seconds is None else poll_wait_seconds,
        wait_for_model=arguments.wait_for_model,
        grace_seconds=arguments.drain_seconds,
        intra_op_threads=arguments.tensorflow_intra_op_parallelism or 0,
        inter_op_threads=arguments.tensorflow_inter_op_parallelism or 0,
    )
    server.start()
    state = f"version {server.version}" if server.version is not None else "no version yet"
    print(f"ready: model {server.model_name}, {state}, gRPC at {server.address}", flush=True)
    asked_to_stop.wait()
    print("stopping: no new requests; running ones may end", flush=True)
    if not server.stop():
        print(f"some requests took longer than --drain_seconds {arguments.drain_seconds} and were cut off", flush=True)
        sys.stdout.flush()
        os._exit(EXIT_DONE)  # the interpreter would wait for their threads, which nothing else can end
    print("stopped", flush=True)
    return EXIT_DONE


def _stop_on_signals(asked_to_stop: threading.Event) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        asked_to_stop.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def main(argv: Sequence[str] | None = None) -> int:
    """Starts a server; returns the exit code once the local server has stopped."""
    arguments = build_parser().parse_args(argv)
    settings = settings_of(arguments)
    choice = choose_backend(arguments.backend)
    if choice.backend == LOCAL:
        return run_local_server(choice, settings, arguments)
    return start_real_server(choice, settings)


if __name__ == "__main__":
    run_command(main)
