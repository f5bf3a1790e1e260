"""The launcher: which server it starts, with which words, and what it says when it cannot.

`tensorflow_model_server` and docker's daemon are not to be had where tests run; programs of the same names that record
their words stand in for them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UserError, run_command
from serving.operating.backends import choose_backend
from serving.operating.ports import check_port_free
from serving.serve import main

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDER = """#!{python}
import json, sys
with open({record!r}, "a") as file:
    file.write(json.dumps(sys.argv) + "\\n")
if sys.argv[1:2] == ["info"]:
    {info}
"""


@dataclass
class Answer:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def base_path(tmp_path) -> Path:
    """A folder that looks like a model's; no stand-in reads what is in it."""
    folder = tmp_path / "models with space"
    (folder / "3").mkdir(parents=True)
    (folder / "3" / "saved_model.pb").touch()
    return folder


class Programs:
    """A PATH with nothing on it but stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self.record = folder / "calls.jsonl"

    def add(self, name: str, info: str = "pass") -> None:
        program = self.folder / name
        program.write_text(RECORDER.format(python=sys.executable, record=str(self.record), info=info))
        program.chmod(0o755)

    def calls(self) -> list[list[str]]:
        if not self.record.exists():
            return []
        calls = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [[Path(words[0]).name, *words[1:]] for words in calls]


@pytest.fixture
def programs(tmp_path) -> Programs:
    return Programs(tmp_path)


@pytest.fixture
def free_ports() -> tuple[int, int]:
    with socket.create_server(("localhost", 0)) as one, socket.create_server(("localhost", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def refusal(programs, monkeypatch, capsys) -> Iterator[Callable[..., Answer]]:
    """Runs the command in this process, which is enough for what it refuses to do."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(*flags):
        monkeypatch.setenv("PATH", str(programs.folder))
        with pytest.raises(SystemExit) as end:
            run_command(main, list(map(str, flags)))
        said = capsys.readouterr()
        return Answer(end.value.code, said.out, said.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def serve(programs, *flags, timeout_seconds=60):
    return subprocess.run(
        [sys.executable, "-m", "serving.serve", *map(str, flags)],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": str(programs.folder)},
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def test_the_real_server_on_the_path_is_started_on_the_same_flags(programs, base_path, free_ports):
    programs.add("tensorflow_model_server")
    programs.add("docker", "print('27.0')")
    port, rest_port = free_ports
    answer = serve(
        programs,
        *("--model_name", "detector", "--model-base-path", base_path, "--port", port, "--rest_api_port", rest_port),
        *("--file_system_poll_wait_seconds", 5, "--", "--enable_batching=true"),
    )
    assert answer.returncode == 0, answer.stderr
    assert programs.calls() == [
        [
            "tensorflow_model_server",
            f"--port={port}",
            f"--rest_api_port={rest_port}",
            "--model_name=detector",
            f"--model_base_path={base_path}",
            "--file_system_poll_wait_seconds=5",
            "--enable_batching=true",
        ]
    ]
    (line,) = answer.stdout.splitlines()
    assert line.startswith(f"backend tensorflow_model_server (found at {programs.folder}")


def test_docker_is_next_where_its_daemon_runs(programs, base_path, free_ports):
    programs.add("docker", "print('27.0')")
    port, rest_port = free_ports
    flags = ["--model_name", "detector", "--model_base_path", base_path, "--port", port, "--rest_api_port", rest_port]
    answer = serve(programs, *flags)
    assert answer.returncode == 0, answer.stderr
    assert programs.calls()[-1] == [
        *("docker", "run", "--rm", "--init", "-p", f"127.0.0.1:{port}:8500", "-p", f"127.0.0.1:{rest_port}:8501"),
        *("-v", f"{base_path}:/models/detector:ro", "-e", "MODEL_NAME=detector", "-e", "MODEL_BASE_PATH=/models"),
        "tensorflow/serving",
    ]
    assert "tensorflow_model_server is not on the PATH, and docker runs" in answer.stdout


@pytest.mark.parametrize("info", ["sys.exit(1)", "pass", "import time; time.sleep(60)"])
def test_docker_without_a_daemon_is_passed_over(programs, monkeypatch, info):
    programs.add("docker", info)
    monkeypatch.setenv("PATH", str(programs.folder))
    started = time.monotonic()
    choice = choose_backend("auto")
    assert choice.backend == "local" and "tensorflow_model_server is not on the PATH, and docker" in choice.reason
    assert time.monotonic() - started < 20


def test_asking_for_docker_without_a_daemon_is_an_error(programs, monkeypatch):
    programs.add("docker", "sys.exit(1)")
    monkeypatch.setenv("PATH", str(programs.folder))
    with pytest.raises(UserError, match="docker's daemon does not run; start it, or use --backend local"):
        choose_backend("docker")


def test_a_backend_that_is_not_there_is_one_line_and_exit_1(refusal, base_path):
    for backend, message in (
        ("tensorflow_model_server", "tensorflow_model_server is not on the PATH"),
        ("docker", "docker is not on the PATH"),
    ):
        answer = refusal("--model_name", "detector", "--model_base_path", base_path, "--backend", backend)
        assert answer.returncode == 1
        assert answer.stderr.startswith(f"error: {message}") and answer.stderr.count("\n") == 1


@pytest.mark.parametrize("backend", ["local", "tensorflow_model_server", "docker"])
def test_a_port_in_use_is_one_line_and_exit_1(programs, refusal, base_path, backend):
    programs.add("tensorflow_model_server")
    programs.add("docker", "print('27.0')")
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ["--model_name", "detector", "--model_base_path", base_path, "--backend", backend, "--port", port]
        # Once as a person meets it, in a process of its own.
        answer = serve(programs, *flags) if backend == "local" else refusal(*flags)
        assert answer.returncode == 1
        assert answer.stderr == f"error: port {port} is in use; choose another with --port\n"
        if backend != "local":
            flags[-1] = 0
            answer = refusal(*flags)
            assert answer.returncode == 2 and "--port 0 needs --backend local" in answer.stderr
            with socket.create_server(("localhost", 0)) as other:
                free_port = other.getsockname()[1]
            answer = refusal(*flags[:-2], "--port", free_port, "--rest_api_port", port)
            assert answer.stderr == f"error: port {port} is in use; choose another with --rest_api_port\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no folder"),
        (lambda path: path.mkdir(), "has no version folder with a saved_model.pb"),
        (lambda path: (path / "1" / "variables").mkdir(parents=True), "has no version folder with a saved_model.pb"),
        (lambda path: (path.mkdir(), (path / "saved_model.pb").touch()), "is itself a SavedModel; move it into"),
    ],
)
def test_a_base_path_without_a_version_is_one_line_and_exit_1(refusal, tmp_path, make, message):
    path = tmp_path / "base"
    make(path)
    answer = refusal("--model_name", "detector", "--model_base_path", path, "--backend", "local")
    assert answer.returncode == 1
    assert message in answer.stderr and answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--port", "70000"], 2, "70000 is not a port"),
        (["--backend", "tpu"], 2, "invalid choice"),
        (["--model_name", "../up"], 1, "model name '../up': use letters, digits"),
        (["--backend", "local", "--host", "no.such.host.invalid"], 2, "is not an address"),
        (["--backend", "local", "--", "--enable_batching"], 2, "does not know --enable_batching"),
        (["--backend", "local", "enable_batching"], 2, "'enable_batching' is not a flag"),
    ],
)
def test_mistakes_in_flags_are_one_line(refusal, base_path, flags, code, message):
    answer = refusal("--model_name", "detector", "--model_base_path", base_path, *flags)
    assert answer.returncode == code
    assert message in answer.stderr and "Traceback" not in answer.stderr
    assert answer.stderr.splitlines()[-1].count("error: ") == 1


def test_a_colon_that_docker_cannot_mount_is_said(programs, refusal, tmp_path, free_ports):
    programs.add("docker", "print('27.0')")
    version = tmp_path / "a:b" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    flags = ["--model_name", "d", "--model_base_path", version.parent, "--port", free_ports[0]]
    answer = refusal(*flags, "--rest_api_port", free_ports[1])
    assert answer.returncode == 1 and "docker cannot mount" in answer.stderr


def test_waiting_for_a_model_passes_an_empty_base_path_on(programs, tmp_path, free_ports):
    programs.add("tensorflow_model_server")
    flags = ["--model_name", "detector", "--model_base_path", tmp_path / "soon", "--wait_for_model"]
    answer = serve(programs, *flags, "--port", free_ports[0], "--rest_api_port", free_ports[1])
    assert answer.returncode == 0 and f"--model_base_path={tmp_path / 'soon'}" in programs.calls()[0]


def test_a_listener_at_all_addresses_is_seen_from_localhost():
    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(UserError, match="is in use"):
        check_port_free("localhost", taken.getsockname()[1], "--port")


def test_the_local_server_says_what_it_is(server):
    (line,) = [line for line in server.lines if line.startswith("backend local")]
    assert "for development and tests; production is TensorFlow Serving" in line
