"""What training here does with each field of a model: one entry for every field of every message that it looks into."""

from __future__ import annotations

from configs.layer_rules import LAYER_RULES
from configs.rules import BOXES_ONLY, CONTEXT, INPLACE, RAW_OUTPUTS, TPU_MATMUL, TPU_SHAPES, Rules, each

_NMS_KIND = "the same NMS is always computed the fast way"

MODEL_RULES: dict[str, Rules] = {
    "DetectionModel": Rules(
        honoured="ssd faster_rcnn",
        refused={
            "center_net": (
                "CenterNet is not supported",
                "use model.ssd: configs/ssd_resnet50_v1_fpn_640.config",
            ),
            "experimental_model": ("models registered by somebody's own code are not supported", "use model.ssd"),
        },
    ),
    # ---------------------------------------------------------------------------------------------------------- SSD
    "Ssd": Rules(
        honoured="num_classes image_resizer feature_extractor box_coder matcher similarity_calculator box_predictor "
        "anchor_generator post_processing normalize_loss_by_num_matches normalize_loc_loss_by_codesize loss "
        "freeze_batchnorm add_background_class encode_background_as_zeros explicit_background_class "
        "negative_class_weight use_confidences_as_targets implicit_example_weight",
        no_effect={"inplace_batchnorm_update": INPLACE},
        refused={
            "return_raw_detections_during_predict": RAW_OUTPUTS,
            "mask_head_config": BOXES_ONLY,
        },
    ),
    # What depends on the network, such as use_explicit_padding, is for model_checks.py.
    "SsdFeatureExtractor": Rules(
        honoured="type depth_multiplier min_depth conv_hyperparams override_base_feature_extractor_hyperparams "
        "use_depthwise fpn bifpn pad_to_multiple use_explicit_padding num_layers "
        "replace_preprocessor_with_placeholder spaghettinet_arch_name",
    ),
    "FeaturePyramidNetworks": Rules("min_level max_level additional_layer_depth"),
    "BidirectionalFeaturePyramidNetworks": Rules("min_level max_level num_iterations num_filters combine_method"),
    # ------------------------------------------------------------------------------------------------- Faster R-CNN
    "FasterRcnn": Rules(
        honoured="number_of_stages num_classes image_resizer feature_extractor first_stage_anchor_generator "
        "first_stage_atrous_rate first_stage_box_predictor_conv_hyperparams first_stage_box_predictor_kernel_size "
        "first_stage_box_predictor_depth first_stage_minibatch_size first_stage_positive_balance_fraction "
        "first_stage_nms_score_threshold first_stage_nms_iou_threshold first_stage_max_proposals "
        "first_stage_localization_loss_weight first_stage_objectness_loss_weight initial_crop_size "
        "maxpool_kernel_size maxpool_stride second_stage_box_predictor second_stage_batch_size "
        "second_stage_balance_fraction second_stage_post_processing second_stage_localization_loss_weight "
        "second_stage_classification_loss_weight second_stage_classification_loss clip_anchors_to_image "
        "hard_example_miner",
        no_effect={
            "second_stage_mask_prediction_loss_weight": "no masks are predicted",
            "resize_masks": "no masks are predicted",
            "inplace_batchnorm_update": INPLACE,
            "use_matmul_crop_and_resize": TPU_MATMUL,
            "use_matmul_gather_in_matcher": TPU_MATMUL,
            "use_static_balanced_label_sampler": TPU_SHAPES,
            "use_static_shapes": TPU_SHAPES,
            "use_static_shapes_for_eval": TPU_SHAPES,
            "use_partitioned_nms_in_first_stage": _NMS_KIND,
            "use_combined_nms_in_first_stage": _NMS_KIND,
        },
        refused={
            "return_raw_detections_during_predict": RAW_OUTPUTS,
            "output_final_box_features": RAW_OUTPUTS,
            "output_final_box_rpn_features": RAW_OUTPUTS,
            "context_config": CONTEXT,
        },
    ),
    "FasterRcnnFeatureExtractor": Rules(
        "type first_stage_features_stride batch_norm_trainable conv_hyperparams "
        "override_base_feature_extractor_hyperparams fpn",
        no_effect={"pad_to_multiple": "the API reads it nowhere: it pads inputs of pyramids to 32, and others not"},
    ),
    # ---------------------------------------------------------------------------------------------------- resizers
    "ImageResizer": Rules(
        "fixed_shape_resizer keep_aspect_ratio_resizer identity_resizer conditional_shape_resizer "
        "pad_to_multiple_resizer"
    ),
    "FixedShapeResizer": Rules("height width resize_method convert_to_grayscale"),
    "KeepAspectRatioResizer": Rules(
        "min_dimension max_dimension resize_method pad_to_max_dimension convert_to_grayscale per_channel_pad_value"
    ),
    "IdentityResizer": Rules(),
    "ConditionalShapeResizer": Rules("condition size_threshold resize_method convert_to_grayscale"),
    "PadToMultipleResizer": Rules("multiple convert_to_grayscale"),
    # ----------------------------------------------------------------------------------------------------- anchors
    "AnchorGenerator": Rules(
        "grid_anchor_generator ssd_anchor_generator multiscale_anchor_generator flexible_grid_anchor_generator"
    ),
    "GridAnchorGenerator": Rules(
        "height width height_stride width_stride height_offset width_offset scales aspect_ratios"
    ),
    "SsdAnchorGenerator": Rules(
        "num_layers min_scale max_scale scales aspect_ratios interpolated_scale_aspect_ratio "
        "reduce_boxes_in_lowest_layer base_anchor_height base_anchor_width height_stride width_stride height_offset "
        "width_offset"
    ),
    "MultiscaleAnchorGenerator": Rules(
        "min_level max_level anchor_scale aspect_ratios scales_per_octave",
        no_effect={"normalize_coordinates": "the units of anchors inside the model change nothing outside it"},
    ),
    "FlexibleGridAnchorGenerator": Rules(
        "anchor_grid",
        no_effect={"normalize_coordinates": "the units of anchors inside the model change nothing outside it"},
    ),
    "AnchorGrid": Rules("base_sizes aspect_ratios height_stride width_stride height_offset width_offset"),
    # ----------------------------------------------------------------------------------------------------- targets
    "RegionSimilarityCalculator": Rules(
        "neg_sq_dist_similarity iou_similarity ioa_similarity thresholded_iou_similarity"
    ),
    "IouSimilarity": Rules(),
    "IoaSimilarity": Rules(),
    "NegSqDistSimilarity": Rules(),
    "ThresholdedIouSimilarity": Rules("iou_threshold"),
    "Matcher": Rules("argmax_matcher bipartite_matcher"),
    "ArgMaxMatcher": Rules(
        "matched_threshold unmatched_threshold ignore_thresholds negatives_lower_than_unmatched "
        "force_match_for_each_row",
        no_effect={"use_matmul_gather": TPU_MATMUL},
    ),
    "BipartiteMatcher": Rules(no_effect={"use_matmul_gather": TPU_MATMUL}),
    "BoxCoder": Rules(
        honoured="faster_rcnn_box_coder mean_stddev_box_coder square_box_coder",
        refused=each("keypoint_box_coder", ("keypoints are not detected here", "use faster_rcnn_box_coder { }")),
    ),
    "FasterRcnnBoxCoder": Rules("y_scale x_scale height_scale width_scale"),
    "MeanStddevBoxCoder": Rules("stddev"),
    "SquareBoxCoder": Rules("y_scale x_scale length_scale"),
    **LAYER_RULES,
}
