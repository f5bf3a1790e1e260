"""What is exported where `eval_config.use_moving_averages` says that the averages count, and not the last weights."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from configs.schema.pipeline_file import merge, read_pipeline_config
from configs.settings.optimizers import Optimizer
from configs.settings.reading import read_settings
from export.export_saved_model import main as export
from export.image_inputs import batch_reader
from tests.conftest import block_image
from tests.small_models import build_detector
from train.loop.moving_average import start_moving_average
from train.loop.optimization import build_optimizer, create_slots

OVERRIDE = """
train_config { optimizer { use_moving_average: true moving_average_decay: 0.5 } }
eval_config { use_moving_averages: true }
"""


def test_the_averages_are_exported_and_not_the_last_weights(block_config, tmp_path):
    path = block_config("ssd")
    config = merge(read_pipeline_config(path), OVERRIDE)
    detector = build_detector(config)
    optimizer, _ = build_optimizer(read_settings(Optimizer, config.train_config.optimizer))
    start_moving_average(optimizer, detector.network)
    variables = detector.network.trainable_variables
    create_slots(optimizer, variables)
    averages = [variable.numpy() for variable in variables]
    for variable, average in zip(variables, averages, strict=True):
        optimizer.get_slot(variable, "average").assign(average)
        variable.assign(variable * 3.0)
    tf.train.Checkpoint(model=detector.network, optimizer=optimizer).write(str(tmp_path / "ckpt-0"))

    words = ["--pipeline_config_path", str(path), "--trained_checkpoint_dir", str(tmp_path / "ckpt-0")]
    words += ["--output_directory", str(tmp_path / "out"), "--config_override", OVERRIDE]
    assert export([*words, "--output", "raw_detection_scores"]) == 0

    encoded = tf.constant([block_image(2)[0]])
    signature = tf.saved_model.load(str(tmp_path / "out" / "saved_model")).signatures["serving_default"]
    found = signature(input_tensor=encoded)["raw_detection_scores"]
    read = batch_reader("encoded_image_string_tensor", detector.settings.image_resizer)
    last = detector.detect_with_raw(*read(encoded))["raw_detection_scores"]
    for variable, average in zip(variables, averages, strict=True):
        variable.assign(average)
    wanted = detector.detect_with_raw(*read(encoded))["raw_detection_scores"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - last).max() > 1e-3
    assert not read_pipeline_config(tmp_path / "out" / "pipeline.config").eval_config.use_moving_averages
