"""From a file to what a command works with: migration, what is ignored on request, and where an override goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.schema import pipeline_file
from configs.schema.problem import ConfigError
from configs.settings.loading import examine, load_config

SSD = "configs/ssd_resnet50_v1_fpn_640.config"
ROOT = Path(__file__).resolve().parents[3]


def paths(loaded: Any) -> list[str]:
    return [problem.path for problem in loaded.problems]


def notes_of(config: Any, override: str) -> dict[str, str]:
    return {note.path: note.text for note in examine(pipeline_file.merge(config, override), "p").notes}


class TestMigration:
    @pytest.mark.parametrize(
        ("name", "equal"),
        [
            ("ssd_resnet50_v1_fpn", "ssd_resnet50_v1_fpn_keras"),
            ("ssd_mobilenet_v2_fpn", "ssd_mobilenet_v2_fpn_keras"),
            ("ssd_mobilenet_v1", "ssd_mobilenet_v1_keras"),
        ],
    )
    def test_names_of_tensorflow_1_are_read_as_the_equal_ones(self, ssd_config: Any, name: str, equal: str) -> None:
        config = pipeline_file.merge(ssd_config, f'model {{ ssd {{ feature_extractor {{ type: "{name}" }} }} }}')
        loaded = examine(config, "p")
        assert loaded.config.model.ssd.feature_extractor.type == equal
        assert config.model.ssd.feature_extractor.type == name
        (note,) = [note for note in loaded.notes if note.path == "model.ssd.feature_extractor.type"]
        assert f'"{name}"' in note.text and f'"{equal}"' in note.text

    def test_faster_rcnn_of_tensorflow_1_is_accepted_whole(self, faster_rcnn_config: Any) -> None:
        override = (
            'model { faster_rcnn { feature_extractor { type: "faster_rcnn_resnet101" } image_resizer { '
            "keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 1024 pad_to_max_dimension: false } } } } "
            "train_config { batch_size: 1 from_detection_checkpoint: true load_all_detection_checkpoint_vars: true }"
        )
        config = pipeline_file.merge(faster_rcnn_config, override)
        config.train_config.ClearField("fine_tune_checkpoint_type")
        config.train_config.ClearField("fine_tune_checkpoint_version")
        loaded = examine(config, "p")
        assert loaded.problems == ()
        notes = {note.path: note.text for note in loaded.notes}
        assert "without masks" in notes["model.faster_rcnn.second_stage_box_predictor.mask_rcnn_box_predictor"]
        assert '"detection"' in notes["train_config.from_detection_checkpoint"]
        assert notes["train_config.fine_tune_checkpoint_version"].startswith("unset")

    def test_a_checkpoint_of_tensorflow_1_is_explained_and_not_refused(self, ssd_config: Any) -> None:
        override = "train_config { fine_tune_checkpoint_version: V1 }"
        assert examine(pipeline_file.merge(ssd_config, override), "p").problems == ()
        note = notes_of(ssd_config, override)["train_config.fine_tune_checkpoint_version"]
        assert "V1 is a checkpoint of TensorFlow 1: the file itself tells" in note

    def test_a_pyramid_that_says_nothing_has_the_levels_of_its_family(self, faster_rcnn_config: Any) -> None:
        override = (
            'model { faster_rcnn { feature_extractor { type: "faster_rcnn_resnet50_fpn_keras" } '
            "first_stage_anchor_generator { multiscale_anchor_generator { min_level: 2 max_level: 6 "
            "aspect_ratios: 1.0 } } } }"
        )
        loaded = examine(pipeline_file.merge(faster_rcnn_config, override), "p")
        assert loaded.problems == ()
        pyramid = loaded.config.model.faster_rcnn.feature_extractor.fpn
        assert (pyramid.min_level, pyramid.max_level) == (2, 6)

    @pytest.mark.parametrize("older", ["open_images_metrics", "open_images_V2_detection_metrics"])
    def test_older_names_of_metrics_are_read_as_the_present_ones(self, ssd_config: Any, older: str) -> None:
        config = pipeline_file.merge(ssd_config, f'eval_config {{ metrics_set: "{older}" }}')
        loaded = examine(config, "p")
        assert loaded.problems == ()
        assert list(loaded.config.eval_config.metrics_set)[-1] == "oid_V2_detection_metrics"


class TestIgnoring:
    REFUSED = "model { ssd { mask_head_config { mask_height: 3 } } } graph_rewriter { quantization { delay: 3 } }"

    def test_named_fields_are_dropped_and_said(self) -> None:
        path = ROOT / SSD
        assert paths(load_config(path, self.REFUSED)) == ["model.ssd.mask_head_config", "graph_rewriter"]
        loaded = load_config(path, self.REFUSED, ["model.ssd.mask_head_config", "graph_rewriter"])
        assert loaded.problems == ()
        assert loaded.config == load_config(path).config
        assert len(loaded.warnings) == 2
        assert "model.ssd.mask_head_config: is ignored as if it had not been written" in loaded.warnings[0]

    def test_what_is_not_named_stays_refused(self) -> None:
        loaded = load_config(ROOT / SSD, self.REFUSED, ["graph_rewriter"])
        assert paths(loaded) == ["model.ssd.mask_head_config"]

    def test_elements_of_lists_go_by_their_numbers(self, ssd_config: Any) -> None:
        override = (
            "train_config { data_augmentation_options { scale_boxes_to_pixel_coordinates { } } "
            "data_augmentation_options { convert_class_logits_to_softmax { } } "
            "data_augmentation_options { random_rotation90 { } } } "
            'eval_config { metrics_set: "coco_mask_metrics" }'
        )
        config = pipeline_file.merge(ssd_config, override)
        before = len(ssd_config.train_config.data_augmentation_options)
        refused = [problem.path for problem in examine(config, "p").problems]
        assert len(refused) == 3
        loaded = examine(config, "p", refused)
        assert loaded.problems == ()
        kept = [step.WhichOneof("preprocessing_step") for step in loaded.config.train_config.data_augmentation_options]
        assert len(kept) == before + 1 and kept[-1] == "random_rotation90"
        assert list(loaded.config.eval_config.metrics_set) == ["coco_detection_metrics"]

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("model.ssd.mask_head_confg", "the nearest that is refused is model.ssd.mask_head_config"),
            ("model.ssd", "what is refused is model.ssd.mask_head_config"),
            ("train_config.batch_size", "what is refused is model.ssd.mask_head_config, graph_rewriter"),
        ],
    )
    def test_naming_what_is_not_refused_is_an_error(self, name: str, hint: str) -> None:
        with pytest.raises(ConfigError, match=f"{name}: no such field is refused") as caught:
            load_config(ROOT / SSD, self.REFUSED, [name])
        assert hint in str(caught.value)

    def test_dropping_what_must_be_there_is_a_problem_of_its_own(self) -> None:
        override = 'model { ssd { feature_extractor { type: "ssd_mobilenet_v3_small" } } }'
        path = "model.ssd.feature_extractor.type"
        loaded = load_config(ROOT / SSD, override, [path])
        assert str(loaded.problems[0]).startswith(f"{path}: is not set")

    def test_the_error_says_how_to_ignore(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load_config(ROOT / SSD, self.REFUSED).require_usable()
        assert "--ignore_unsupported model.ssd.mask_head_config graph_rewriter" in str(caught.value)


class TestUnfilled:
    def test_is_told_and_refused_only_where_something_runs(self) -> None:
        loaded = load_config(ROOT / SSD)
        assert loaded.problems == () and "train_input_reader.label_map_path" in loaded.unfilled
        with pytest.raises(ConfigError, match=r"train_input_reader\.label_map_path.*sed -i"):
            loaded.require_usable()

    def test_an_override_fills_a_recipe_in(self) -> None:
        override = """
            train_config { fine_tune_checkpoint: "c" }
            train_input_reader { label_map_path: "l" tf_record_input_reader { input_path: "t" } }
            eval_input_reader { label_map_path: "l" tf_record_input_reader { input_path: "e1" } }
            eval_input_reader { label_map_path: "l" tf_record_input_reader { input_path: "e2" } }"""
        loaded = load_config(ROOT / SSD, override)
        loaded.require_usable()
        assert list(loaded.config.train_input_reader.tf_record_input_reader.input_path) == ["t"]
        readers = loaded.config.eval_input_reader
        assert [list(reader.tf_record_input_reader.input_path) for reader in readers] == [["e1"], ["e2"]]

    def test_lists_that_are_filled_in_grow(self) -> None:
        override = 'train_input_reader { tf_record_input_reader { input_path: "a" } }'
        merged = pipeline_file.merge(
            pipeline_file.merge(pipeline_file.read_pipeline_config(ROOT / SSD), override), override
        )
        assert list(merged.train_input_reader.tf_record_input_reader.input_path) == ["a", "a"]


@pytest.mark.parametrize(
    ("loss", "outcome"),
    [
        ("weighted_giou", "the loss falls without end, and training diverges"),
        ("weighted_iou", "codes that are no boxes teach nothing"),
    ],
)
def test_a_loss_that_takes_codes_for_corners_is_told_with_what_to_use(ssd_config: Any, loss: str, outcome: str) -> None:
    found = notes_of(ssd_config, f"model {{ ssd {{ loss {{ localization_loss {{ {loss} {{ }} }} }} }} }}")
    assert found[f"model.ssd.loss.localization_loss.{loss}"] == (
        f"reads box codes as if they were corners, as the API's SSD does: {outcome}; use weighted_smooth_l1 {{ }}"
    )
    assert not any("localization_loss" in path for path in notes_of(ssd_config, ""))
