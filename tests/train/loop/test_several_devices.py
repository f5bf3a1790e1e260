"""Training on several devices, and in several processes, equals training on one device."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.train.loop.training_processes import Workers, largest_difference, run
from train.evaluate import main as evaluate

# Three steps, and batch norm's statistics as they are: what is left is arithmetic in another order.
FROZEN = {"ssd": "model { ssd { freeze_batchnorm: true } }", "faster_rcnn": "model { faster_rcnn { %s } }"}
FROZEN["faster_rcnn"] %= (
    "feature_extractor { batch_norm_trainable: false } "
    "second_stage_box_predictor { mask_rcnn_box_predictor { use_dropout: false } }"
)
STEP_LINE = re.compile(r"step \d/3: .*?total_loss [\d.]+")


def words(config: Path, model_dir: Path, family: str, *more: str) -> list[str]:
    override = FROZEN[family] + " train_config { batch_size: 6 num_steps: 3 }"
    return [
        *("--pipeline_config_path", str(config), "--config_override", override, "--model_dir", str(model_dir)),
        *("--seed", "5", "--log_every_n", "1", *more),
    ]


def require_metrics_of_one_device(config: Path, model_dir: Path, family: str, folder: Path) -> None:
    """What a run found when it evaluated must be what evaluating its checkpoint on one device finds."""
    checkpoint = ["--checkpoint_dir", str(model_dir / "ckpt-3"), "--eval_dir", str(folder)]
    assert evaluate(["--pipeline_config_path", str(config), "--config_override", FROZEN[family], *checkpoint]) == 0
    ours, theirs = (json.loads((path / "metrics.json").read_text())["metrics"] for path in (model_dir / "eval", folder))
    ours.pop("images_per_second")
    # An evaluation of its own also finds thresholds, which one within a training leaves out.
    assert ours == {name: theirs.get(name) for name in ours} and len(ours) > 15


@pytest.fixture(scope="module", params=["ssd", "faster_rcnn"])
def on_one_device(request, block_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"{request.param}-one")
    config = block_config(request.param)
    output = run(words(config, folder / "model", request.param, "--no_evaluation"), folder / "log")
    return request.param, config, folder / "model" / "ckpt-3", STEP_LINE.findall(output)


@pytest.mark.parametrize("devices", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_virtual_devices_have_the_losses_and_weights_of_one(on_one_device, devices, tmp_path):
    family, config, checkpoint, losses = on_one_device
    more = ("--virtual_devices", str(devices))
    output = run(words(config, tmp_path / "model", family, *more), tmp_path / "log")
    assert f"mirrored: {devices} replicas (CPU), batches of 6, {6 // devices} a replica" in output
    assert STEP_LINE.findall(output) == losses and len(losses) == 3
    assert largest_difference(checkpoint, tmp_path / "model" / "ckpt-3") < 1e-5
    require_metrics_of_one_device(config, tmp_path / "model", family, tmp_path / "again")


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_have_the_losses_and_weights_of_one_and_the_chief_alone_writes(on_one_device, count, tmp_path):
    family, config, checkpoint, losses = on_one_device
    workers = Workers([words(config, tmp_path / "model", family)] * count, tmp_path)
    codes = workers.wait()
    outputs = workers.outputs()
    assert codes == [0] * count, "\n\n".join(outputs)
    assert f"{count} workers, {count} replicas (CPU), batches of 6, {6 // count} a replica" in outputs[0]
    assert STEP_LINE.findall(outputs[0]) == losses
    assert largest_difference(checkpoint, tmp_path / "model" / "ckpt-3") < 1e-5
    require_metrics_of_one_device(config, tmp_path / "model", family, tmp_path / "again")
    assert all("step 1" not in output and "saved" not in output for output in outputs[1:])
    assert len(list((tmp_path / "model" / "train").glob("events*"))) == len(
        list((checkpoint.parent / "train").glob("events*"))
    )
