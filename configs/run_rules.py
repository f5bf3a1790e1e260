"""What training here does with each field about training, augmentation, evaluation and input: one entry for each."""

from __future__ import annotations

from configs.rules import BOXES_ONLY, CONTEXT, KEYPOINTS, Only, Rules, each

# The one list of augmentations that the training input knows, by field name in PreprocessingStep.
_AUGMENTATIONS = (
    "adjust_gamma autoaugment_image drop_label_probabilistically normalize_image random_absolute_pad_image "
    "random_adjust_brightness random_adjust_contrast random_adjust_hue random_adjust_saturation random_black_patches "
    "random_crop_image random_crop_pad_image random_crop_to_aspect_ratio random_distort_color "
    "random_downscale_to_target_pixels random_horizontal_flip random_image_scale random_jitter_boxes "
    "random_jpeg_quality random_pad_image random_patch_gaussian random_pixel_value_scale random_resize_method "
    "random_rgb_to_gray random_rotation90 random_scale_crop_and_pad_to_square random_self_concat_image "
    "random_square_crop_by_scale random_vertical_flip remap_labels resize_image rgb_to_gray ssd_random_crop "
    "ssd_random_crop_fixed_aspect_ratio ssd_random_crop_pad ssd_random_crop_pad_fixed_aspect_ratio "
    "subtract_channel_mean"
)
SUPPORTED_AUGMENTATIONS = frozenset(_AUGMENTATIONS.split())

# What eval_config.metrics_set may name, as the API's eval_util.py has it; two spellings of one metric are one.
METRICS_SETS = (
    "coco_detection_metrics",
    "pascal_voc_detection_metrics",
    "weighted_pascal_voc_detection_metrics",
    "precision_at_recall_detection_metrics",
    "oid_V2_detection_metrics",
    "open_images_V2_detection_metrics",
    "oid_challenge_detection_metrics",
)
# Those that the API has and that are about more than boxes: what they are about.
OTHER_METRICS_SETS = {
    "coco_keypoint_metrics": "keypoints",
    "coco_mask_metrics": "masks",
    "coco_panoptic_metrics": "masks",
    "lvis_mask_metrics": "masks",
    "oid_challenge_segmentation_metrics": "masks",
    "pascal_voc_instance_segmentation_metrics": "masks",
    "weighted_pascal_voc_instance_segmentation_metrics": "masks",
}
FINE_TUNE_CHECKPOINT_TYPES = ("classification", "detection", "full")

_REFUSED_AUGMENTATIONS = {
    "scale_boxes_to_pixel_coordinates": (
        "boxes are relative from the record to the loss",
        "delete it; the model scales them itself",
    ),
    "convert_class_logits_to_softmax": ("soft class targets are not read", "delete it: class targets are 0 and 1"),
}

_MULTICLASS = ("soft class targets are not read", "delete it: classes come from image/object/class/label")
_OLD_QUEUE = "it steered queues that TensorFlow 2 has not"
_OLD_REPLICAS = "replicas are always in step"
_TF_DATA = "tf.data tunes itself"
_NO_KEYPOINTS_READ = "keypoints are not read"

