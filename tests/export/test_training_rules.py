"""What a config says of training alone does not stop the export of what was trained."""

import pytest
import tensorflow as tf

from configs.schema.pipeline_file import read_pipeline_config
from data_prep.runtime.command_line import UsageError
from export.export_saved_model import main as export
from tests.small_models import build_detector
from train.train import main as train

OVERRIDE = "model { faster_rcnn { second_stage_batch_size: 1000 } }"


def test_a_sample_larger_than_all_proposals_stops_training_and_not_the_export(block_config, tmp_path):
    config = block_config("faster_rcnn")
    words = ["--pipeline_config_path", str(config), "--config_override", OVERRIDE]
    with pytest.raises(UsageError, match=r"second_stage_batch_size: 1000 is more than first_stage_max_proposals"):
        train([*words, "--model_dir", str(tmp_path / "model")])
    assert not (tmp_path / "model").exists()
    detector = build_detector(read_pipeline_config(config))
    tf.train.Checkpoint(model=detector.network).write(str(tmp_path / "ckpt-0"))
    words += ["--trained_checkpoint_dir", str(tmp_path / "ckpt-0"), "--output_directory", str(tmp_path / "exported")]
    assert export(words) == 0
    assert (tmp_path / "exported" / "saved_model" / "saved_model.pb").is_file()
