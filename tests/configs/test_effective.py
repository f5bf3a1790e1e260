"""Where the API has two ways of saying something."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import pipeline_file
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_settings, read_settings_text
from configs.settings.training import TrainConfig

RECIPE = Path(pipeline_file.__file__).parents[1] / "ssd_resnet50_v1_fpn_640.config"
OPTIMIZER = "optimizer { adam_optimizer { learning_rate { constant_learning_rate { } } } }"


def pipeline_of(text: str) -> PipelineSettings:
    config = pipeline_file.parse_pipeline_config(text.replace("train_config {", f"train_config {{ {OPTIMIZER}"))
    config.model.CopyFrom(pipeline_file.read_pipeline_config(RECIPE).model)
    return read_settings(PipelineSettings, config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "classification"),
        ("from_detection_checkpoint: true", "detection"),
        ('from_detection_checkpoint: true fine_tune_checkpoint_type: "full"', "full"),
    ],
)
def test_fine_tune_checkpoint_type(text: str, expected: str) -> None:
    assert read_settings_text(TrainConfig, f"{OPTIMIZER} {text}").checkpoint_type == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "float32"),
        ("train_config { use_bfloat16: true }", "mixed_bfloat16"),
        ("extensions { mixed_precision: MIXED_FLOAT16 }", "mixed_float16"),
        ("extensions { mixed_precision: MIXED_BFLOAT16 }", "mixed_bfloat16"),
        ("extensions { evaluate_every_n_steps: 10 }", "float32"),
    ],
)
def test_precision_policy(text: str, expected: str) -> None:
    assert pipeline_of(text).precision_policy == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 100),
        ("train_config { max_number_of_boxes: 30 }", 30),
        ("train_input_reader { max_number_of_boxes: 50 }", 50),
        ("train_config { max_number_of_boxes: 30 } train_input_reader { max_number_of_boxes: 50 }", 50),
    ],
)
def test_max_number_of_training_boxes(text: str, expected: int) -> None:
    text = text.replace("train_input_reader {", 'train_input_reader { tf_record_input_reader { input_path: "x" }')
    assert pipeline_of(text).max_number_of_training_boxes == expected
