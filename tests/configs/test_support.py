"""That what training cannot honour is refused by its full path, and that nothing is silently ignored."""

from __future__ import annotations

from typing import Any

import pytest

from configs import schema, support
from configs.descriptors import message_descriptor
from configs.run_rules import SUPPORTED_AUGMENTATIONS
from configs.support import RULES


def problems_after(config: Any, override: str) -> dict[str, support.Problem]:
    problems = support.check_supported(schema.merge(config, override))
    assert len({problem.path for problem in problems}) == len(problems), "a path is told twice"
    return {problem.path: problem for problem in problems}


class TestTable:
    def test_names_fields_that_exist_and_each_once(self) -> None:
        for name, rules in RULES.items():
            fields = {field.name for field in message_descriptor(name).fields}
            listed = [*rules.honoured.split(), *rules.no_effect, *rules.only, *rules.refused]
            assert set(listed) <= fields, name
            assert len(listed) == len(set(listed)), name

    def test_forgets_no_field_of_a_message_that_training_looks_into(self) -> None:
        def visit(descriptor: Any) -> None:
            name = descriptor.full_name.removeprefix("object_detection.protos.")
            if name in seen:
                return
            seen.add(name)
            rules = RULES[name]
            listed = {*rules.honoured.split(), *rules.no_effect, *rules.only, *rules.refused}
            assert {field.name for field in descriptor.fields} == listed, name
            for field in descriptor.fields:
                # Single augmentations are read whole.
                if field.message_type and field.name in rules.honoured_names and name != "PreprocessingStep":
                    visit(field.message_type)

        seen: set[str] = set()
        visit(message_descriptor("TrainEvalPipelineConfig"))
        flips = {"RandomHorizontalFlip", "RandomVerticalFlip", "RandomRotation90"}
        assert seen | flips == set(RULES)

    def test_values_honoured_are_of_the_fields_type(self) -> None:
        for name, rules in RULES.items():
            for field_name, only in rules.only.items():
                field = message_descriptor(name).fields_by_name[field_name]
                default = support.plain_value(field, field.default_value)
                assert all(type(value) is type(default) for value in only.values), f"{name}.{field_name}"

    def test_augmentations_are_those_that_the_training_input_carries_out(self) -> None:
        pytest.importorskip("tensorflow")
        from train.inputs.augmentations.pipeline import AUGMENTATIONS

        assert frozenset(AUGMENTATIONS) == SUPPORTED_AUGMENTATIONS


