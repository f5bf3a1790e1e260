"""The trainings of a sweep: each row with each seed in a process of its own, some at a time, each once."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.schema.pipeline_file import CONFIG_NAME
from data_prep.runtime.atomic_files import write_json, write_text
from train.experiments.sweep_rows import ConfiguredRow

RESULT_NAME, LOG_NAME, MODEL_NAME = "result.json", "train.log", "model"
AP, AP50 = "DetectionBoxes_Precision/mAP", "DetectionBoxes_Precision/mAP@.50IOU"
_PROCESS = "data_prep.preparing.step_process"
_ROOT = str(Path(__file__).resolve().parents[2])
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_SAVE = 60.0


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        row: What is trained.
        seed: Of batches and initial weights.
        folder: With its config, log, model and result.
    """

    row: ConfiguredRow
    seed: int
    folder: Path

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.row.row.name}, seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Result:
    """What a training came to.

    Attributes:
        ap: COCO's AP at the last step, on the evaluation input.
        ap50: The same at an IoU of 0.5.
        steps: How many were made.
        cpu_seconds: Of its process, user and system, evaluation and start included.
    """

    ap: float
    ap50: float
    steps: int
    cpu_seconds: float


@dataclasses.dataclass
class _Running:
    run: Run
    process: subprocess.Popen[bytes]
    cores: frozenset[int]


def runs_of(rows: Sequence[ConfiguredRow], seeds: Sequence[int], folder: Path) -> list[Run]:
    """Lists the trainings, all rows of the first seed before the second's."""
    return [Run(row, seed, folder / row.folder / f"seed-{seed}") for seed in seeds for row in rows]


def result_of(run: Run) -> Result | None:
    """Returns what a training came to, or None where it has not ended yet."""
    try:
        return Result(**json.loads((run.folder / RESULT_NAME).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def run_all(
    runs: Sequence[Run],
    *,
    at_a_time: int,
    words: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> list[Run]:
    """Trains what has no result yet, and evaluates each at its end.

    A training that was stopped or killed goes on from its last checkpoint. Where several are made at a time, the cores
    are divided among them, on systems where that can be asked for.

    Args:
        runs: All of the sweep.
        at_a_time: How many processes.
        words: Flags for `train.train` beside those of a run.
        say: Told a line a training.

    Returns:
        Those that failed; their logs say why.

    Raises:
        KeyboardInterrupt: Ctrl-C; the trainings were asked to save and stop.
    """
    waiting = [run for run in runs if result_of(run) is None]
    if len(waiting) < len(runs):
        say(f"{len(runs) - len(waiting)} of {len(runs)} trainings are there already")
    free = _shares_of_cores(at_a_time)
    running: list[_Running] = []
    failed: list[Run] = []
    with _stopped_at_the_end(running):
        while waiting or running:
            while waiting and free:
                running.append(_start(waiting.pop(0), free.pop(0), words))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            for one in list(running):
                ended = _ended(one)
                if ended is None:
                    continue
                running.remove(one)
                free.append(one.cores)
                code, cpu_seconds = ended
                if code:
                    failed.append(one.run)
                    say(f"{one.run.title}: FAILED with exit code {code}; see {one.run.folder / LOG_NAME}")
                else:
                    result = _keep_result(one.run, cpu_seconds)
                    left = len(waiting) + len(running)
                    say(f"{one.run.title}: AP {result.ap:.3f}, AP@.50 {result.ap50:.3f}; {left} trainings left")
    return failed


def _start(run: Run, cores: frozenset[int], words: Sequence[str]) -> _Running:
    config = run.folder / CONFIG_NAME
    write_text(config, run.row.text)
    command = [sys.executable, "-m", _PROCESS, str(os.getpid()), "train.train"]
    command += ["--pipeline_config_path", str(config), "--model_dir", str(run.folder / MODEL_NAME)]
    command += ["--seed", str(run.seed), "--checkpoint_max_to_keep", "1", "--record_summaries=false", *words]
    paths = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, paths] if paths else [_ROOT])}
    with (run.folder / LOG_NAME).open("ab") as log:
        # In a session of its own: a terminal's Ctrl-C would reach it beside our asking it to stop, and told twice, a
        # training ends without saving.
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    if cores:
        # TensorFlow, which the process has not come to yet, makes as many threads as it has cores.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(process.pid, cores)
    return _Running(run, process, cores)


def _ended(one: _Running) -> tuple[int, float] | None:
    """The exit code and the CPU seconds of a process that has ended."""
    pid, status, usage = os.wait4(one.process.pid, os.WNOHANG)
    if not pid:
        return None
    one.process.returncode = os.waitstatus_to_exitcode(status)
    return one.process.returncode, usage.ru_utime + usage.ru_stime


def _keep_result(run: Run, cpu_seconds: float) -> Result:
    values: dict[str, Any] = json.loads((run.folder / MODEL_NAME / "eval" / "metrics.json").read_text())
    metrics = values["metrics"]
    result = Result(float(metrics[AP]), float(metrics[AP50]), int(values["step"]), round(cpu_seconds, 1))
    write_json(run.folder / RESULT_NAME, dataclasses.asdict(result), indent=1)
    return result


def _shares_of_cores(at_a_time: int) -> list[frozenset[int]]:
    """The cores of each process; empty sets where there are too few, or where the system decides."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if at_a_time == 1 or len(cores) < at_a_time:
        return [frozenset()] * at_a_time
    return [frozenset(cores[index::at_a_time]) for index in range(at_a_time)]


@contextlib.contextmanager
def _stopped_at_the_end(running: Sequence[_Running]) -> Iterator[None]:
    """Asks the trainings that still run to save and stop, where the sweep ends before them."""
    try:
        yield
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            try:
                one.process.wait(_SECONDS_TO_SAVE)
            except subprocess.TimeoutExpired:
                one.process.kill()
