"""That what training cannot honour is refused by its full path, and that nothing is silently ignored."""

from __future__ import annotations

from typing import Any

import pytest

from configs.schema import pipeline_file
from configs.schema.problem import ConfigError
from configs.settings.augmentations.options import AUGMENTATIONS
from configs.settings.pipeline import read_pipeline
from tests.configs import verdicts


def problems_after(config: Any, override: str) -> dict[str, verdicts.Problem]:
    problems = verdicts.check_supported(pipeline_file.merge(config, override))
    assert len({problem.path for problem in problems}) == len(problems), "a path is told twice"
    return {problem.path: problem for problem in problems}


class TestAugmentations:
    def test_are_those_that_the_training_input_carries_out(self) -> None:
        pytest.importorskip("tensorflow")
        from train.inputs.augmentations import pipeline

        assert set(pipeline.AUGMENTATIONS) == set(AUGMENTATIONS)


class TestSsd:
    def test_a_good_config_has_no_problems(self, ssd_config: Any) -> None:
        assert verdicts.check_supported(ssd_config) == []
        verdicts.require_supported(ssd_config)

    @pytest.mark.parametrize(
        ("override", "path", "hint"),
        [
            ("return_raw_detections_during_predict: true", "return_raw_detections_during_predict", "delete it"),
            ("loss { expected_loss_weights: EXPECTED_SAMPLING }", "loss.expected_loss_weights", "NONE"),
            ("mask_head_config { mask_height: 3 }", "mask_head_config", "delete it"),
            ("mask_head_config { }", "mask_head_config", "delete it"),
            ("box_coder { keypoint_box_coder { } }", "box_coder.keypoint_box_coder", "faster_rcnn_box_coder"),
            (
                "box_coder { square_box_coder { } }",
                "box_predictor.weight_shared_convolutional_box_predictor.box_code_size",
                "use 3",
            ),
            (
                "anchor_generator { ssd_anchor_generator { aspect_ratios: 1.0 reduce_boxes_in_lowest_layer: false } }",
                "anchor_generator.ssd_anchor_generator.num_layers",
                "num_layers: 5",
            ),
            (
                "anchor_generator { ssd_anchor_generator { num_layers: 5 aspect_ratios: 1.0 } }",
                "box_predictor.weight_shared_convolutional_box_predictor",
                "convolutional_box_predictor",
            ),
            (
                "matcher { argmax_matcher { matched_threshold: 0.4 unmatched_threshold: 0.6 } }",
                "matcher.argmax_matcher.unmatched_threshold",
                "the same or less",
            ),
            ("loss { hard_example_miner { } }", "loss.hard_example_miner", "weighted_sigmoid"),
            (
                "loss { random_example_sampler { positive_sample_fraction: 0 } }",
                "loss.random_example_sampler.positive_sample_fraction",
                "above 0",
            ),
            (
                "add_background_class: true explicit_background_class: true",
                "explicit_background_class",
                "add_background_class: false",
            ),
            (
                "box_predictor { convolutional_box_predictor { min_depth: 9 } }",
                "box_predictor.convolutional_box_predictor.min_depth",
                "smaller",
            ),
            (
                "post_processing { calibration_config { function_approximation { x_y_pairs { x_y_pair { x: 1 } "
                "x_y_pair { x: 0 } } } } }",
                "post_processing.calibration_config.function_approximation.x_y_pairs.x_y_pair",
                "rising x",
            ),
            (
                "anchor_generator { grid_anchor_generator { scales: 1.0 aspect_ratios: 1.0 } }",
                "anchor_generator.grid_anchor_generator",
                "multiscale_anchor_generator",
            ),
            (
                "anchor_generator { multiscale_anchor_generator { max_level: 6 } }",
                "anchor_generator.multiscale_anchor_generator.max_level",
                "min_level: 3 max_level: 7",
            ),
            (
                "anchor_generator { flexible_grid_anchor_generator { anchor_grid { base_sizes: [1.0, 2.0] "
                "aspect_ratios: 1.0 height_stride: 1 width_stride: 1 } } }",
                "anchor_generator.flexible_grid_anchor_generator.anchor_grid[0].aspect_ratios",
                "one to each",
            ),
            (
                "anchor_generator { ssd_anchor_generator { num_layers: 5 aspect_ratios: 1.0 "
                "reduce_boxes_in_lowest_layer: false height_stride: [8, 16, 32, 64, 128] } }",
                "anchor_generator.ssd_anchor_generator.width_stride",
                "one to each layer",
            ),
            (
                "loss { classification_loss { weighted_dice_classification_loss { } } }",
                "loss.classification_loss.weighted_dice_classification_loss",
                "weighted_sigmoid_focal",
            ),
            ("feature_extractor { bifpn { } }", "feature_extractor.bifpn", "use fpn"),
            ("feature_extractor { use_explicit_padding: true }", "feature_extractor.use_explicit_padding", "SAME"),
            (
                "image_resizer { keep_aspect_ratio_resizer { min_dimension: 300 max_dimension: 300 "
                "pad_to_max_dimension: true } }",
                "image_resizer.keep_aspect_ratio_resizer",
                "pad_to_multiple: 32",
            ),
            ("feature_extractor { depth_multiplier: 0.5 }", "feature_extractor.depth_multiplier", "1.0"),
            (
                "post_processing { batch_non_max_suppression { max_detections_per_class: 200 } }",
                "post_processing.batch_non_max_suppression.max_detections_per_class",
                "100 or fewer",
            ),
            (
                "loss { expected_loss_weights: EXPECTED_SAMPLING }",
                "loss.expected_loss_weights",
                "expected_loss_weights: NONE",
            ),
            (
                "post_processing { calibration_config { } }",
                "post_processing.calibration_config",
                "function_approximation",
            ),
            (
                "image_resizer { keep_aspect_ratio_resizer { min_dimension: 900 max_dimension: 300 "
                "pad_to_max_dimension: true } }",
                "image_resizer.keep_aspect_ratio_resizer.min_dimension",
                "smaller",
            ),
            (
                "image_resizer { keep_aspect_ratio_resizer { per_channel_pad_value: 127.0 } }",
                "image_resizer.keep_aspect_ratio_resizer.per_channel_pad_value",
                "give 3",
            ),
            ("box_predictor { mask_rcnn_box_predictor { } }", "box_predictor.mask_rcnn_box_predictor", "weight_shared"),
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

    @pytest.mark.parametrize(
        "override",
        [
            "encode_background_as_zeros: false add_background_class: true",
            "add_background_class: false explicit_background_class: true",
            "negative_class_weight: 0.5 implicit_example_weight: 0.1",
            "matcher { bipartite_matcher { } }",
            "similarity_calculator { thresholded_iou_similarity { iou_threshold: 0.4 } }",
            "box_coder { mean_stddev_box_coder { stddev: 0.1 } }",
            "box_coder { square_box_coder { } } box_predictor { weight_shared_convolutional_box_predictor { "
            "box_code_size: 3 } }",
            "anchor_generator { ssd_anchor_generator { num_layers: 5 } } "
            "box_predictor { convolutional_box_predictor { } }",
            "loss { hard_example_miner { } random_example_sampler { } classification_loss { weighted_sigmoid { } } }",
            "loss { min_num_negative_samples: 10 equalization_loss { weight: 1.0 } }",
            "use_confidences_as_targets: true implicit_example_weight: 0.5",
            "loss { classification_loss { bootstrapped_sigmoid { alpha: 0.5 } } }",
            "loss { classification_loss { weighted_softmax { logit_scale: 2.0 } } } "
            "post_processing { score_converter: SOFTMAX }",
            "loss { localization_loss { weighted_giou { } } }",
            "box_predictor { convolutional_box_predictor { box_encodings_clip_range { min: -5 max: 5 } } }",
            "feature_extractor { conv_hyperparams { group_norm { } regularize_depthwise: true } }",
            "feature_extractor { conv_hyperparams { initializer { keras_initializer_by_name: 'he_normal' } } }",
            "feature_extractor { pad_to_multiple: 32 } "
            "image_resizer { fixed_shape_resizer { height: 300 width: 301 } }",
            "image_resizer { identity_resizer { } }",
            "image_resizer { pad_to_multiple_resizer { multiple: 32 convert_to_grayscale: true } }",
            "image_resizer { keep_aspect_ratio_resizer { per_channel_pad_value: [1.0, 2.0, 3.0] } }",
            "post_processing { batch_non_max_suppression { soft_nms_sigma: 0.5 use_class_agnostic_nms: true "
            "change_coordinate_frame: false } }",
            "post_processing { calibration_config { temperature_scaling_calibration { scaler: 2.0 } } }",
        ],
    )
    def test_honours(self, ssd_config: Any, override: str) -> None:
        assert problems_after(ssd_config, f"model {{ ssd {{ {override} }} }}") == {}

    def test_scores_that_do_not_go_with_the_loss_are_noted(self, ssd_config: Any) -> None:
        ssd_config.model.ssd.post_processing.ClearField("score_converter")
        assert verdicts.check_supported(ssd_config) == []
        notes = [str(note) for note in verdicts.fields_without_effect(ssd_config)]
        assert any("unset, which means IDENTITY" in note and "come with SIGMOID" in note for note in notes)

    def test_batches_of_different_sizes_are_noted(self, ssd_config: Any) -> None:
        config = pipeline_file.merge(ssd_config, "model { ssd { image_resizer { keep_aspect_ratio_resizer { } } } }")
        notes = {note.path: str(note) for note in verdicts.fields_without_effect(config)}
        assert "padded with zeros to the largest" in notes["train_config.batch_size"]

    def test_a_pyramid_of_levels_of_its_own_needs_anchors_for_as_many(self, ssd_config: Any) -> None:
        pyramid = "feature_extractor { fpn { min_level: 2 max_level: 6 } }"
        config = pipeline_file.merge(ssd_config, f"model {{ ssd {{ {pyramid} }} }}")
        assert verdicts.check_supported(config) == []
        notes = {note.path: str(note) for note in verdicts.fields_without_effect(config)}
        assert "another level's" in notes["model.ssd.anchor_generator.multiscale_anchor_generator.min_level"]

    def test_what_is_missing_is_named(self) -> None:
        config = pipeline_file.parse_pipeline_config("model { ssd { encode_background_as_zeros: true } }")
        paths = {problem.path for problem in verdicts.check_supported(config)}
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
            ("ssd_mobilenet_v1_ppn", "in TensorFlow 1 only; the nearest that is here: 'ssd_mobilenet_v2_fpn_keras'"),
            ("ssd_efficientnet-b8_bifpn_keras", "use 'ssd_efficientnet-b"),
            ("faster_rcnn_resnet50_keras", "is a network of model.faster_rcnn"),
            ("", "is not set"),
        ],
    )
    def test_networks_are_named(self, ssd_config: Any, name: str, instead: str) -> None:
        problems = problems_after(ssd_config, f'model {{ ssd {{ feature_extractor {{ type: "{name}" }} }} }}')
        assert instead in str(problems["model.ssd.feature_extractor.type"])

    def test_plain_ssd_has_padding_maps_and_widths_of_its_own(self, ssd_config: Any) -> None:
        override = (
            'model { ssd { feature_extractor { type: "ssd_mobilenet_v2_keras" use_explicit_padding: true num_layers: 6 '
            "depth_multiplier: 0.75 } anchor_generator { ssd_anchor_generator { } } "
            "box_predictor { convolutional_box_predictor { } } } }"
        )
        assert list(problems_after(ssd_config, override)) == ["model.ssd.feature_extractor.fpn"]

    @pytest.mark.parametrize(
        ("extractor", "field", "hint"),
        [
            ('type: "ssd_resnet50_v1_fpn_keras" use_explicit_padding: true', "use_explicit_padding", "delete it"),
            ('type: "ssd_resnet50_v1_fpn_keras" use_depthwise: true', "use_depthwise", "delete it"),
            ('type: "ssd_efficientnet-b0_bifpn_keras" depth_multiplier: 0.5', "depth_multiplier", "use 1.0"),
            ('type: "ssd_efficientnet-b0_bifpn_keras" fpn { }', "fpn", "use bifpn { }"),
            ('type: "ssd_mobilenet_v1_keras" num_layers: 7', "num_layers", "use 6"),
        ],
    )
    def test_what_a_network_does_not_have_is_refused(
        self, ssd_config: Any, extractor: str, field: str, hint: str
    ) -> None:
        problems = problems_after(ssd_config, f"model {{ ssd {{ feature_extractor {{ {extractor} }} }} }}")
        assert hint in str(problems[f"model.ssd.feature_extractor.{field}"])

    def test_model_gardens_backbone_must_be_named(self, ssd_config: Any) -> None:
        override = 'model { ssd { feature_extractor { type: "ssd_model_garden_fpn" } } }'
        assert list(problems_after(ssd_config, override)) == ["extensions.model_garden_backbone.type"]
        named = override + " extensions { model_garden_backbone { type: 'resnet' parameter: 'model_id: 18' } }"
        assert not problems_after(ssd_config, named)


