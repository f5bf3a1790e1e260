"""What is checked before any work begins; none of it waits for TensorFlow."""

import subprocess
import sys
from pathlib import Path

import pytest

from configs.settings.loading import add_config_arguments
from data_prep.runtime.command_line import ArgumentParser, UsageError
from train.pipeline import load_pipeline, pipeline_from

ROOT = Path(__file__).resolve().parents[2]


def test_a_misspelt_field_ends_in_one_line_and_exit_code_2(block_config, tmp_path):
    config = block_config("ssd")
    config.write_text(
        config.read_text().replace("use_depthwise: true depth_multiplier", "use_depthwize: true depth_multiplier")
    )
    command = [sys.executable, "-m", "train.train", "--pipeline_config_path", str(config), "--model_dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "model.ssd.feature_extractor.use_depthwize" in done.stderr and "did you mean 'use_depthwise'" in done.stderr
    assert not any(tmp_path.iterdir())


def test_checking_a_config_imports_no_tensorflow(block_config):
    code = f"import sys; from train.pipeline import load_pipeline; load_pipeline({str(block_config('ssd'))!r}); " \
           "sys.exit('tensorflow' in sys.modules)"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_unfilled_recipe_says_which_fields_and_how():
    with pytest.raises(UsageError, match=r"train_input_reader\.label_map_path.*sed -i"):
        load_pipeline(str(ROOT / "configs" / "ssd_efficientnet-lite0_fpn_320.config"))


def test_fewer_classes_than_the_label_map_has_are_refused(block_config):
    with pytest.raises(UsageError, match=r"num_classes is 1, but .* ids up to 2; set num_classes: 2"):
        load_pipeline(str(block_config("ssd")), "model { ssd { num_classes: 1 } }")


def test_an_override_is_merged_over_the_file_and_must_be_right(block_config):
    config = str(block_config("ssd"))
    assert load_pipeline(config, "train_config { batch_size: 7 }").config.train_config.batch_size == 7
    with pytest.raises(UsageError, match="batch_sise"):
        load_pipeline(config, "train_config { batch_sise: 7 }")


def test_fields_without_effect_are_noted(block_config):
    notes = load_pipeline(str(block_config("ssd")), "train_config { sync_replicas: true }").notes
    assert any(note.startswith("train_config.sync_replicas: has no effect") for note in notes)


def test_a_rule_of_training_stops_what_trains_and_nothing_else(block_config):
    override = "model { faster_rcnn { second_stage_batch_size: 1000 } }"
    pipeline = load_pipeline(str(block_config("faster_rcnn")), override)
    assert pipeline.settings.model.second_stage_batch_size == 1000
    with pytest.raises(UsageError, match=r"second_stage_batch_size: 1000 is more than first_stage_max_proposals; use"):
        _ = pipeline.train_config


def test_refused_fields_are_dropped_on_request_and_each_command_takes_the_flag(block_config, capsys):
    config = str(block_config("ssd"))
    refused = "graph_rewriter { quantization { delay: 3 } }"
    with pytest.raises(UsageError, match="--ignore_unsupported graph_rewriter"):
        load_pipeline(config, refused)
    parser = ArgumentParser(description="", example="")
    add_config_arguments(parser)
    words = ["--pipeline-config-path", config, "--config_override", refused, "--ignore-unsupported", "graph_rewriter"]
    pipeline = pipeline_from(parser.parse_args(words))
    assert not pipeline.config.HasField("graph_rewriter")
    assert "warning: graph_rewriter: is ignored" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no such field is refused"):
        load_pipeline(config, "", ["graph_rewriter"])
