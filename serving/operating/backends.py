"""Backends that can serve a model here: the real server, its container, or the local server; their command lines."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.runtime.command_line import UsageError, UserError
from serving.operating.model_server_config import ServedModel

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
    """Settings of a server, for any backend.

    Attributes:
        models: What is served: one model by its name and base path, or those of `model_config_file`.
        model_config_file: Where they come from; None for flags.
        port: For gRPC.
        rest_api_port: For REST; 0 for none.
        host: The address to listen at, where the server has a flag for it.
        docker_image: The image of the container.
        config_files: Other files that flags name, absolute.
        server_flags: Flags of `tensorflow_model_server` that were given, name -> value, without those of the fields
            above; its own defaults hold for others.
        extra_arguments: Words handed to it as they are.
    """

    models: tuple[ServedModel, ...]
    model_config_file: Path | None
    port: int
    rest_api_port: int
    host: str
    docker_image: str
    config_files: tuple[Path, ...] = ()
    server_flags: dict[str, str] = field(default_factory=dict)
    extra_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A backend, and why it is this one.

    Attributes:
        backend: One of `BACKENDS` but `auto`.
        reason: Why, for a line on the terminal.
    """

    backend: str
    reason: str


def choose_backend(wanted: str) -> Choice:
    """Picks what serves.

    Args:
        wanted: One of `BACKENDS`; `auto` takes the first of the real server, its container, the local server.

    Raises:
        UserError: The chosen backend is not available on this machine.
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
        *_model_flags(settings),
        *_server_flags(settings),
    ]


def docker_command(settings: ServerSettings) -> list[str]:
    """Returns the words that start TensorFlow Serving's container, with what it reads mounted read-only.

    A model given by flags is mounted where the image expects it; with a `model_config_file`, everything keeps its path.

    Raises:
        UserError: A path has a colon, which `docker run -v` cannot take.
        UsageError: A socket is asked for, which would be inside the container.
    """
    if "grpc_socket_path" in settings.server_flags:
        raise UsageError("--grpc_socket_path would be a path in the container; leave it out, or use another --backend")
    address = "127.0.0.1" if settings.host == "localhost" else settings.host
    ports = ["-p", f"{address}:{settings.port}:{GRPC_PORT_IN_CONTAINER}"]
    if settings.rest_api_port:
        ports += ["-p", f"{address}:{settings.rest_api_port}:{REST_PORT_IN_CONTAINER}"]
    mounts, environment, flags = {}, [], []
    if settings.model_config_file is None:
        for model in settings.models:  # one, or none where only the version is wanted
            mounts[model.base_path] = f"{MODELS_IN_CONTAINER}/{model.name}"
            # The image's entry point passes --port, --rest_api_port, --model_name and --model_base_path by itself.
            environment = ["-e", f"MODEL_NAME={model.name}", "-e", f"MODEL_BASE_PATH={MODELS_IN_CONTAINER}"]
    else:
        # The folder, not the file: a file that is replaced by a rename would stay what it was in the container.
        for path in (str(settings.model_config_file.parent), *(model.base_path for model in settings.models)):
            mounts[path] = path
        flags = _model_flags(settings)
    for file in settings.config_files:
        mounts[str(file)] = str(file)
    words: list[str] = []
    for path, inside in mounts.items():
        if ":" in path:
            raise UserError(f"docker cannot mount {path}, since its name has a ':'; rename the folder")
        words += ["-v", f"{path}:{inside}:ro"]
    return [
        # --init: the server has no handler for SIGTERM, and as process 1 would not hear it.
        *("docker", "run", "--rm", "--init", *ports, *words, *environment),
        settings.docker_image,
        *flags,
        *_server_flags(settings),
    ]


def _model_flags(settings: ServerSettings) -> list[str]:
    if settings.model_config_file is not None:
        return [f"--model_config_file={settings.model_config_file}"]
    # No model is wanted where only the version is.
    return [
        word
        for model in settings.models
        for word in (f"--model_name={model.name}", f"--model_base_path={model.base_path}")
    ]


def _server_flags(settings: ServerSettings) -> list[str]:
    flags = [f"--{name}={value}" for name, value in settings.server_flags.items()]
    return [*flags, *settings.extra_arguments]
