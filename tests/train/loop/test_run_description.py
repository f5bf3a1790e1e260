"""What runs are compared by is what the config says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.loop.run_description import describe_run, hyperparameters
from train.pipeline import Pipeline, load_pipeline


@pytest.fixture
def pipeline(block_config) -> Pipeline:
    return load_pipeline(str(block_config("ssd")))


def test_hyperparameters_are_the_configs(pipeline: Pipeline):
    assert hyperparameters(pipeline, num_steps=4, seed=None) == {
        "model": "ssd",
        "feature_extractor": "ssd_mobilenet_v2_fpn_keras",
        "image_size": "96x96",
        "num_classes": 2,
        "batch_size": 2,
        "num_steps": 4,
        "optimizer": "MomentumOptimizer",
        "learning_rate": pytest.approx(0.01),
        "schedule": "ConstantLearningRate",
        "augmentations": "random_horizontal_flip",
        "precision": "float32",
        "starts_from": "scratch",
        "seed": "none",
    }


def test_the_learning_rate_is_the_highest_that_the_run_reaches_and_extensions_stand_as_written(block_config):
    more = """
        train_config { optimizer { adam_optimizer { learning_rate { cosine_decay_learning_rate {
          learning_rate_base: 0.5 warmup_learning_rate: 0.1 warmup_steps: 100 total_steps: 1000 } } } }
          data_augmentation_options { random_rgb_to_gray {} }
        }
        extensions { mixed_precision: MIXED_BFLOAT16 early_stopping { patience: 3 } summaries { } }
        model { ssd { image_resizer { keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 96 } } } }
    """
    pipeline = load_pipeline(str(block_config("ssd")), more)
    found = hyperparameters(pipeline, num_steps=1000, seed=7)
    expected = {
        "optimizer": "AdamOptimizer",
        "schedule": "CosineDecayLearningRate",
        "learning_rate": pytest.approx(0.5),
        "augmentations": "random_horizontal_flip, random_rgb_to_gray",
        "precision": "mixed_bfloat16",
        "image_size": "KeepAspectRatioResizer",
        "extensions.mixed_precision": "MIXED_BFLOAT16",
        "extensions.early_stopping.patience": "3",
        "seed": 7,
    }
    assert {name: found[name] for name in expected} == expected


def test_texts_metrics_and_their_folder_follow_the_config(block_config, tmp_path: Path):
    inputs = np.zeros((1, 2, 2, 3), np.uint8)
    (tmp_path / "restore_report.json").write_text('{"source": "zoo"}')
    pipeline = load_pipeline(str(block_config("ssd")))
    description = describe_run(pipeline, model_dir=tmp_path, num_steps=4, seed=1, inputs=inputs)
    assert description.texts["restore_report.json"] == '{"source": "zoo"}'
    assert "batch_size: 2" in description.texts["pipeline.config"]
    assert description.metrics_folder == "eval"
    assert list(description.metrics) == [
        "DetectionBoxes_Precision/mAP",
        "DetectionBoxes_Precision/mAP@.50IOU",
        "DetectionBoxes_Recall/AR@100",
        "Loss/total_loss",
    ]
