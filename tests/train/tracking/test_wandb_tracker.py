"""Weights & Biases gets a run as it is, in offline mode; what it would send is read back from its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.tracking.wandb_file import wandb_runs
from train.tracking.identity import read_identity
from train.tracking.recorder import Recorder
from train.tracking.tracker import RunDescription
from train.tracking.wandb_tracker import WandbTracker, record_export

ROOT = Path(__file__).resolve().parents[3]
DESCRIPTION = RunDescription(
    hyperparameters={"model": "ssd", "batch_size": 8, "extensions.summaries.histograms": "true"},
    texts={"pipeline.config": "model { }"},
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "rooms")


def test_a_run_is_written_gone_on_with_and_told_where_it_was_exported_to(tmp_path: Path):
    image = np.full((20, 30, 3), 200, np.uint8)
    said: list[str] = []
    with pytest.raises(ValueError), Recorder([WandbTracker(tmp_path)], say=said.append) as recorder:
        recorder.start(DESCRIPTION, 0)
        recorder.scalars("train", {"Loss/total_loss": 2.0}, 20)
        recorder.scalars("eval", {"DetectionBoxes_Precision/mAP@.50IOU": 0.25, "mAP (small)": 0.5}, 20)
        recorder.images("eval", "detections", [image], 20)
        raise ValueError
    (run,) = wandb_runs(tmp_path)
    assert said[0].startswith("tracked by wandb, offline: wandb sync ") and run.id in said[0]
    assert run.project == "rooms"
    assert run.exit_code == 1
    assert run.config == DESCRIPTION.hyperparameters
    assert run.values("train/Loss/total_loss") == [(20, 2.0)]
    assert run.values("eval/DetectionBoxes_Precision/mAP@.50IOU") == [(20, 0.25)]
    assert run.values("eval/mAP (small)") == [(20, 0.5)]
    ((step, shown),) = run.values("eval/detections/0.path")
    (files,) = tmp_path.glob("wandb/offline-run-*/files")
    assert step == 20 and shown in run.files
    np.testing.assert_array_equal(np.asarray(Image.open(files / shown)), image)
    assert "pipeline.config" in run.files and (files / "pipeline.config").read_text() == "model { }"
    assert read_identity(tmp_path)["wandb"] == {"id": run.id, "project": "rooms", "entity": ""}

    time.sleep(1)  # wandb names its folders by the second
    with Recorder([WandbTracker(tmp_path)], say=said.append) as recorder:
        recorder.start(DESCRIPTION, 10)  # from an older checkpoint than what was logged
        recorder.scalars("train", {"Loss/total_loss": 1.5}, 20)
    first, again = wandb_runs(tmp_path)
    assert (again.id, again.project, again.exit_code) == (first.id, "rooms", 0)
    assert again.values("train/Loss/total_loss") == [(20, 1.5)]

    time.sleep(1)
    line = record_export(tmp_path, read_identity(tmp_path)["wandb"], {"exported_model": "/models/1"})
    assert run.id in line
    *_, exported = wandb_runs(tmp_path)
    assert exported.id == run.id and exported.config == {"exported_model": "/models/1"}


def test_without_a_login_it_is_one_line_before_the_first_step(tmp_path: Path):
    """In a process of its own: wandb reads its variables once a process."""
    code = """
        import pathlib
        from data_prep.runtime.command_line import run_command
        from train.tracking.tracker import RunDescription
        from train.tracking.wandb_tracker import WandbTracker
        run_command(lambda words: WandbTracker(pathlib.Path("model")).start(RunDescription(), 0))
    """
    (tmp_path / "model").mkdir()
    left = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=False,
        env={**left, "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines() or [ended.stdout]
    assert line.startswith("error: --track wandb: ") and "WANDB_MODE=offline" in line


def test_the_numbers_are_plain(tmp_path: Path):
    """Of NumPy, wandb would make texts."""
    with Recorder([WandbTracker(tmp_path)]) as recorder:
        recorder.start(DESCRIPTION, 0)
        recorder.scalars("train", {"loss": np.float32(0.5)}, 1)
    (run,) = wandb_runs(tmp_path)
    assert json.dumps(run.values("train/loss")) == "[[1, 0.5]]"
