"""What can serve a model here: the real server, its container, or the local server; and their command lines."""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.command_line import UsageError, UserError

AUTO = "auto"
MODEL_SERVER = "tensorflow_model_server"
DOCKER = "docker"
LOCAL = "local"
BACKENDS = (AUTO, MODEL_SERVER, DOCKER, LOCAL)

SECONDS_FOR_DOCKER = 5.0
MODELS_IN_CONTAINER = "/models"
GRPC_PORT_IN_CONTAINER = 8500
REST_PORT_IN_CONTAINER = 8501


@dataclass(frozen=True)
class ServerSettings:
    """What a person asked for, whichever server it is for.

    Attributes:
        model_name: What requests call the model.
        base_path: The folder of version folders, absolute.
        port: For gRPC.
        rest_api_port: For REST; 0 for none.
        host: The address to listen at, where the server can be told one.
        docker_image: The image of the container.
        server_flags: Flags of `tensorflow_model_server` that were given, name -> value; its own defaults for others.
        extra_arguments: Words handed to it as they are.
    """

    model_name: str
    base_path: Path
    port: int
    rest_api_port: int
    host: str
    docker_image: str
    server_flags: dict[str, str] = field(default_factory=dict)
    extra_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A backend, and why it is this one.

    Attributes:
        backend: One of `BACKENDS` but `auto`.
        reason: In words, for a line on the terminal.
    """

    backend: str
    reason: str


def choose_backend(wanted: str) -> Choice:
    """Picks what serves.

    Args:
        wanted: One of `BACKENDS`; `auto` takes the first of the real server, its container, the local server.

    Raises:
        UserError: What is wanted is not to be had on this machine.
    """
    if wanted == LOCAL:
        return Choice(LOCAL, "asked for")
    if wanted in (AUTO, MODEL_SERVER):
        program = shutil.which(MODEL_SERVER)
        if program is not None:
            return Choice(MODEL_SERVER, f"found at {program}")
        if wanted == MODEL_SERVER:
            raise UserError(
                f"{MODEL_SERVER} is not on the PATH; install it, or use --backend docker or --backend local"
            )
    trouble = docker_trouble()
    if not trouble:
        return Choice(
            DOCKER, "asked for" if wanted == DOCKER else f"{MODEL_SERVER} is not on the PATH, and docker runs"
        )
    if wanted == DOCKER:
        raise UserError(f"{trouble}; start it, or use --backend local")
    return Choice(LOCAL, f"{MODEL_SERVER} is not on the PATH, and {trouble}")


def docker_trouble() -> str:
    """Returns why docker cannot be used, an empty text if it can; takes five seconds at most."""
    if shutil.which("docker") is None:
        return "docker is not on the PATH"
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=SECONDS_FOR_DOCKER, check=False)
    except subprocess.TimeoutExpired:
        return f"docker did not answer within {SECONDS_FOR_DOCKER:g} s"
    except OSError as error:
        return f"docker cannot be run ({error.strerror})"
    return "" if answer.returncode == 0 and answer.stdout.strip() else "docker's daemon does not run"


def model_server_command(settings: ServerSettings) -> list[str]:
    """Returns the words that start `tensorflow_model_server`."""
    return [
        MODEL_SERVER,
        f"--port={settings.port}",
        f"--rest_api_port={settings.rest_api_port}",
        f"--model_name={settings.model_name}",
        f"--model_base_path={settings.base_path}",
        *_server_flags(settings),
    ]


def docker_command(settings: ServerSettings) -> list[str]:
    """Returns the words that start TensorFlow Serving's container, with the base path mounted read-only.

    Raises:
        UserError: The base path has a colon, which `docker run -v` cannot take.
    """
    if ":" in str(settings.base_path):
        raise UserError(f"docker cannot mount {settings.base_path}, since its name has a ':'; rename the folder")
    address = "127.0.0.1" if settings.host == "localhost" else settings.host
    ports = ["-p", f"{address}:{settings.port}:{GRPC_PORT_IN_CONTAINER}"]
    if settings.rest_api_port:
        ports += ["-p", f"{address}:{settings.rest_api_port}:{REST_PORT_IN_CONTAINER}"]
    mount = f"{settings.base_path}:{MODELS_IN_CONTAINER}/{settings.model_name}:ro"
    # The image's entry point passes --port, --rest_api_port, --model_name and --model_base_path by itself.
    environment = ["-e", f"MODEL_NAME={settings.model_name}", "-e", f"MODEL_BASE_PATH={MODELS_IN_CONTAINER}"]
    return [
        *("docker", "run", "--rm", *ports, "-v", mount, *environment),
        settings.docker_image,
        *_server_flags(settings),
    ]


def check_port_free(host: str, port: int, flag: str) -> None:
    """Checks that nothing listens at `port`.

    Args:
        host: The address to be listened at.
        port: The port; 0 is always free.
        flag: The flag that chooses it, for the message.

    Raises:
        UserError: It is in use, or not to be had.
        UsageError: `host` is no address of this machine.
    """
    if port == 0:
        return
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"--host {host} is not an address: {error}") from error
    for family, kind, protocol, _, address in addresses:
        # An address family that this machine lacks is not one that something else could listen at.
        with contextlib.suppress(_MissingFamilyError), _socket(family, kind, protocol) as listener:
            try:
                listener.bind(address)
                listener.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise UserError(f"port {port} is in use; choose another with {flag}") from error
                if error.errno == errno.EACCES:
                    raise UserError(f"port {port} needs privileges; choose one from 1024 with {flag}") from error
                if error.errno != errno.EADDRNOTAVAIL or host != "localhost":
                    raise UserError(f"cannot listen at {host}:{port}: {error.strerror}; see --host") from error


class _MissingFamilyError(Exception):
    """This machine has no such address family."""


def _socket(family: int, kind: int, protocol: int) -> socket.socket:
    try:
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _MissingFamilyError from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports of closed connections count as free
    return listener


def _server_flags(settings: ServerSettings) -> list[str]:
    flags = [f"--{name}={value}" for name, value in settings.server_flags.items()]
    return [*flags, *settings.extra_arguments]