class TestSsd:
    def test_a_good_config_has_no_problems(self, ssd_config: Any) -> None:
        assert support.check_supported(ssd_config) == []
        support.require_supported(ssd_config)

    @pytest.mark.parametrize(
        ("override", "path", "hint"),
        [
            ("return_raw_detections_during_predict: true", "return_raw_detections_during_predict", "delete it"),
            ("encode_background_as_zeros: false", "encode_background_as_zeros", "encode_background_as_zeros: true"),
            ("mask_head_config { mask_height: 3 }", "mask_head_config", "delete it"),
            ("mask_head_config { }", "mask_head_config", "delete it"),
            ("matcher { bipartite_matcher { } }", "matcher.bipartite_matcher", "argmax_matcher"),
            ("box_coder { square_box_coder { } }", "box_coder.square_box_coder", "faster_rcnn_box_coder"),
            ("similarity_calculator { ioa_similarity { } }", "similarity_calculator.ioa_similarity", "iou_similarity"),
            ("anchor_generator { ssd_anchor_generator { } }", "anchor_generator.ssd_anchor_generator", "multiscale"),
            ("anchor_generator { grid_anchor_generator { } }", "anchor_generator.grid_anchor_generator", "multiscale"),
            ("loss { hard_example_miner { } }", "loss.hard_example_miner", "weighted_sigmoid_focal"),
            (
                "loss { classification_loss { weighted_softmax { } } }",
                "loss.classification_loss.weighted_softmax",
                "weighted_sigmoid_focal",
            ),
            (
                "loss { localization_loss { weighted_giou { } } }",
                "loss.localization_loss.weighted_giou",
                "weighted_smooth_l1",
            ),
            ("feature_extractor { bifpn { } }", "feature_extractor.bifpn", "use fpn"),
            (
                "feature_extractor { conv_hyperparams { group_norm { } } }",
                "feature_extractor.conv_hyperparams.group_norm",
                "batch_norm",
            ),
            ("feature_extractor { depth_multiplier: 0.5 }", "feature_extractor.depth_multiplier", "1.0"),
            ("post_processing { score_converter: SOFTMAX }", "post_processing.score_converter", "SIGMOID"),
            (
                "post_processing { batch_non_max_suppression { soft_nms_sigma: 0.5 } }",
                "post_processing.batch_non_max_suppression.soft_nms_sigma",
                "soft_nms_sigma: 0.0",
            ),
            ("image_resizer { identity_resizer { } }", "image_resizer.identity_resizer", "fixed_shape_resizer"),
            (
                "image_resizer { fixed_shape_resizer { convert_to_grayscale: true } }",
                "image_resizer.fixed_shape_resizer.convert_to_grayscale",
                "random_rgb_to_gray",
            ),
            (
                "image_resizer { keep_aspect_ratio_resizer { min_dimension: 300 } }",
                "image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension",
                "pad_to_max_dimension: true",
            ),
            (
                "image_resizer { keep_aspect_ratio_resizer { min_dimension: 900 max_dimension: 300 "
                "pad_to_max_dimension: true } }",
                "image_resizer.keep_aspect_ratio_resizer.min_dimension",
                "smaller",
            ),
            (
                "anchor_generator { multiscale_anchor_generator { max_level: 6 } }",
                "anchor_generator.multiscale_anchor_generator.max_level",
                "equal",
            ),
            ("num_classes: 0", "num_classes", "label map"),
            ("loss { localization_weight: nan }", "loss.localization_weight", "finite"),
        ],
    )
    def test_refuses_by_full_path(self, ssd_config: Any, override: str, path: str, hint: str) -> None:
        problems = problems_after(ssd_config, f"model {{ ssd {{ {override} }} }}")
        assert list(problems) == [f"model.ssd.{path}"]
        assert hint in str(problems[f"model.ssd.{path}"])

    def test_a_refused_field_set_to_its_default_changes_nothing(self, ssd_config: Any) -> None:
        override = (
            "model { ssd { return_raw_detections_during_predict: false explicit_background_class: false "
            "negative_class_weight: 1.0 feature_extractor { pad_to_multiple: 1 use_explicit_padding: false } } }"
        )
        assert problems_after(ssd_config, override) == {}

    def test_a_default_that_cannot_be_honoured_is_refused_when_unset(self, ssd_config: Any) -> None:
        ssd_config.model.ssd.ClearField("encode_background_as_zeros")
        ssd_config.model.ssd.post_processing.ClearField("score_converter")
        problems = {problem.path: problem.reason for problem in support.check_supported(ssd_config)}
        assert set(problems) == {"model.ssd.encode_background_as_zeros", "model.ssd.post_processing.score_converter"}
        assert all("unset, which means" in reason for reason in problems.values())

    def test_what_is_missing_is_named(self) -> None:
        config = schema.parse_pipeline_config("model { ssd { encode_background_as_zeros: true } }")
        paths = {problem.path for problem in support.check_supported(config)}
        assert {
            "model.ssd.num_classes",
            "model.ssd.image_resizer",
            "model.ssd.feature_extractor.type",
            "model.ssd.box_coder",
            "model.ssd.matcher",
            "model.ssd.similarity_calculator",
            "model.ssd.anchor_generator",
            "model.ssd.box_predictor",
            "model.ssd.loss.classification_loss",
            "model.ssd.loss.localization_loss",
        } <= paths

    @pytest.mark.parametrize(
        ("name", "instead"),
        [
            ("ssd_resnet50_v1_fpn", "use 'ssd_resnet50_v1_fpn_keras'"),
            ("ssd_mobilenet_v2_fpn_kers", "use 'ssd_mobilenet_v2_fpn_keras'"),
            ("vgg", "use one of ssd_efficientnet-lite0_fpn_keras, "),
            ("", "is not set"),
        ],
    )
    def test_networks_are_named(self, ssd_config: Any, name: str, instead: str) -> None:
        problems = problems_after(ssd_config, f'model {{ ssd {{ feature_extractor {{ type: "{name}" }} }} }}')
        assert instead in str(problems["model.ssd.feature_extractor.type"])