class TestFasterRcnn:
    def test_a_good_config_has_no_problems(self, faster_rcnn_config: Any) -> None:
        assert verdicts.check_supported(faster_rcnn_config) == []

    @pytest.mark.parametrize(
        ("override", "path", "hint"),
        [
            ("number_of_stages: 3", "number_of_stages", "use 2"),
            ("context_config { }", "context_config", "delete it"),
            ("initial_crop_size: 0", "initial_crop_size", "14"),
            ("second_stage_batch_size: 301", "second_stage_batch_size", "300 or fewer"),
            (
                "feature_extractor { first_stage_features_stride: 4 }",
                "feature_extractor.first_stage_features_stride",
                "16 or 8",
            ),
            ("feature_extractor { fpn { } }", "feature_extractor.fpn", "faster_rcnn_resnet50_fpn_keras"),
            (
                "second_stage_box_predictor { mask_rcnn_box_predictor { predict_instance_masks: true } }",
                "second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks",
                "only boxes",
            ),
            (
                "second_stage_box_predictor { rfcn_box_predictor { } }",
                "second_stage_box_predictor.rfcn_box_predictor",
                "mask_rcnn_box_predictor",
            ),
            (
                "second_stage_classification_loss { bootstrapped_sigmoid { } }",
                "second_stage_classification_loss.bootstrapped_sigmoid",
                "weighted_softmax",
            ),
            (
                "first_stage_anchor_generator { multiscale_anchor_generator { aspect_ratios: 1.0 } }",
                "first_stage_anchor_generator.multiscale_anchor_generator",
                "grid_anchor_generator",
            ),
        ],
    )
    def test_refuses_by_full_path(self, faster_rcnn_config: Any, override: str, path: str, hint: str) -> None:
        problems = problems_after(faster_rcnn_config, f"model {{ faster_rcnn {{ {override} }} }}")
        assert f"model.faster_rcnn.{path}" in problems
        assert hint in str(problems[f"model.faster_rcnn.{path}"])

    def test_r_fcn_is_one_problem(self, faster_rcnn_config: Any) -> None:
        model = faster_rcnn_config.model.faster_rcnn
        for name in ("initial_crop_size", "maxpool_kernel_size", "maxpool_stride"):
            model.ClearField(name)
        problems = problems_after(
            faster_rcnn_config, "model { faster_rcnn { second_stage_box_predictor { rfcn_box_predictor { } } } }"
        )
        assert list(problems) == ["model.faster_rcnn.second_stage_box_predictor.rfcn_box_predictor"]

    def test_a_rule_of_training_leaves_a_model_to_evaluate_and_export(self, faster_rcnn_config: Any) -> None:
        override = "model { faster_rcnn { second_stage_batch_size: 301 } }"
        reading = read_pipeline(pipeline_file.merge(faster_rcnn_config, override))
        assert reading.problems == () and reading.settings is not None
        assert [problem.path for problem in reading.training_problems] == ["model.faster_rcnn.second_stage_batch_size"]

    @pytest.mark.parametrize(
        "override",
        [
            "hard_example_miner { loss_type: BOTH } feature_extractor { pad_to_multiple: 64 }",
            "first_stage_atrous_rate: 2 feature_extractor { first_stage_features_stride: 8 }",
            "second_stage_classification_loss { weighted_sigmoid { } } "
            "second_stage_post_processing { score_converter: SIGMOID }",
            "first_stage_anchor_generator { multiscale_anchor_generator { min_level: 4 max_level: 4 "
            "aspect_ratios: [1.0, 2.0] } }",
            "number_of_stages: 1 initial_crop_size: 0",
        ],
    )
    def test_honours(self, faster_rcnn_config: Any, override: str) -> None:
        assert problems_after(faster_rcnn_config, f"model {{ faster_rcnn {{ {override} }} }}") == {}

    def test_strides_of_anchors_that_are_not_the_feature_maps_are_noted(self, faster_rcnn_config: Any) -> None:
        generator = "first_stage_anchor_generator { grid_anchor_generator { height_stride: 8 } }"
        config = pipeline_file.merge(faster_rcnn_config, f"model {{ faster_rcnn {{ {generator} }} }}")
        assert verdicts.check_supported(config) == []
        notes = {note.path: str(note) for note in verdicts.fields_without_effect(config)}
        path = "model.faster_rcnn.first_stage_anchor_generator.grid_anchor_generator.height_stride"
        assert "8 is not the feature map's stride, 16" in notes[path]

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
                "train_config { data_augmentation_options { scale_boxes_to_pixel_coordinates { } } }",
                "train_config.data_augmentation_options[2].scale_boxes_to_pixel_coordinates",
                "delete it",
            ),
            (
                "train_config { optimizer { momentum_optimizer { learning_rate { manual_step_learning_rate { "
                "schedule { step: 9 } schedule { step: 5 } } } } } }",
                "train_config.optimizer.momentum_optimizer.learning_rate.manual_step_learning_rate.schedule[1].step",
                "greater than the step before it, 9",
            ),
            (
                "extensions { class_aware_sampling { } } train_input_reader { shuffle: false }",
                "extensions.class_aware_sampling",
                "delete one",
            ),
            ("extensions { early_stopping { patience: 0 } }", "extensions.early_stopping.patience", "1 or more"),
            (
                "extensions { class_aware_sampling { max_repeats: 0 } }",
                "extensions.class_aware_sampling.max_repeats",
                "1 or more",
            ),
            (
                'extensions { early_stopping { metric: "PascalBoxes_Precision/mAP@0.5IOU" } }',
                "extensions.early_stopping.metric",
                "begins with Detection",
            ),
            (
                "eval_config { use_moving_averages: true } train_config { optimizer { use_moving_average: false } }",
                "eval_config.use_moving_averages",
                "agree",
            ),
            (
                "model { ssd { post_processing { batch_non_max_suppression { max_classes_per_detection: 2 } } } }",
                "model.ssd.post_processing.batch_non_max_suppression.max_classes_per_detection",
                "use max_classes_per_detection: 1",
            ),
            ("train_config { data_augmentation_options { } }", "train_config.data_augmentation_options[2]", "empty"),
            *(
                (
                    f"train_config {{ data_augmentation_options {{ {name} {{ {fields} }} }} }}",
                    f"train_config.data_augmentation_options[2].{name}.{field}",
                    hint,
                )
                for name, fields, field, hint in [
                    ("autoaugment_image", 'policy_name: "v9"', "policy_name", 'use "v'),
                    ("subtract_channel_mean", "means: [1.0, 2.0]", "means", "2 values for 3 channels"),
                    ("normalize_image", "original_minval: 1.0 original_maxval: 1.0", "original_maxval", "no range"),
                    ("drop_label_probabilistically", "", "label", "unset, which means 0"),
                    ("remap_labels", "original_labels: 1 new_label: 99", "new_label", "above the model's num_classes"),
                ]
            ),
            (
                'train_config { fine_tune_checkpoint_type: "detektion" }',
                "train_config.fine_tune_checkpoint_type",
                'use "detection"',
            ),
            ("train_config { batch_size: 0 }", "train_config.batch_size", "1 or more"),
            ('eval_config { metrics_set: "coco_mask_metrics" }', "eval_config.metrics_set[1]", "is about masks"),
            (
                'eval_config { metrics_set: "pascal_voc_detection_metric" }',
                "eval_config.metrics_set[1]",
                'use "pascal_voc_detection_metrics"',
            ),
            ("eval_config { keypoint_edge { } keypoint_edge { } }", "eval_config.keypoint_edge", "keypoints"),
            ("train_input_reader { load_instance_masks: true }", "train_input_reader.load_instance_masks", "boxes"),
            (
                "train_input_reader { sample_from_datasets_weights: [1.0, 2.0] }",
                "train_input_reader.sample_from_datasets_weights",
                "2 weights for 1 input_path",
            ),
            ("eval_input_reader { }", "eval_input_reader[0]", "tf_record_input_reader"),
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
        config = pipeline_file.merge(
            ssd_config,
            "train_config { batch_size: 0 } graph_rewriter { } model { ssd { mask_head_config { } } }",
        )
        with pytest.raises(ConfigError) as caught:
            verdicts.require_supported(config, "p.config")
        assert len(caught.value.problems) == 3
        assert all(problem.startswith("p.config: ") for problem in str(caught.value).splitlines())

    def test_an_empty_config_asks_for_a_model_only(self) -> None:
        assert [p.path for p in verdicts.check_supported(pipeline_file.parse_pipeline_config(""))] == ["model"]

    def test_old_machinery_is_noted_and_not_refused(self, ssd_config: Any) -> None:
        config = pipeline_file.merge(
            ssd_config,
            "train_config { sync_replicas: true batch_queue_capacity: 50 unpad_groundtruth_tensors: false }"
            "train_input_reader { num_parallel_batches: 3 }"
            "model { ssd { matcher { argmax_matcher { use_matmul_gather: true } }"
            "  box_predictor { weight_shared_convolutional_box_predictor {"
            "    conv_hyperparams { regularize_depthwise: true } } } } }",
        )
        assert verdicts.check_supported(config) == []
        notes = {note.path: str(note) for note in verdicts.fields_without_effect(config)}
        assert set(notes) == {
            "model.ssd.matcher.argmax_matcher.use_matmul_gather",
            "model.ssd.box_predictor.weight_shared_convolutional_box_predictor.conv_hyperparams.regularize_depthwise",
            "train_config.sync_replicas",
            "train_config.batch_queue_capacity",
            "train_config.unpad_groundtruth_tensors",
            "train_input_reader.num_parallel_batches",
        }
        assert all("has no effect" in note for note in notes.values())

    @pytest.mark.parametrize(
        ("override", "path", "text"),
        [
            (
                "train_config { data_augmentation_options { random_downscale_to_target_pixels { } } }",
                "train_config.data_augmentation_options[2].random_downscale_to_target_pixels.max_target_pixels",
                "means 800000 here",
            ),
            (
                "model { ssd { loss { localization_loss { weighted_giou { } } } } }",
                "model.ssd.loss.localization_loss.weighted_giou",
                "as if they were corners",
            ),
        ],
    )
    def test_what_a_reader_would_not_expect_is_noted(
        self, ssd_config: Any, override: str, path: str, text: str
    ) -> None:
        config = pipeline_file.merge(ssd_config, override)
        assert verdicts.check_supported(config) == []
        notes = {note.path: note.text for note in verdicts.fields_without_effect(config)}
        assert text in notes[path]
