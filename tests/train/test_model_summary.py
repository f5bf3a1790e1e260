"""python -m train.model_summary: what a network consists of, and what a step of its training takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from configs.settings.extensions import Extensions
from configs.settings.loading import load_config
from configs.settings.reading import read_settings, read_settings_text
from configs.settings.training import TrainConfig
from tests.small_models import build_detector
from train.models.model_size import StepMemory, step_memory

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "configs/ssd_efficientnet-lite0_fpn_320.config"


def run(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "train.model_summary", "--pipeline_config_path", RECIPE, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_counts_parameters_anchors_and_bytes_of_a_recipe_that_is_not_filled_in():
    override = "train_config { batch_size: 4 freeze_variables: 'FeatureExtractor' }"
    done = run("--json", "--config_override", override)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    parts = {part["name"]: part for part in found["parts"]}
    assert set(parts) == {"backbone", "decoder", "head"}
    assert parts["backbone"]["trained"] == 0 < parts["backbone"]["parameters"]
    assert 0 < parts["head"]["trained"] <= parts["head"]["parameters"]
    # 320 pixels at strides 8 to 128: 40, 20, 10, 5 and 3 places a side.
    places = [side * side for side in (40, 20, 10, 5, 3)]
    assert [level["count"] for level in found["anchors"]] == [
        count * level["a_place"] for count, level in zip(places, found["anchors"], strict=True)
    ]
    assert found["anchors"][0]["sizes"][0] == "24x24"
    memory = found["step_bytes"]
    assert memory["batch_shape"] == [4, 320, 320, 3]
    assert memory["gradients"] == 4 * sum(part["trained"] for part in parts.values())
    assert memory["optimizer"] % memory["gradients"] == 0
    assert memory["weights"] == 4 * sum(part["parameters"] for part in parts.values())
    # At the least, the images go through the first layers: 4 x 160 x 160 x 32 numbers, normalised and activated.
    assert memory["activations"] > 2 * 4 * 160 * 160 * 32 * 4
    assert memory["total"] == sum(memory[name] for name in ("weights", "gradients", "optimizer", "activations"))
    assert any(line.startswith("memory      about ") for line in found["lines"])


def test_a_batch_in_parts_takes_the_activations_of_one_and_another_copy_of_gradients():
    config = load_config(ROOT / RECIPE, "train_config { batch_size: 4 } model { ssd { num_classes: 2 } }").config
    detector = build_detector(config)
    variables = detector.network.trainable_variables
    settings = read_settings(TrainConfig, config.train_config)

    def memory(text: str) -> StepMemory:
        return step_memory(settings, read_settings_text(Extensions, text), detector, variables)

    whole, parts = memory(""), memory("gradient_accumulation { steps: 4 }")
    assert parts.activations < whole.activations / 3.5
    assert parts.gradients == 2 * whole.gradients
    assert memory("optimizer { lamb { } }").optimizer == whole.optimizer


def test_what_cannot_be_built_is_refused_before_tensorflow_is_there():
    done = run("--config_override", "graph_rewriter { }")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {RECIPE}: graph_rewriter: ")
    assert len(done.stderr.strip().splitlines()) == 1