class TestFasterRcnn:
    def test_a_good_config_has_no_problems(self, faster_rcnn_config: Any) -> None:
        assert support.check_supported(faster_rcnn_config) == []

    @pytest.mark.parametrize(
        ("override", "path", "hint"),
        [
            ("number_of_stages: 3", "number_of_stages", "number_of_stages: 2"),
            ("first_stage_atrous_rate: 2", "first_stage_atrous_rate", "1"),
            ("hard_example_miner { }", "hard_example_miner", "second_stage_batch_size"),
            ("context_config { }", "context_config", "delete it"),
            ("initial_crop_size: 0", "initial_crop_size", "14"),
            (
                "feature_extractor { first_stage_features_stride: 8 }",
                "feature_extractor.first_stage_features_stride",
                "16",
            ),
            (
                "second_stage_box_predictor { mask_rcnn_box_predictor { predict_instance_masks: true } }",
                "second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks",
                "only boxes",
            ),
            (
                "second_stage_classification_loss { weighted_sigmoid { } }",
                "second_stage_classification_loss.weighted_sigmoid",
                "weighted_softmax",
            ),
            (
                "second_stage_post_processing { score_converter: SIGMOID }",
                "second_stage_post_processing.score_converter",
                "SOFTMAX",
            ),
            (
                "first_stage_anchor_generator { multiscale_anchor_generator { } }",
                "first_stage_anchor_generator.multiscale_anchor_generator",
                "grid_anchor_generator",
            ),
        ],
    )
    def test_refuses_by_full_path(self, faster_rcnn_config: Any, override: str, path: str, hint: str) -> None:
        problems = problems_after(faster_rcnn_config, f"model {{ faster_rcnn {{ {override} }} }}")
        assert f"model.faster_rcnn.{path}" in problems
        assert hint in str(problems[f"model.faster_rcnn.{path}"])

    def test_strides_of_anchors_are_the_feature_maps(self, faster_rcnn_config: Any) -> None:
        generator = "first_stage_anchor_generator { grid_anchor_generator { height_stride: 8 } }"
        problems = problems_after(faster_rcnn_config, f"model {{ faster_rcnn {{ {generator} }} }}")
        path = "model.faster_rcnn.first_stage_anchor_generator.grid_anchor_generator.height_stride"
        assert "use 16" in str(problems[path])

    def test_a_pyramid_needs_multiscale_anchors_of_its_levels(self, faster_rcnn_config: Any) -> None:
        override = (
            'model { faster_rcnn { feature_extractor { type: "faster_rcnn_resnet50_fpn_keras" '
            "fpn { min_level: 2 max_level: 6 } } first_stage_anchor_generator { multiscale_anchor_generator { "
            "min_level: 2 max_level: 6 aspect_ratios: [1.0, 2.0, 0.5] } } } }"
        )
        assert problems_after(faster_rcnn_config, override) == {}
        problems = problems_after(faster_rcnn_config, override.replace("max_level: 6 aspect", "max_level: 5 aspect"))
        assert list(problems) == [
            "model.faster_rcnn.first_stage_anchor_generator.multiscale_anchor_generator.max_level"
        ]

    def test_the_name_in_tensorflow_1_is_explained(self, faster_rcnn_config: Any) -> None:
        override = 'model { faster_rcnn { feature_extractor { type: "faster_rcnn_resnet101" } } }'
        problem = problems_after(faster_rcnn_config, override)["model.faster_rcnn.feature_extractor.type"]
        assert "TensorFlow 1" in problem.reason
        assert problem.use_instead == "use 'faster_rcnn_resnet101_keras'"


