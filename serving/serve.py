"""Starts a server for an exported detector, on the flags of `tensorflow_model_server`.

The real server where it is installed, its container where docker runs, and otherwise the local server of this project.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from types import FrameType
from typing import TYPE_CHECKING

from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, UserError, run_command
from serving.local_server.batching_options import BatchingOptions, batching_options
from serving.local_server.listening import channel_arguments
from serving.local_server.options import LoadingOptions, RestOptions, ServerOptions
from serving.operating.backends import (
    DOCKER,
    LOCAL,
    Choice,
    ServerSettings,
    choose_backend,
    docker_command,
    model_server_command,
)
from serving.operating.ports import check_port_free
from serving.operating.server_flags import add_own_flags, add_server_flags, flags_without_effect, settings_of
from serving.wire.server_files import BatchingParameters, MonitoringConfig, SSLConfig, read_server_file

if TYPE_CHECKING:
    from serving.local_server import LocalServer

DESCRIPTION = """Serves the newest version of a model, BASE/1, BASE/2, ..., over gRPC and REST.

--backend auto takes the first of these that is there:
  tensorflow_model_server   on the PATH: is started in place of this process, on the same flags
  docker                    with a running daemon: starts the image tensorflow/serving
  local                     a server in Python, for development and tests; production is TensorFlow Serving

The first two get the flags as they are. The local server takes the same files and the same flags: it does what they
ask, says which of them change nothing there, and refuses the others."""
EXAMPLE = """  python -m serving.serve --model_name detector --model_base_path exported/detector
  python -m serving.serve --model_config_file models.config --enable_batching \\
      --batching_parameters_file batching.config --monitoring_config_file monitoring.config
  python -m serving.serve --model_name detector --model_base_path exported/detector --backend docker \\
      -- --v=1        (what follows -- goes to tensorflow_model_server as it is)"""
ALL_ADDRESSES = "0.0.0.0"
DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"

_M_ARENA_MAX = -8  # malloc.h


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=DESCRIPTION, example=EXAMPLE)
    add_server_flags(parser)
    add_own_flags(parser)
    return parser


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
    without_effect = flags_without_effect(arguments, choice.reason)
    if arguments.version:
        print(versions_text())
        return EXIT_DONE
    print(f"backend local ({choice.reason}): for development and tests; production is TensorFlow Serving", flush=True)
    for line in without_effect:
        print(line, flush=True)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    bound_arenas()
    asked_to_stop = threading.Event()
    _stop_on_signals(asked_to_stop)
    server = local_server_of(settings, arguments)
    server.start()
    if server.rest_address:
        name = settings.models[0].name
        print(f"REST at {server.rest_address}/v1/models/{name}:predict", flush=True)
    states = (
        f"model {name}, {f'version {version}' if version is not None else 'no version yet'}"
        for name, version in server.versions().items()
    )
    print(f"ready: {'; '.join(states)}, gRPC at {server.address}", flush=True)
    asked_to_stop.wait()
    print("stopping: no new requests; running ones may end", flush=True)
    if not server.stop():
        print(f"some requests took longer than --drain_seconds {arguments.drain_seconds} and were cut off", flush=True)
        sys.stdout.flush()
        os._exit(EXIT_DONE)  # the interpreter would wait for their threads, which nothing else can end
    print("stopped", flush=True)
    return EXIT_DONE


def versions_text() -> str:
    """Returns what `--version` prints, without TensorFlow's import."""
    names = ("tensorflow-serving-api", "tensorflow", "grpcio")
    return "\n".join(
        ["local server, for development and tests", *(f"{name} {metadata.version(name)}" for name in names)]
    )


def local_server_of(settings: ServerSettings, arguments: argparse.Namespace) -> LocalServer:
    """Returns the local server that the flags ask for, not started yet.

    Raises:
        UserError: A configuration file cannot be read.
        UsageError: It asks for what the local server cannot do.
    """
    from serving.local_server import LocalServer

    options = ServerOptions(
        host=settings.host,
        port=settings.port,
        socket_path=arguments.grpc_socket_path,
        channel_arguments=channel_arguments(arguments.grpc_channel_arguments or ""),
        answer_in_one_piece=bool(arguments.enable_serialization_as_tensor_content),
        ssl_config=read_server_file(arguments.ssl_config_file, SSLConfig) if arguments.ssl_config_file else None,
        max_workers=arguments.grpc_max_threads,
        max_message_mebibytes=arguments.max_message_mebibytes,
        max_request_memory_mebibytes=arguments.max_request_memory_mebibytes,
        max_image_megapixels=arguments.max_image_megapixels,
        grace_seconds=arguments.drain_seconds,
        rest=_rest_options(settings, arguments),
        batching=_batching(arguments),
        loading=_loading_options(settings, arguments),
    )
    return LocalServer(settings.models, options)


