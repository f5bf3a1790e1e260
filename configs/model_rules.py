"""What training here does with each field of a model: one entry for every field of every message that it looks into."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from configs.rules import BOXES_ONLY, CONTEXT, KEYPOINTS, Only, Rules, each

SSD_FEATURE_EXTRACTORS = (
    "ssd_efficientnet-lite0_fpn_keras",
    "ssd_mobilenet_v2_fpn_keras",
    "ssd_resnet50_v1_fpn_keras",
    "ssd_resnet101_v1_fpn_keras",
    "ssd_resnet152_v1_fpn_keras",
)
FASTER_RCNN_FEATURE_EXTRACTORS = (
    "faster_rcnn_resnet50_keras",
    "faster_rcnn_resnet101_keras",
    "faster_rcnn_resnet152_keras",
    "faster_rcnn_resnet50_fpn_keras",
    "faster_rcnn_resnet101_fpn_keras",
    "faster_rcnn_resnet152_fpn_keras",
)

_RAW_OUTPUTS = ("training gives detections only", "delete it; the exporter says which outputs a model has")
_TPU_SHAPES = "every shape is static here"
_TPU_MATMUL = "it computes the same in a way that suits a TPU"
_NMS_KIND = "the same NMS is always computed the fast way"
_ANCHORWISE = "losses always have one value an anchor"
_INPLACE = "TensorFlow 2 always updates batch norm in the forward pass"
_FOUR = Only((4,), "a box has 4 numbers")


def _resizer(honoured: str, refused: Mapping[str, tuple[str, str]] | None = None) -> Rules:
    grey = (
        "pictures stay in colour",
        "delete it; random_rgb_to_gray with probability: 1.0 makes them grey in training",
    )
    return Rules(honoured=honoured, refused={"convert_to_grayscale": grey, **(refused or {})})


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
        "freeze_batchnorm",
        no_effect={
            "inplace_batchnorm_update": _INPLACE,
            "add_background_class": "background is an all-zero target and has no logit of its own",
        },
        only={
            "encode_background_as_zeros": Only((True,), "background is an all-zero target here, and not a class"),
            "negative_class_weight": Only((1.0,), "unmatched anchors weigh as much as matched ones"),
            "implicit_example_weight": Only((1.0,), "ground truth weighs what its record says"),
        },
        refused={
            "explicit_background_class": ("ground truth has no background class here", "delete it"),
            "use_confidences_as_targets": ("targets are 0 and 1", "delete it"),
            "return_raw_detections_during_predict": _RAW_OUTPUTS,
            "mask_head_config": BOXES_ONLY,
        },
    ),
    "SsdFeatureExtractor": Rules(
        honoured="type depth_multiplier min_depth conv_hyperparams override_base_feature_extractor_hyperparams "
        "use_depthwise fpn",
        no_effect={"num_layers": "a pyramid's min_level and max_level say how many feature maps there are"},
        only={"pad_to_multiple": Only((1,), "the input keeps the size that image_resizer gives it")},
        refused={
            "use_explicit_padding": ("layers pad as TensorFlow's SAME does", "delete it"),
            "bifpn": ("BiFPN is not supported", "use fpn { }"),
            "replace_preprocessor_with_placeholder": ("the model normalizes its own pixels", "delete it"),
            "spaghettinet_arch_name": ("SpaghettiNet is not supported", "delete it"),
        },
    ),
    "FeaturePyramidNetworks": Rules("min_level max_level additional_layer_depth"),
    # ------------------------------------------------------------------------------------------------- Faster R-CNN
    "FasterRcnn": Rules(
        honoured="num_classes image_resizer feature_extractor first_stage_anchor_generator "
        "first_stage_box_predictor_conv_hyperparams first_stage_box_predictor_kernel_size "
        "first_stage_box_predictor_depth first_stage_minibatch_size first_stage_positive_balance_fraction "
        "first_stage_nms_score_threshold first_stage_nms_iou_threshold first_stage_max_proposals "
        "first_stage_localization_loss_weight first_stage_objectness_loss_weight initial_crop_size "
        "maxpool_kernel_size maxpool_stride second_stage_box_predictor second_stage_batch_size "
        "second_stage_balance_fraction second_stage_post_processing second_stage_localization_loss_weight "
        "second_stage_classification_loss_weight second_stage_classification_loss clip_anchors_to_image",
        no_effect={
            "second_stage_mask_prediction_loss_weight": "no masks are predicted",
            "resize_masks": "no masks are predicted",
            "inplace_batchnorm_update": _INPLACE,
            "use_matmul_crop_and_resize": _TPU_MATMUL,
            "use_matmul_gather_in_matcher": _TPU_MATMUL,
            "use_static_balanced_label_sampler": _TPU_SHAPES,
            "use_static_shapes": _TPU_SHAPES,
            "use_static_shapes_for_eval": _TPU_SHAPES,
            "use_partitioned_nms_in_first_stage": _NMS_KIND,
            "use_combined_nms_in_first_stage": _NMS_KIND,
        },
        only={
            "number_of_stages": Only((2,), "both stages are trained, and no masks"),
            "first_stage_atrous_rate": Only((1,), "the proposal head's convolution is not dilated"),
        },
        refused={
            "hard_example_miner": (
                "hard example mining is not supported",
                "delete it; second_stage_batch_size and second_stage_balance_fraction sample proposals",
            ),
            "return_raw_detections_during_predict": _RAW_OUTPUTS,
            "output_final_box_features": _RAW_OUTPUTS,
            "output_final_box_rpn_features": _RAW_OUTPUTS,
            "context_config": CONTEXT,
        },
    ),
    "FasterRcnnFeatureExtractor": Rules(
        honoured="type batch_norm_trainable conv_hyperparams override_base_feature_extractor_hyperparams fpn",
        only={
            "first_stage_features_stride": Only((16,), "the backbone is not dilated"),
            "pad_to_multiple": Only((32,), "the input keeps the size that image_resizer gives it"),
        },
    ),
    # ---------------------------------------------------------------------------------------------------- resizers
    "ImageResizer": Rules(
        honoured="fixed_shape_resizer keep_aspect_ratio_resizer",
        refused={
            "identity_resizer": ("the input needs one size", "use fixed_shape_resizer"),
            "conditional_shape_resizer": ("the input needs one size", "use keep_aspect_ratio_resizer"),
            "pad_to_multiple_resizer": (
                "the input needs one size",
                "use keep_aspect_ratio_resizer with pad_to_max_dimension: true",
            ),
        },
    ),
    "FixedShapeResizer": _resizer("height width resize_method"),
    "KeepAspectRatioResizer": dataclasses.replace(
        _resizer(
            "min_dimension max_dimension resize_method",
            {"per_channel_pad_value": ("the padding is zeros", "delete it")},
        ),
        only={
            "pad_to_max_dimension": Only(
                (True,), "every picture of a batch has one size; detections are the same, relative to the picture alone"
            )
        },
    ),
    # ----------------------------------------------------------------------------------------------------- anchors
    "AnchorGenerator": Rules(
        honoured="grid_anchor_generator multiscale_anchor_generator",
        refused={
            "ssd_anchor_generator": ("SSD's own anchors are not supported", "use multiscale_anchor_generator with fpn"),
            "flexible_grid_anchor_generator": ("it is not supported", "use multiscale_anchor_generator"),
        },
    ),
    "GridAnchorGenerator": Rules(
        "height width height_stride width_stride height_offset width_offset scales aspect_ratios"
    ),
    "MultiscaleAnchorGenerator": Rules(
        "min_level max_level anchor_scale aspect_ratios scales_per_octave",
        no_effect={"normalize_coordinates": "the units of anchors inside the model change nothing outside it"},
    ),
    # ----------------------------------------------------------------------------------------------------- targets
    "RegionSimilarityCalculator": Rules(
        honoured="iou_similarity",
        refused=each(
            "neg_sq_dist_similarity ioa_similarity thresholded_iou_similarity",
            ("anchors are matched by IoU only", "use iou_similarity { }"),
        ),
    ),
    "IouSimilarity": Rules(),
    "Matcher": Rules(
        honoured="argmax_matcher",
        refused={"bipartite_matcher": ("it is not supported", "use argmax_matcher { force_match_for_each_row: true }")},
    ),
    "ArgMaxMatcher": Rules(
        "matched_threshold unmatched_threshold ignore_thresholds negatives_lower_than_unmatched "
        "force_match_for_each_row",
        no_effect={"use_matmul_gather": _TPU_MATMUL},
    ),
    "BoxCoder": Rules(
        honoured="faster_rcnn_box_coder",
        refused=each(
            "mean_stddev_box_coder square_box_coder keypoint_box_coder",
            ("it is not supported", "use faster_rcnn_box_coder { }"),
        ),
    ),
    "FasterRcnnBoxCoder": Rules("y_scale x_scale height_scale width_scale"),
    # -------------------------------------------------------------------------------------------------- predictors
    "BoxPredictor": Rules(
        honoured="weight_shared_convolutional_box_predictor mask_rcnn_box_predictor",
        refused={
            "convolutional_box_predictor": (
                "SSD's own heads are not supported",
                "use weight_shared_convolutional_box_predictor with fpn",
            ),
            "rfcn_box_predictor": ("R-FCN is not supported", "use mask_rcnn_box_predictor"),
        },
    ),
    "WeightSharedConvolutionalBoxPredictor": Rules(
        honoured="conv_hyperparams num_layers_before_predictor depth kernel_size class_prediction_bias_init "
        "share_prediction_tower use_depthwise",
        no_effect={"dropout_keep_probability": "this head has no dropout"},
        only={
            "box_code_size": _FOUR,
            "score_converter": Only(("IDENTITY",), "post_processing.score_converter turns logits into scores"),
        },
        refused={
            "apply_conv_hyperparams_to_heads": ("the predicting convolutions have no batch norm", "delete it"),
            "apply_conv_hyperparams_pointwise": ("it is not supported", "delete it"),
            "use_dropout": ("this head has no dropout", "delete it"),
            "box_encodings_clip_range": ("box codes are not clipped", "delete it"),
        },
    ),
    "MaskRCNNBoxPredictor": Rules(
        honoured="fc_hyperparams use_dropout dropout_keep_probability share_box_across_classes",
        no_effect=each(
            "conv_hyperparams mask_prediction_conv_depth mask_height mask_width "
            "mask_prediction_num_conv_layers masks_are_class_agnostic convolve_then_upsample_masks",
            "no masks are predicted",
        ),
        only={"box_code_size": _FOUR},
        refused={"predict_instance_masks": BOXES_ONLY, "predict_keypoints": KEYPOINTS},
    ),
    # ------------------------------------------------------------------------------------------------------ layers
    "Hyperparams": Rules(
        honoured="op regularizer initializer activation batch_norm",
        refused={
            "sync_batch_norm": ("statistics are each replica's own", "use batch_norm"),
            "group_norm": ("group norm is not supported", "use batch_norm"),
            "regularize_depthwise": ("it is not supported", "delete it"),
            "force_use_bias": ("layers before batch norm have no bias", "delete it"),
        },
    ),
    "Regularizer": Rules("l1_regularizer l2_regularizer"),
    "L1Regularizer": Rules("weight"),
    "L2Regularizer": Rules("weight"),
    "Initializer": Rules(
        honoured="truncated_normal_initializer variance_scaling_initializer random_normal_initializer",
        refused={
            "keras_initializer_by_name": (
                "initializers by name are not supported",
                "use variance_scaling_initializer { factor: 1.0 uniform: true mode: FAN_AVG } for glorot_uniform",
            )
        },
    ),
    "TruncatedNormalInitializer": Rules("mean stddev"),
    "VarianceScalingInitializer": Rules("factor uniform mode"),
    "RandomNormalInitializer": Rules("mean stddev"),
    "BatchNorm": Rules("decay center scale epsilon train"),
    # ------------------------------------------------------------------------------------------------------ losses
    "Loss": Rules(
        honoured="localization_loss classification_loss classification_weight localization_weight",
        no_effect={
            "min_num_negative_samples": "it goes with expected_loss_weights",
            "desired_negative_sampling_ratio": "it goes with expected_loss_weights",
        },
        only={"expected_loss_weights": Only(("NONE",), "anchors are not reweighted")},
        refused={
            "hard_example_miner": ("hard example mining is not supported", "use weighted_sigmoid_focal"),
            "random_example_sampler": ("anchors are not sampled", "use weighted_sigmoid_focal"),
            "equalization_loss": ("it is not supported", "delete it"),
        },
    ),
    "LocalizationLoss": Rules(
        honoured="weighted_smooth_l1",
        refused=each(
            "weighted_l2 weighted_iou l1_localization_loss weighted_giou",
            ("it is not supported", "use weighted_smooth_l1 { }"),
        ),
    ),
    "WeightedSmoothL1LocalizationLoss": Rules("delta", no_effect={"anchorwise_output": _ANCHORWISE}),
    "ClassificationLoss": Rules(
        honoured="weighted_sigmoid weighted_sigmoid_focal weighted_softmax",
        refused=each(
            "weighted_logits_softmax bootstrapped_sigmoid penalty_reduced_logistic_focal_loss "
            "weighted_dice_classification_loss",
            ("it is not supported", "use weighted_sigmoid_focal for ssd, weighted_softmax for faster_rcnn"),
        ),
    ),
    "WeightedSigmoidClassificationLoss": Rules(no_effect={"anchorwise_output": _ANCHORWISE}),
    "SigmoidFocalClassificationLoss": Rules("gamma alpha", no_effect={"anchorwise_output": _ANCHORWISE}),
    "WeightedSoftmaxClassificationLoss": Rules(
        no_effect={"anchorwise_output": _ANCHORWISE}, only={"logit_scale": Only((1.0,), "logits are not scaled")}
    ),
    # -------------------------------------------------------------------------------------------- post-processing
    "PostProcessing": Rules(
        honoured="batch_non_max_suppression score_converter logit_scale",
        refused={"calibration_config": ("scores are not calibrated", "delete it")},
    ),
    "BatchNonMaxSuppression": Rules(
        honoured="score_threshold iou_threshold max_detections_per_class max_total_detections",
        no_effect={
            "use_static_shapes": _TPU_SHAPES,
            "use_partitioned_nms": _NMS_KIND,
            "use_combined_nms": _NMS_KIND,
            "use_cpu_nms": _NMS_KIND,
            "use_hard_nms": "NMS is always hard",
            "max_classes_per_detection": "it goes with use_class_agnostic_nms",
        },
        only={
            "soft_nms_sigma": Only((0.0,), "NMS drops overlapping detections, and does not lower their scores"),
            "change_coordinate_frame": Only((True,), "boxes are relative to the picture"),
        },
        refused={"use_class_agnostic_nms": ("NMS works class by class", "delete it")},
    ),
}