RUN_RULES: dict[str, Rules] = {
    "TrainEvalPipelineConfig": Rules(
        honoured="model train_config train_input_reader eval_config eval_input_reader extensions",
        refused={
            "graph_rewriter": (
                "training that simulates quantization is not supported",
                "delete it to train in float",
            )
        },
    ),
    "Extensions": Rules(
        "mixed_precision evaluate_every_n_steps checkpoint_every_n_steps class_aware_sampling early_stopping "
        "model_garden_backbone"
    ),
    "ClassAwareSampling": Rules("max_repeats"),
    "EarlyStopping": Rules("metric patience min_delta"),
    "ModelGardenBackbone": Rules("type parameter"),
    # ---------------------------------------------------------------------------------------------------- training
    "TrainConfig": Rules(
        honoured="batch_size data_augmentation_options optimizer gradient_clipping_by_norm fine_tune_checkpoint "
        "fine_tune_checkpoint_type fine_tune_checkpoint_version from_detection_checkpoint num_steps "
        "update_trainable_variables freeze_variables bias_grad_multiplier max_number_of_boxes use_bfloat16 "
        "merge_multiple_label_boxes add_regularization_loss summarize_gradients keep_checkpoint_every_n_hours",
        no_effect={
            "sync_replicas": _OLD_REPLICAS,
            "startup_delay_steps": _OLD_REPLICAS,
            "replicas_to_aggregate": _OLD_REPLICAS,
            "batch_queue_capacity": _OLD_QUEUE,
            "num_batch_queue_threads": _OLD_QUEUE,
            "prefetch_queue_capacity": _OLD_QUEUE,
            "load_all_detection_checkpoint_vars": "every variable that fits is always taken",
            "run_fine_tune_checkpoint_dummy_computation": "the model always has its variables before restoring",
            "unpad_groundtruth_tensors": "padding never counts",
            "retain_original_images": "pictures for TensorBoard are always there",
        },
        refused={
            "use_multiclass_scores": _MULTICLASS,
        },
    ),
    "Optimizer": Rules("rms_prop_optimizer momentum_optimizer adam_optimizer use_moving_average moving_average_decay"),
    "RMSPropOptimizer": Rules("learning_rate momentum_optimizer_value decay epsilon"),
    "MomentumOptimizer": Rules("learning_rate momentum_optimizer_value"),
    "AdamOptimizer": Rules("learning_rate epsilon"),
    "LearningRate": Rules(
        "constant_learning_rate exponential_decay_learning_rate manual_step_learning_rate cosine_decay_learning_rate"
    ),
    "ConstantLearningRate": Rules("learning_rate"),
    "ExponentialDecayLearningRate": Rules(
        "initial_learning_rate decay_steps decay_factor staircase burnin_learning_rate burnin_steps min_learning_rate"
    ),
    "ManualStepLearningRate": Rules("initial_learning_rate schedule warmup"),
    "ManualStepLearningRate.LearningRateSchedule": Rules("step learning_rate"),
    "CosineDecayLearningRate": Rules(
        "learning_rate_base total_steps warmup_learning_rate warmup_steps hold_base_rate_steps"
    ),
    # ------------------------------------------------------------------------------------------------ augmentation
    "RandomHorizontalFlip": Rules("probability", no_effect={"keypoint_flip_permutation": _NO_KEYPOINTS_READ}),
    "RandomVerticalFlip": Rules("probability", no_effect={"keypoint_flip_permutation": _NO_KEYPOINTS_READ}),
    "RandomRotation90": Rules("probability", no_effect={"keypoint_rot_permutation": _NO_KEYPOINTS_READ}),
    "PreprocessingStep": Rules(
        honoured=" ".join(SUPPORTED_AUGMENTATIONS),
        refused=_REFUSED_AUGMENTATIONS,
    ),
    # -------------------------------------------------------------------------------------------------- evaluation
    "EvalConfig": Rules(
        honoured="batch_size num_visualizations num_examples metrics_set use_moving_averages min_score_threshold "
        "max_num_boxes_to_visualize include_metrics_per_category all_metrics_per_category super_categories "
        "recall_lower_bound recall_upper_bound ignore_groundtruth skip_predictions_for_unlabeled_class "
        "visualization_export_dir keep_image_id_for_visualization_export skip_scores skip_labels "
        "visualize_groundtruth_boxes groundtruth_box_visualization_color image_classes_field_map_empty_to_ones "
        "use_dummy_loss_in_eval",
        no_effect={
            "eval_interval_secs": "extensions.evaluate_every_n_steps says when to evaluate",
            "max_evals": "train.evaluate --once evaluates once",
            "save_graph": "there is no graph to save; train.train writes TensorBoard's",
            "eval_master": "there are no sessions",
            "export_path": "metrics go to metrics.json, in the evaluation folder",
            "retain_original_images": "pictures for TensorBoard are always there",
        },
        refused={
            "parameterized_metric": KEYPOINTS,
            "keypoint_edge": KEYPOINTS,
            "eval_instance_masks": BOXES_ONLY,
            "retain_original_image_additional_channels": ("pictures have 3 channels", "delete it"),
            "force_no_resize": ("the input needs one size", "delete it"),
        },
    ),
    # ------------------------------------------------------------------------------------------------------- input
    "InputReader": Rules(
        honoured="name label_map_path shuffle shuffle_buffer_size filenames_shuffle_buffer_size num_readers "
        "read_block_length num_epochs sample_1_of_n_examples max_number_of_boxes drop_remainder "
        "tf_record_input_reader sample_from_datasets_weights num_prefetch_batches",
        no_effect={
            **each(
                "num_parallel_batches queue_capacity min_after_dequeue prefetch_size num_parallel_map_calls",
                _TF_DATA,
            ),
            "num_keypoints": _NO_KEYPOINTS_READ,
            "keypoint_type_weight": _NO_KEYPOINTS_READ,
            "load_keypoint_depth_features": _NO_KEYPOINTS_READ,
            "use_keypoint_label_map": _NO_KEYPOINTS_READ,
            "mask_type": "masks are not read",
            "include_source_id": "the source id is always read",
            "use_display_name": "classes are looked up among names and display names",
            "frame_index": "it goes with input_type: TF_SEQUENCE_EXAMPLE",
        },
        only={
            "input_type": Only(("TF_EXAMPLE", "INPUT_DEFAULT"), "records hold tf.Example"),
            "num_additional_channels": Only((0,), "pictures have 3 channels"),
        },
        refused={
            "load_multiclass_scores": _MULTICLASS,
            "load_context_features": CONTEXT,
            "load_context_image_ids": CONTEXT,
            "load_instance_masks": BOXES_ONLY,
            "load_dense_pose": BOXES_ONLY,
            "load_track_id": BOXES_ONLY,
            "external_input_reader": ("readers of somebody's own are not supported", "use tf_record_input_reader"),
            "expand_labels_hierarchy": ("classes have no hierarchy", "delete it"),
        },
    ),
    "TFRecordInputReader": Rules("input_path"),
}