class TestOtherParts:
    @pytest.mark.parametrize(
        ("override", "path", "hint"),
        [
            ("graph_rewriter { quantization { delay: 3 } }", "graph_rewriter", "quantization"),
            ("model { center_net { } }", "model.center_net", "model.ssd"),
            ('model { experimental_model { name: "x" } }', "model.experimental_model", "model.ssd"),
            (
                "train_config { data_augmentation_options { remap_labels { new_label: 1 } } }",
                "train_config.data_augmentation_options[2].remap_labels",
                "write the records",
            ),
            ("train_config { data_augmentation_options { } }", "train_config.data_augmentation_options[2]", "empty"),
            ("train_config { fine_tune_checkpoint_version: V1 }", "train_config.fine_tune_checkpoint_version", "V2"),
            (
                'train_config { fine_tune_checkpoint_type: "detektion" }',
                "train_config.fine_tune_checkpoint_type",
                'use "detection"',
            ),
            ("train_config { batch_size: 0 }", "train_config.batch_size", "1 or more"),
            ("train_config { add_regularization_loss: false }", "train_config.add_regularization_loss", "weight"),
            (
                'eval_config { metrics_set: "open_images_V2_detection_metrics" }',
                "eval_config.metrics_set[1]",
                "coco_detection_metrics",
            ),
            ("eval_config { keypoint_edge { } keypoint_edge { } }", "eval_config.keypoint_edge", "keypoints"),
            ("train_input_reader { load_instance_masks: true }", "train_input_reader.load_instance_masks", "boxes"),
            (
                "train_input_reader { sample_from_datasets_weights: [1.0, 2.0] }",
                "train_input_reader.sample_from_datasets_weights",
                "2 weights for 1 input_path",
            ),
            ("eval_input_reader { }", "eval_input_reader[1]", "tf_record_input_reader"),
            (
                "train_config { use_bfloat16: true } extensions { mixed_precision: MIXED_FLOAT16 }",
                "extensions.mixed_precision",
                "contradicts",
            ),
        ],
    )
    def test_refuses_by_full_path(self, ssd_config: Any, override: str, path: str, hint: str) -> None:
        problems = problems_after(ssd_config, override)
        assert list(problems) == [path]
        assert hint in str(problems[path])

    def test_all_problems_are_told_at_once_a_line_each(self, ssd_config: Any) -> None:
        config = schema.merge(
            ssd_config,
            "train_config { batch_size: 0 } graph_rewriter { } model { ssd { mask_head_config { } } }",
        )
        with pytest.raises(schema.ConfigError) as caught:
            support.require_supported(config, "p.config")
        assert len(caught.value.problems) == 3
        assert all(problem.startswith("p.config: ") for problem in str(caught.value).splitlines())

    def test_an_empty_config_asks_for_a_model_only(self) -> None:
        assert [p.path for p in support.check_supported(schema.parse_pipeline_config(""))] == ["model"]

    def test_old_machinery_is_noted_and_not_refused(self, ssd_config: Any) -> None:
        config = schema.merge(
            ssd_config,
            "train_config { sync_replicas: true batch_queue_capacity: 50 unpad_groundtruth_tensors: false }"
            "train_input_reader { num_parallel_batches: 3 }"
            "model { ssd { matcher { argmax_matcher { use_matmul_gather: true } } } }",
        )
        assert support.check_supported(config) == []
        notes = {note.path: str(note) for note in support.fields_without_effect(config)}
        assert set(notes) == {
            "model.ssd.matcher.argmax_matcher.use_matmul_gather",
            "train_config.sync_replicas",
            "train_config.batch_queue_capacity",
            "train_config.unpad_groundtruth_tensors",
            "train_input_reader.num_parallel_batches",
        }
        assert all("has no effect" in note for note in notes.values())
