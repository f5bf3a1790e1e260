"""python -m configs.check: everything about a config on one page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from configs.check import main
from data_prep.runtime.command_line import run_command

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "odapi_configs"
RECIPE = str(ROOT / "configs" / "ssd_resnet50_v1_fpn_640.config")

# A config of TensorFlow 1 in the manner of the published ones: dilated, images in sizes of their own.
OLDER = """
model { faster_rcnn {
  num_classes: 20
  image_resizer { keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 1024 } }
  feature_extractor { type: "faster_rcnn_resnet152" first_stage_features_stride: 8 }
  first_stage_atrous_rate: 2
  first_stage_anchor_generator { grid_anchor_generator {
    scales: [0.25, 0.5] aspect_ratios: [0.5, 2.0] height_stride: 8 width_stride: 8 } }
  initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2
  second_stage_box_predictor { mask_rcnn_box_predictor { fc_hyperparams { op: FC } } }
  second_stage_post_processing { batch_non_max_suppression { iou_threshold: 0.6 } score_converter: SOFTMAX }
} }
train_config {
  batch_size: 1
  optimizer { momentum_optimizer { learning_rate { manual_step_learning_rate { initial_learning_rate: 0.001
    schedule { step: 0 learning_rate: 0.001 } schedule { step: 900 learning_rate: 0.0001 } } } }
    use_moving_average: false }
  fine_tune_checkpoint: "PATH_TO_BE_CONFIGURED/model.ckpt" from_detection_checkpoint: true
  data_augmentation_options { random_square_crop_by_scale { } }
  data_augmentation_options { ssd_random_crop_pad_fixed_aspect_ratio { } }
  data_augmentation_options { autoaugment_image { } }
}
train_input_reader { label_map_path: "l" tf_record_input_reader { input_path: "t" } }
eval_config { metrics_set: "pascal_voc_detection_metrics" max_evals: 10 }
eval_input_reader { label_map_path: "l" shuffle: false num_readers: 1 tf_record_input_reader { input_path: "e" } }
"""

# SSD in the manner of the published ones: separate heads, its own anchors with strides, mining, sizes that vary.
OLDER_SSD = """
model { ssd {
  num_classes: 90
  image_resizer { keep_aspect_ratio_resizer { min_dimension: 320 max_dimension: 640 } }
  feature_extractor { type: "ssd_mobilenet_v2" use_explicit_padding: true pad_to_multiple: 32 use_depthwise: true }
  box_coder { faster_rcnn_box_coder { } }
  matcher { argmax_matcher { force_match_for_each_row: true } }
  similarity_calculator { iou_similarity { } }
  box_predictor { convolutional_box_predictor { kernel_size: 3 use_depthwise: true use_dropout: false
    apply_sigmoid_to_scores: false } }
  anchor_generator { ssd_anchor_generator { aspect_ratios: [1.0, 2.0]
    height_stride: [16, 32, 64, 128, 256, 512] width_stride: [16, 32, 64, 128, 256, 512] } }
  post_processing { score_converter: SIGMOID }
  loss { classification_loss { weighted_sigmoid { } } localization_loss { weighted_smooth_l1 { } }
    hard_example_miner { num_hard_examples: 3000 loss_type: CLASSIFICATION max_negatives_per_positive: 3 } }
} }
train_config {
  batch_size: 24
  optimizer { rms_prop_optimizer { learning_rate { exponential_decay_learning_rate { } } epsilon: 1.0 } }
  data_augmentation_options { ssd_random_crop_fixed_aspect_ratio { } }
}
"""


def checked(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str]:
    code = main(list(words))
    return code, capsys.readouterr().out


def written(folder: Path, text: str) -> str:
    path = folder / "pipeline.config"
    path.write_text(text)
    return str(path)


def test_a_recipe_can_be_used_and_says_what_is_to_be_filled_in(capsys: pytest.CaptureFixture) -> None:
    code, page = checked(capsys, RECIPE)
    assert code == 0
    assert page.startswith(f"{RECIPE}: can be used\n")
    assert "to fill  train_config.fine_tune_checkpoint, train_input_reader.label_map_path" in page


def test_all_problems_stand_on_one_page(capsys: pytest.CaptureFixture) -> None:
    override = "model { ssd { mask_head_config { } num_classes: 0 } } graph_rewriter { } train_config { batch_size: 0 }"
    code, page = checked(capsys, "--pipeline-config-path", RECIPE, "--config_override", override)
    assert code == 2
    assert "cannot be used: 4 problems" in page
    problems = [line for line in page.splitlines() if line.startswith("  problem  ")]
    assert [line.split()[1].rstrip(":") for line in problems] == [
        "model.ssd.mask_head_config",
        "model.ssd.num_classes",
        "train_config.batch_size",
        "graph_rewriter",
    ]


def test_what_cannot_be_read_is_told_by_line_and_does_not_hide_the_others(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    bad = written(tmp_path, "model { sdd { } }\ntrain_config { batch_sise: 3 }\n")
    code, page = checked(capsys, bad, RECIPE, str(tmp_path / "missing.config"))
    assert code == 2
    assert "  problem  line 1, column 9: model.sdd: no such field" in page
    assert "  problem  line 2, column 16: train_config.batch_sise" in page
    assert page.count(bad) == page.count("missing.config") == 1
    assert f"{RECIPE}: can be used" in page
    assert "missing.config: cannot be loaded" in page
    assert page.endswith("3 configs: 1 can be used, 2 cannot\n")


def test_a_field_that_the_schema_once_had_is_to_be_deleted(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    text = OLDER_SSD.replace("use_explicit_padding: true", "use_explicit_padding: true\n batch_norm_trainable: true")
    code, page = checked(capsys, written(tmp_path, text))
    assert code == 2
    (problem,) = [line for line in page.splitlines() if line.startswith("  problem  ")]
    assert "line 6, column 2: model.ssd.feature_extractor.batch_norm_trainable: no such field" in problem
    assert "until 2018; delete it" in problem


def test_a_typographic_quote_is_named(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    text = OLDER_SSD.replace('"ssd_mobilenet_v2"', "\u2018ssd_mobilenet_v2\u2019")
    _, page = checked(capsys, written(tmp_path, text))
    assert "model.ssd.feature_extractor.type: needs text in quotes" in page
    assert "write \u2018 (U+2018) as ', \u2019 (U+2019) as '\n" in page


def test_a_rule_of_training_is_told_as_one(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    text = OLDER.replace("initial_crop_size", "first_stage_max_proposals: 50 initial_crop_size")
    code, page = checked(capsys, written(tmp_path, text))
    assert code == 2
    assert "cannot be trained, only evaluated and exported: 1 problem\n" in page
    assert "  problem  model.faster_rcnn.second_stage_batch_size: 64 is more than first_stage_max_proposals" in page


def test_a_config_of_tensorflow_1_is_accepted_with_notes(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    code, page = checked(capsys, written(tmp_path, OLDER))
    assert code == 0, page
    assert '"faster_rcnn_resnet152", a name of TensorFlow 1, is read as "faster_rcnn_resnet152_keras"' in page
    assert "eval_config.max_evals: has no effect" in page


def test_a_plain_ssd_of_tensorflow_1_is_accepted_with_notes(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    code, page = checked(capsys, written(tmp_path, OLDER_SSD))
    assert code == 0, page
    assert '"ssd_mobilenet_v2", a name of TensorFlow 1, is read as "ssd_mobilenet_v2_keras"' in page


def test_of_an_absent_network_only_the_name_is_refused(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    absent = OLDER_SSD.replace('"ssd_mobilenet_v2"', '"ssd_mobilenet_v3_large"')
    code, page = checked(capsys, written(tmp_path, absent))
    assert code == 2
    problems = [line for line in page.splitlines() if line.startswith("  problem  ")]
    assert len(problems) == 1 and "model.ssd.feature_extractor.type" in problems[0]
    assert "'ssd_mobilenet_v2_fpn_keras'" in problems[0]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no ../shared/odapi_configs: the API's published configs")
@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.config")), ids=lambda path: path.stem)
def test_the_published_configs_get_the_verdict_that_they_deserve(path: Path, capsys: pytest.CaptureFixture) -> None:
    code, page = checked(capsys, str(path))
    problems = [line.split()[1].rstrip(":") for line in page.splitlines() if line.startswith("  problem  ")]
    if "kpts" in path.stem:
        assert "model.center_net" in problems
    else:
        assert problems == [] and code == 0


@pytest.mark.parametrize("words", [[], ["--nonsense"], ["--config_override"]])
def test_wrong_usage_ends_with_2_in_one_line(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["check", "show", "plot_schedule"])
def test_the_commands_import_no_tensorflow_and_have_help(command: str) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('configs.{command}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "sys.exit('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"example:\n  python -m configs.{command} " in done.stdout
    assert "--config_override" in done.stdout and "--ignore_unsupported" in done.stdout


def test_errors_end_in_lines_and_not_in_a_traceback(capsys: pytest.CaptureFixture) -> None:
    from configs.schema.problem import ConfigError

    def failing(argv: object) -> int:
        raise ConfigError(["one: wrong", "two: wrong"])

    with pytest.raises(SystemExit) as caught:
        run_command(failing)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: one: wrong\ntwo: wrong\n"
