"""Steps run as processes of their own: their output, exit codes, and what signals do."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.step_runner import StepFailedError, StepRunner
from data_prep.runtime.step_stamp import Step

ROOT = Path(__file__).resolve().parents[3]
FAKE = """
import os, signal, sys, time
what, folder = sys.argv[1], sys.argv[2]
if what == "say":
    print("said", os.environ["PYTHONPATH"].split(os.pathsep)[0], sys.stderr.isatty())
elif what == "exit":
    sys.exit(int(folder))
elif what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif what == "wait":
    def note(number, frame):
        with open(folder + "/signals", "a") as file:
            file.write(f"{number} ")
    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    with open(folder + "/started", "w") as file:
        file.write(str(os.getpid()))
    while not os.path.exists(folder + "/signals"):
        time.sleep(0.01)
    time.sleep(0.3)  # it ends in order, and has time to get a second signal
    with open(folder + "/ended", "w"):
        sys.exit(1)
"""
PARENT = """
import sys
from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.step_runner import StepRunner
from data_prep.runtime.command_line import run_command

def main(words):
    StepRunner(2).run(CommandStep("waiting", "fake_step", sys.argv[1:]))
    return 0

run_command(main)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds a module fake_step that Python finds, and is where it leaves its marks."""
    (tmp_path / "fake_step.py").write_text(FAKE)
    (tmp_path / "parent.py").write_text(PARENT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path


def step(*words: object, title: str = "a thing") -> CommandStep:
    return CommandStep(title, "fake_step", [str(word) for word in words])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_step_shows_its_command_and_its_output(folder: Path, capfd: pytest.CaptureFixture[str]):
    runner = StepRunner(2)
    runner.run(step("say", "a b", title="first things"))
    runner.run(step("say", "c"))
    output = capfd.readouterr().out
    assert "== step 1 of 2: first things\npython -m fake_step say 'a b'\nsaid " + str(ROOT) in output
    assert output.index("said") < output.index("== step 2 of 2")
    lines = runner.summary_lines()
    assert lines[0].startswith("2 steps in ")
    assert "first things (fake_step)" in lines[1]


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_steps_exit_code_is_carried_over_in_one_line(folder: Path, code: int):
    with pytest.raises(StepFailedError) as failed:
        StepRunner().run(step("exit", code))
    assert failed.value.exit_code == code
    message = str(failed.value)
    assert "\n" not in message
    assert f"step 1, a thing, ended with exit code {code}" in message
    assert "the same command goes on" in message
    assert message.endswith(f"it was: python -m fake_step exit {code}")
    assert ("--max_failures" in message) == (code == 3)


def test_a_step_that_is_killed_ends_with_1_and_says_by_what(folder: Path):
    with pytest.raises(StepFailedError, match="was ended by SIGKILL") as failed:
        StepRunner().run(step("kill", "-"))
    assert failed.value.exit_code == 1


def test_a_step_with_a_stamp_is_passed_over_while_its_files_stay(folder: Path, capfd: pytest.CaptureFixture[str]):
    read = folder / "read.txt"
    read.write_text("1")
    stamp = Step("say", {}, {"read": read}, [read])
    stamped = CommandStep("say", "fake_step", ["say", "x"], stamp)
    for _ in range(2):
        StepRunner().run(stamped)
    assert capfd.readouterr().out.count("said") == 1
    read.write_text("22")
    StepRunner().run(stamped)
    assert capfd.readouterr().out.count("said") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_is_passed_on_and_the_step_waited_for(folder: Path, number: int, code: int):
    parent = subprocess.Popen(
        [sys.executable, "parent.py", "wait", str(folder)],
        cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for((folder / "started").exists)
    parent.send_signal(number)
    _, error = parent.communicate(timeout=20)
    assert parent.returncode == code
    assert (folder / "ended").exists()
    assert (folder / "signals").read_text() == f"{int(number)} "
    assert "goes on from here" in error
    assert error.count("\n") == 1


def test_a_step_does_not_outlive_its_parent(folder: Path):
    parent = subprocess.Popen([sys.executable, "parent.py", "wait", str(folder)], cwd=folder)
    started = folder / "started"
    wait_for(lambda: started.exists() and started.read_text() != "")
    child = int(started.read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    assert not (folder / "ended").exists()


def test_on_a_terminal_a_step_has_it_and_gets_one_ctrl_c(folder: Path):
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-c", _ON_TERMINAL, str(folder)])
    wait_for((folder / "started").exists)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(process, 0)
    output = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130
    assert "True" in output  # it wrote to a terminal
    assert (folder / "signals").read_text() == f"{int(signal.SIGINT)} "


_ON_TERMINAL = PARENT.replace(
    "    StepRunner(2)", '    StepRunner().run(CommandStep("x", "fake_step", ["say", "x"]))\n    StepRunner(2)'
).replace("sys.argv[1:]", '["wait", sys.argv[1]]')
