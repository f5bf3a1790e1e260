"""What can serve a model here: the real server, its container, or the local server; and their command lines."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.command_line import UserError

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
        reason = "asked for" if wanted == DOCKER else f"{MODEL_SERVER} is not on the PATH, and docker runs"
        return Choice(DOCKER, reason)
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


def _server_flags(settings: ServerSettings) -> list[str]:
    flags = [f"--{name}={value}" for name, value in settings.server_flags.items()]
    return [*flags, *settings.extra_arguments]
