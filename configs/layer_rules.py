"""What training here does with each field of box predictors, layers, losses and post-processing: one entry for each."""

from __future__ import annotations

from configs.rules import BOXES_ONLY, KEYPOINTS, TPU_SHAPES, Only, Rules, each

_ANCHORWISE = "losses always have one value an anchor"
_NMS_KIND = "the same NMS is always computed the fast way"
_FOUR = Only((4,), "a box has 4 numbers")

LAYER_RULES: dict[str, Rules] = {
    # -------------------------------------------------------------------------------------------------- predictors
    "BoxPredictor": Rules(
        honoured="convolutional_box_predictor weight_shared_convolutional_box_predictor mask_rcnn_box_predictor",
        refused={"rfcn_box_predictor": ("R-FCN is not supported", "use mask_rcnn_box_predictor")},
    ),
    "ConvolutionalBoxPredictor": Rules(
        "conv_hyperparams min_depth max_depth num_layers_before_predictor use_dropout dropout_keep_probability "
        "kernel_size box_code_size class_prediction_bias_init use_depthwise box_encodings_clip_range",
        no_effect={"apply_sigmoid_to_scores": "only the API's TensorFlow 1 heads had it; score_converter decides"},
    ),
    "ConvolutionalBoxPredictor.BoxEncodingsClipRange": Rules("min max"),
    "WeightSharedConvolutionalBoxPredictor": Rules(
        "conv_hyperparams apply_conv_hyperparams_to_heads apply_conv_hyperparams_pointwise "
        "num_layers_before_predictor depth kernel_size box_code_size class_prediction_bias_init use_dropout "
        "dropout_keep_probability share_prediction_tower use_depthwise score_converter box_encodings_clip_range"
    ),
    "WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange": Rules("min max"),
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
        "op regularizer initializer activation batch_norm sync_batch_norm group_norm force_use_bias",
        no_effect={"regularize_depthwise": "in TensorFlow 2 the API reads it nowhere: each layer's kind decides"},
    ),
    "Regularizer": Rules("l1_regularizer l2_regularizer"),
    "L1Regularizer": Rules("weight"),
    "L2Regularizer": Rules("weight"),
    "Initializer": Rules(
        "truncated_normal_initializer variance_scaling_initializer random_normal_initializer keras_initializer_by_name"
    ),
    "TruncatedNormalInitializer": Rules("mean stddev"),
    "VarianceScalingInitializer": Rules("factor uniform mode"),
    "RandomNormalInitializer": Rules("mean stddev"),
    "BatchNorm": Rules("decay center scale epsilon train"),
    "GroupNorm": Rules(),
    # ------------------------------------------------------------------------------------------------------ losses
    "Loss": Rules(
        honoured="localization_loss classification_loss hard_example_miner classification_weight localization_weight "
        "random_example_sampler",
        no_effect={
            "min_num_negative_samples": "only expected_loss_weights would look at it",
            "desired_negative_sampling_ratio": "only expected_loss_weights would look at it",
            "equalization_loss": "the API as published reads it and applies it nowhere",
        },
        only={"expected_loss_weights": Only(("NONE",), "the functions it names are missing from the API as published")},
    ),
    "LocalizationLoss": Rules(
        "weighted_l2 weighted_smooth_l1 weighted_iou l1_localization_loss weighted_giou",
    ),
    "WeightedL2LocalizationLoss": Rules(no_effect={"anchorwise_output": _ANCHORWISE}),
    "WeightedSmoothL1LocalizationLoss": Rules("delta", no_effect={"anchorwise_output": _ANCHORWISE}),
    "WeightedIOULocalizationLoss": Rules(),
    "L1LocalizationLoss": Rules(),
    "WeightedGIOULocalizationLoss": Rules(),
    "ClassificationLoss": Rules(
        honoured="weighted_sigmoid weighted_softmax weighted_logits_softmax bootstrapped_sigmoid "
        "weighted_sigmoid_focal",
        refused=each(
            "penalty_reduced_logistic_focal_loss weighted_dice_classification_loss",
            ("it goes with CenterNet", "use weighted_sigmoid_focal for ssd, weighted_softmax for faster_rcnn"),
        ),
    ),
    "WeightedSigmoidClassificationLoss": Rules(no_effect={"anchorwise_output": _ANCHORWISE}),
    "SigmoidFocalClassificationLoss": Rules("gamma alpha", no_effect={"anchorwise_output": _ANCHORWISE}),
    "WeightedSoftmaxClassificationLoss": Rules("logit_scale", no_effect={"anchorwise_output": _ANCHORWISE}),
    "WeightedSoftmaxClassificationAgainstLogitsLoss": Rules(
        "logit_scale", no_effect={"anchorwise_output": _ANCHORWISE}
    ),
    "BootstrappedSigmoidClassificationLoss": Rules(
        "alpha hard_bootstrap", no_effect={"anchorwise_output": _ANCHORWISE}
    ),
    "HardExampleMiner": Rules(
        "num_hard_examples iou_threshold loss_type max_negatives_per_positive min_negatives_per_image"
    ),
    "RandomExampleSampler": Rules("positive_sample_fraction"),
    # -------------------------------------------------------------------------------------------- post-processing
    "PostProcessing": Rules("batch_non_max_suppression score_converter logit_scale calibration_config"),
    "BatchNonMaxSuppression": Rules(
        honoured="score_threshold iou_threshold max_detections_per_class max_total_detections use_class_agnostic_nms "
        "soft_nms_sigma change_coordinate_frame use_hard_nms",
        only={
            "max_classes_per_detection": Only((1,), "class-agnostic NMS gives each box its best class, as in the API")
        },
        no_effect={
            "use_static_shapes": TPU_SHAPES,
            "use_partitioned_nms": _NMS_KIND,
            "use_combined_nms": _NMS_KIND,
            "use_cpu_nms": _NMS_KIND,
        },
    ),
    "CalibrationConfig": Rules(
        "function_approximation class_id_function_approximations sigmoid_calibration class_id_sigmoid_calibrations "
        "temperature_scaling_calibration"
    ),
    "FunctionApproximation": Rules("x_y_pairs"),
    "ClassIdFunctionApproximations": Rules("class_id_xy_pairs_map"),
    "SigmoidCalibration": Rules("sigmoid_parameters"),
    "ClassIdSigmoidCalibrations": Rules("class_id_sigmoid_parameters_map"),
    "TemperatureScalingCalibration": Rules("scaler"),
    "XYPairs": Rules("x_y_pair", no_effect={"training_data_type": "it only says where the pairs came from"}),
    "XYPairs.XYPair": Rules("x y"),
    "SigmoidParameters": Rules("a b"),
}
