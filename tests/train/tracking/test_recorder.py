"""What a run gives to watch reaches every tracker, and one that is away does not end a training."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from data_prep.runtime.command_line import UsageError, UserError
from train.loop.stopping import TrainingStopped
from train.tracking.choice import require_installed, require_tracked
from train.tracking.identity import TRACKING_NAME, read_identity, write_identity
from train.tracking.recorder import MOST_FAILURES, Recorder
from train.tracking.tracker import Outcome, RunDescription, Tracker


class Notebook(Tracker):
    """A tracker that keeps what it is given, and raises what it is told to."""

    name = "notebook"
    failures = (ConnectionError,)

    def __init__(self, error: Exception | None = None) -> None:
        self.taken: list[tuple] = []
        self.error = error

    def _take(self, *what: object) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append(what)

    def start(self, description: RunDescription, step: int) -> str:
        self._take("start", step)
        return "kept in a notebook"

    def scalars(self, folder, values, step) -> None:
        self._take("scalars", folder, dict(values), step)

    def images(self, folder, name, images, step) -> None:
        self._take("images", folder, name, [image.shape for image in images], step)

    def finish(self, outcome: Outcome) -> None:
        self._take("finish", outcome)


def test_every_tracker_gets_the_same_and_only_finite_numbers():
    one, other, said = Notebook(), Notebook(), []
    with Recorder([one, other], say=said.append) as recorder:
        recorder.start(RunDescription(inputs=np.zeros((2, 4, 5, 3), np.uint8)), 7)
        recorder.scalars("eval", {"mAP": np.float32(0.5), "of a class without boxes": float("nan")}, 8)
    assert one.taken == other.taken
    assert one.taken == [
        ("start", 7),
        ("images", "train", "inputs", [(4, 5, 3), (4, 5, 3)], 7),
        ("scalars", "eval", {"mAP": 0.5}, 8),
        ("finish", Outcome.FINISHED),
    ]
    assert said == ["kept in a notebook"] * 2


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError(), Outcome.FAILED),
        (TrainingStopped(signal.SIGTERM), Outcome.STOPPED),
        (KeyboardInterrupt(), Outcome.STOPPED),
    ],
)
def test_trackers_hear_how_a_run_ended(error: BaseException, outcome: Outcome):
    notebook = Notebook()
    with pytest.raises(type(error)), Recorder([notebook]):
        raise error
    assert notebook.taken == [("finish", outcome)]


def test_a_tracker_that_is_away_is_named_once_and_left_alone_in_the_end():
    away, there, said = Notebook(ConnectionError("no route\nto the host")), Notebook(), []
    recorder = Recorder([away, there], say=said.append)
    for step in range(MOST_FAILURES + 3):
        recorder.scalars("train", {"loss": 1.0}, step)
    assert len(there.taken) == MOST_FAILURES + 3
    assert said == [
        "note: notebook did not take some values; the training goes on: no route",
        f"note: notebook failed {MOST_FAILURES} times in a row and gets no more of this run: no route",
    ]


def test_a_tracker_that_comes_back_is_kept():
    notebook, said = Notebook(ConnectionError("no route")), []
    recorder = Recorder([notebook], say=said.append)
    for step in range(4 * MOST_FAILURES):
        notebook.error = ConnectionError("no route") if step % MOST_FAILURES else None
        recorder.scalars("train", {"loss": 1.0}, step)
    assert len(notebook.taken) == 4
    assert all("goes on" in line for line in said)


def test_what_is_no_matter_of_the_connection_is_not_hidden():
    recorder = Recorder([Notebook(TypeError("a mistake"))])
    with pytest.raises(TypeError, match="a mistake"):
        recorder.scalars("train", {"loss": 1.0}, 1)


def test_a_process_that_is_not_the_chief_writes_nothing(tmp_path: Path):
    with Recorder.of_run(tmp_path, ["wandb"], is_chief=False) as recorder:
        recorder.start(RunDescription(hyperparameters={"model": "ssd"}, texts={"a": "b"}), 0)
        recorder.scalars("train", {"loss": 1.0}, 1)
        assert recorder.event_writer("train") is None
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_named_with_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    require_installed(["wandb", "mlflow"])
    # As wandb leaves it where it ran: a folder is no package.
    (tmp_path / "aim").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("aim", "neptune_of_nobody"):
        with pytest.raises(UsageError) as error:
            require_installed([name])
        assert str(error.value) == (
            f"--track {name}: the package {name} is not installed; pip install -r requirements-tracking.txt"
        )


def test_a_model_folder_remembers_the_run_of_each_tracker(tmp_path: Path):
    assert read_identity(tmp_path) == {}
    write_identity(tmp_path, "wandb", {"id": "abc", "project": "p"})
    write_identity(tmp_path, "mlflow", {"run_id": "123"})
    (tmp_path / "best").mkdir()
    for checkpoint in (tmp_path, tmp_path / "ckpt-3", tmp_path / "best", tmp_path / "best" / "ckpt-2"):
        assert require_tracked(["mlflow"], checkpoint) == (tmp_path, {"mlflow": {"run_id": "123"}})
    (tmp_path / TRACKING_NAME).write_text("{")
    with pytest.raises(UserError, match="delete it to begin new tracked runs"):
        read_identity(tmp_path)


def test_an_export_of_a_training_that_was_not_tracked_says_so(tmp_path: Path):
    with pytest.raises(UsageError, match="was not trained with --track wandb"):
        require_tracked(["wandb"], tmp_path)