def _loading_options(settings: ServerSettings, arguments: argparse.Namespace) -> LoadingOptions:
    poll_wait_seconds = arguments.file_system_poll_wait_seconds
    iterations = arguments.num_request_iterations_for_warmup or 1
    intra_op_threads, inter_op_threads = _threads(arguments)
    return LoadingOptions(
        poll_wait_seconds=1.0 if poll_wait_seconds is None else poll_wait_seconds,
        wait_for_model=arguments.wait_for_model,
        allow_labels_for_unavailable=bool(arguments.allow_version_labels_for_unavailable_models),
        model_config_file=settings.model_config_file,
        model_config_poll_wait_seconds=arguments.model_config_file_poll_wait_seconds or 0,
        warm_up_iterations=iterations if arguments.enable_model_warmup in (None, True) else 0,
        intra_op_threads=intra_op_threads,
        inter_op_threads=inter_op_threads,
    )


def _threads(arguments: argparse.Namespace) -> tuple[int, int]:
    """Returns the threads of one op and the ops at a time, 0 for TensorFlow's choice: as in the real server.

    Raises:
        UsageError: All three flags say something.
    """
    session = arguments.tensorflow_session_parallelism or 0
    intra_op, inter_op = arguments.tensorflow_intra_op_parallelism or 0, arguments.tensorflow_inter_op_parallelism or 0
    if session and intra_op and inter_op:
        raise UsageError(
            "give --tensorflow_session_parallelism, or --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism, but not all three"
        )
    return (intra_op, inter_op) if intra_op or inter_op else (session, session)


def _rest_options(settings: ServerSettings, arguments: argparse.Namespace) -> RestOptions | None:
    port, metrics_path = _rest_port(settings, arguments), _metrics_path(arguments)
    if port is None:
        return None
    options = RestOptions(port, metrics_path)
    return replace(
        options,
        threads=arguments.rest_api_num_threads or options.threads,
        allow_other_origins=bool(arguments.rest_api_enable_cors_support),
        request_seconds=(arguments.rest_api_timeout_in_ms or options.request_seconds * 1000) / 1000,
    )


def _rest_port(settings: ServerSettings, arguments: argparse.Namespace) -> int | None:
    if arguments.rest_api_port is not None:
        if arguments.rest_api_port == settings.port != 0:
            raise UsageError(f"--port and --rest_api_port are both {settings.port}; they need two ports")
        return arguments.rest_api_port or None
    if settings.port == 0:
        return None
    try:
        check_port_free(settings.host, settings.rest_api_port, "--rest_api_port")
    except UserError as error:
        # Not asked for: a second server on this machine starts without a warning about REST.
        print(f"REST is not served: {error}", flush=True)
        return None
    return settings.rest_api_port


def _metrics_path(arguments: argparse.Namespace) -> str | None:
    if arguments.monitoring_config_file is None:
        return None
    config = read_server_file(arguments.monitoring_config_file, MonitoringConfig).prometheus_config
    return (config.path or DEFAULT_METRICS_PATH) if config.enable else None


def _batching(arguments: argparse.Namespace) -> BatchingOptions | None:
    if not arguments.enable_batching:
        return None
    if arguments.batching_parameters_file is None:
        return BatchingOptions()
    return batching_options(read_server_file(arguments.batching_parameters_file, BatchingParameters))


def bound_arenas() -> bool:
    """Lets glibc keep one arena a core in place of eight; returns whether that was done.

    Each arena keeps what its threads have freed. In a minute of 100 clients with messages of 60 MB among them, a
    server's memory wandered between 782 and 846 MB with sixteen arenas, and rose from 780 to 792 MB with two, at the
    same speed. To be called before there are many threads; `MALLOC_ARENA_MAX` in the environment goes before it, and a
    system without glibc is left as it is.
    """
    if "MALLOC_ARENA_MAX" in os.environ or os.name != "posix":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, os.cpu_count() or 1) == 1


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
