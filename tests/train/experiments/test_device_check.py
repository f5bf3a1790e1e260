"""python -m train.check_gpu, on parts of the CPU, and its verdicts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from train.check_gpu import PRECISIONS
from train.experiments.check_set import FAMILIES, recipe_and_override, write_check_set
from train.experiments.device_check import COMPARED_STEPS, TOLERANCES, check_devices, largest_difference
from train.experiments.device_trial import Trial, run_trial
from train.pipeline import load_pipeline

ROOT = Path(__file__).resolve().parents[3]
# In float16, a CPU takes ten times as long as in the others.
QUICK = (["ssd"], ["mixed_bfloat16"])
ALL = (["ssd", "faster_rcnn"], list(TOLERANCES))


def run_check(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "train.check_gpu", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_gpu_it_fails_in_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    done = run_check(folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: TensorFlow sees no GPU")
    assert "pip install 'tensorflow[and-cuda]==2.20.*'" in line and "driver" in line and "--virtual_devices 2" in line


def test_make_gpu_check_installs_nothing() -> None:
    done = subprocess.run(["make", "-n", "gpu-check"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "-m train.check_gpu" in done.stdout
    assert "pip install" not in done.stdout and "-m venv" not in done.stdout


@pytest.mark.parametrize(("families", "precisions"), [QUICK, pytest.param(*ALL, marks=pytest.mark.slow)])
def test_each_model_is_checked_in_each_precision_and_mirrored(
    families: list[str], precisions: list[str], block_config, tmp_path: Path
) -> None:
    configs = [tmp_path / f"{family}.config" for family in families]
    for family, config in zip(families, configs, strict=True):
        config.write_text(block_config(family).read_text())
    before = set(tmp_path.rglob("*"))
    words = ["--virtual_devices", "2", "--num_steps", "3", "--precisions", *precisions]
    words += ["--pipeline_config_path", *map(str, configs)]
    done = run_check(*words, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    first, head, *rows, last = done.stdout.splitlines()
    assert first == "as if they were GPUs: 2 parts of the CPU"
    assert head.split()[:3] == ["model", "precision", "devices"]
    expected = [("float32", "CPU:0"), *((precision, "CPU:1") for precision in precisions), *[("float32", "2 CPUs")] * 2]
    for row, (precision, devices) in zip(rows, expected * len(families), strict=True):
        assert f" {precision} " in row and f" {devices} " in row
        assert row.endswith(("reference", "% allowed"))
    assert last == f"all {len(rows)} trainings are as they should be"
    assert set(tmp_path.rglob("*")) == before


def test_a_trial_that_begins_with_given_weights_repeats_the_losses(block_config) -> None:
    pipeline = load_pipeline(str(block_config("ssd")))
    trial = Trial("SSD", "float32", ("CPU:0",))
    options = {"num_steps": 3, "deadline": time.monotonic() + 600}
    first, weights = run_trial(trial, pipeline, **options)
    again, same = run_trial(trial, pipeline, **options, weights=weights)
    assert len(first.losses) == 3 and first.peak_bytes is None
    assert again.losses == pytest.approx(first.losses, rel=1e-5)
    assert all(np.array_equal(one, other) for one, other in zip(weights, same, strict=True))
    assert first.steps_per_second > 0 and 0 <= first.waiting <= 1


def test_each_precision_has_its_tolerance() -> None:
    assert set(PRECISIONS) == set(TOLERANCES)


def test_losses_that_are_not_the_cpus_fail_the_check() -> None:
    assert largest_difference([1.0, 2.2, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(0.1)
    assert largest_difference([1.0] * COMPARED_STEPS + [9.0], [1.0] * (COMPARED_STEPS + 1)) == 0.0


def test_what_would_begin_after_its_time_is_not_run_and_has_failed(block_config) -> None:
    said: list[str] = []
    pipelines = {"tiny": load_pipeline(str(block_config("ssd")))}
    outcomes = check_devices(
        pipelines,
        accelerators=["CPU:0"],
        cpus=["CPU:0"],
        precisions=list(TOLERANCES),
        num_steps=2,
        seconds=0.0,
        say=said.append,
    )
    assert [bool(outcome.problem) for outcome in outcomes] == [False, True, True, True]
    assert "not run, for the time is over" in said[-1]


def test_the_built_in_configs_are_sound_and_read_the_records_that_are_drawn(tmp_path: Path) -> None:
    write_check_set(tmp_path, num_images=2, width=128, height=96)
    for family in FAMILIES:
        pipeline = load_pipeline(*recipe_and_override(family, tmp_path, 6))
        assert pipeline.train_config.batch_size == 6 and not pipeline.train_config.fine_tune_checkpoint
        assert pipeline.label_map.max_id == pipeline.settings.model.num_classes
    from train.inputs.reader import build_training_dataset

    images, labels = next(iter(build_training_dataset(pipeline.settings, batch_size=2, seed=0)))
    assert images.shape == (2, 256, 256, 3) and int(labels["num_groundtruth_boxes"].numpy().sum()) > 0
