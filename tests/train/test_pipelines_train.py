"""Every kind of published recipe trains two steps through the real command, with all that it says but its size.

What is made smaller, by `--config_override`, is the image, the batch and the number of proposals; network,
augmentations, losses, optimizer and schedule stay the recipe's.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from configs.settings.loading import load_config
from train.train import main as train

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"
PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "odapi_configs"

SLOW = ("ssd_efficientdet_d0", "faster_rcnn_resnet50_with_tpu_flags")
SMALL = {
    "faster_rcnn": """
        first_stage_max_proposals: 16 second_stage_batch_size: 8 initial_crop_size: 4
    """,
    "ssd": "",
}


def small(text: str, records: Path) -> str:
    """The override that lets a recipe train on the block records in seconds."""
    family = "faster_rcnn" if re.search(r"\bfaster_rcnn\s*{", text) else "ssd"
    resizer = "fixed_shape_resizer { height: 128 width: 128 }"
    if "keep_aspect_ratio_resizer" in text:
        resizer = "keep_aspect_ratio_resizer { min_dimension: 96 max_dimension: 128 }"
        if re.search(r"min_dimension: (\d+)\s+max_dimension: \1", text):  # A square.
            resizer = "keep_aspect_ratio_resizer { min_dimension: 128 max_dimension: 128 }"
    training = text[text.index("train_config") : text.index("eval_config")]
    batch_size = 1 if re.search(r"batch_size: 1\b", training) else 2
    return f"""
        model {{ {family} {{ image_resizer {{ {resizer} }} {SMALL[family]} }} }}
        train_config {{ batch_size: {batch_size} num_steps: 2 fine_tune_checkpoint: "" }}
        train_input_reader {{
          label_map_path: "{records}/label_map.pbtxt"
          tf_record_input_reader {{ input_path: "{records}/train.record-*" }}
        }}
        eval_config {{ num_examples: 2 }}
        eval_input_reader {{
          label_map_path: "{records}/label_map.pbtxt"
          tf_record_input_reader {{ input_path: "{records}/validation.record-*" }}
        }}
    """


def train_two_steps(config: Path, records: Path, model_dir: Path) -> None:
    words = ["--pipeline_config_path", str(config), "--model_dir", str(model_dir), "--seed", "1"]
    override = small(config.read_text(), records)
    assert train([*words, "--config_override", override, "--checkpoint_every_n", "2", "--log_every_n", "1"]) == 0
    assert tf.train.latest_checkpoint(str(model_dir)) == str(model_dir / "ckpt-2")
    metrics = json.loads((model_dir / "eval" / "metrics.json").read_text())
    assert metrics["step"] == 2
    assert metrics["num_images"] >= 1


def of_the_project() -> list[Any]:
    """The recipes under tests/pipelines; those that take longest to trace are slow tests."""
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
        for path in sorted(PIPELINES.glob("*.config"))
    ]


@pytest.mark.parametrize("config", of_the_project())
def test_a_recipe_trains_two_steps(config, block_records, tmp_path):
    train_two_steps(config, block_records, tmp_path / "model")


def published() -> list[Path]:
    """The published recipes beside the project that can be used here; none where they are not."""
    return [path for path in sorted(PUBLISHED.glob("*.config")) if not load_config(path).problems]


@pytest.mark.slow
@pytest.mark.parametrize("config", published(), ids=lambda p: p.stem)
def test_a_published_recipe_trains_two_steps(config, block_records, tmp_path):
    train_two_steps(config, block_records, tmp_path / "model")
