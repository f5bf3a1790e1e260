"""Where the API has two ways of saying something."""

from __future__ import annotations

import pytest

from configs.schema import pipeline_file
from configs.settings import effective


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "classification"),
        ("from_detection_checkpoint: true", "detection"),
        ('from_detection_checkpoint: true fine_tune_checkpoint_type: "full"', "full"),
    ],
)
def test_fine_tune_checkpoint_type(text: str, expected: str) -> None:
    config = pipeline_file.parse_pipeline_config(f"train_config {{ {text} }}")
    assert effective.fine_tune_checkpoint_type(config.train_config) == expected


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
    assert effective.precision_policy(pipeline_file.parse_pipeline_config(text)) == expected


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
    assert effective.max_number_of_training_boxes(pipeline_file.parse_pipeline_config(text)) == expected
