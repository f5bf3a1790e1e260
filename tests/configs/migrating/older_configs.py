"""Pipeline configs in the manner of those that shops have from the API's TensorFlow 1, written for these tests."""

from __future__ import annotations

_REST = """
train_config: {{
  batch_size: {batch_size}
  optimizer {{
    {optimizer}
  }}
  fine_tune_checkpoint: "{checkpoint}"  # downloaded in 2018
  from_detection_checkpoint: true
  # Note: this stops the training after 200K steps.
  num_steps: 200000
  data_augmentation_options {{
    random_horizontal_flip {{
    }}
  }}
}}

train_input_reader: {{
  tf_record_input_reader {{
    input_path: "PATH_TO_BE_CONFIGURED/train.record"
  }}
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.pbtxt"
}}

eval_config: {{
  metrics_set: "pascal_voc_metrics"
  num_examples: 10
  max_evals: 10}}

eval_input_reader: {{
  tf_record_input_reader {{
    input_path: "PATH_TO_BE_CONFIGURED/validation.record"
  }}
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.pbtxt"
  shuffle: false
  num_readers: 1
}}
"""

_SSD = """# SSD of our own, for the line in hall 2.

model {{
  ssd {{
    num_classes: 2  # block, gap
    box_coder {{
      faster_rcnn_box_coder {{
        y_scale: 10.0
        x_scale: 10.0
        height_scale: 5.0
        width_scale: 5.0
      }}
    }}
    matcher {{
      argmax_matcher {{
        matched_threshold: 0.5
        unmatched_threshold: 0.5
        ignore_thresholds: false
        negatives_lower_than_unmatched: true
        force_match_for_each_row: true
      }}
    }}
    similarity_calculator {{
      iou_similarity {{
      }}
    }}
    anchor_generator {{
      ssd_anchor_generator {{
        num_layers: 6
        min_scale: 0.2
        max_scale: 0.95
        # Gaps are wide.
        aspect_ratios: [{aspect_ratios}]
        reduce_boxes_in_lowest_layer: true
      }}
    }}
    image_resizer {{
      fixed_shape_resizer {{
        height: {height}
        width: {width}
      }}
    }}
    box_predictor {{
      convolutional_box_predictor {{
        min_depth: 0
        max_depth: 0
        num_layers_before_predictor: 0
        use_dropout: false
        dropout_keep_probability: 0.8
        kernel_size: 3
        box_code_size: 4
        apply_sigmoid_to_scores: false
        conv_hyperparams {{
          activation: RELU_6,
          regularizer {{ l2_regularizer {{ weight: 0.00004 }} }}
          initializer {{ truncated_normal_initializer {{ stddev: 0.03 mean: 0.0 }} }}
        }}
      }}
    }}
    feature_extractor {{
      type: '{network}'
      min_depth: 16
      depth_multiplier: {width_multiplier}
      {extractor}
      conv_hyperparams {{
        activation: RELU_6,
        regularizer {{ l2_regularizer {{ weight: 0.00004 }} }}
        initializer {{ truncated_normal_initializer {{ stddev: 0.03 mean: 0.0 }} }}
        batch_norm {{ train: true, scale: true, center: true, decay: 0.9997, epsilon: 0.001, }}
      }}
    }}
    loss {{
      classification_loss {{ weighted_sigmoid {{ }} }}
      localization_loss {{ weighted_smooth_l1 {{ }} }}
      hard_example_miner {{
        num_hard_examples: 3000
        iou_threshold: 0.99
        loss_type: CLASSIFICATION
        max_negatives_per_positive: 3
        min_negatives_per_image: 0
      }}
      classification_weight: 1.0
      localization_weight: 1.0
    }}
    normalize_loss_by_num_matches: true
    post_processing {{
      batch_non_max_suppression {{
        score_threshold: 1e-8
        iou_threshold: 0.6
        max_detections_per_class: 100
        max_total_detections: 100
      }}
      score_converter: SIGMOID
    }}
  }}
}}
"""

_RMS_PROP = """rms_prop_optimizer: {
      learning_rate: {
        exponential_decay_learning_rate {
          initial_learning_rate: 0.004
          decay_steps: 800720
          decay_factor: 0.95
        }
      }
      momentum_optimizer_value: 0.9
      decay: 0.9
      epsilon: 1.0
    }"""

_FASTER_RCNN = """# Faster R-CNN, after the pets example.
model {{
  faster_rcnn {{
    num_classes: 2
    image_resizer {{
      # The camera gives 4:3.
      {resizer}
    }}
    feature_extractor {{
      type: '{network}'
      first_stage_features_stride: 16
    }}
    first_stage_anchor_generator {{
      grid_anchor_generator {{
        scales: [0.25, 0.5, 1.0, 2.0]
        aspect_ratios: [0.5, 1.0, 2.0]
        height_stride: 16
        width_stride: 16
      }}
    }}
    first_stage_box_predictor_conv_hyperparams {{
      op: CONV
      regularizer {{ l2_regularizer {{ weight: 0.0 }} }}
      initializer {{ truncated_normal_initializer {{ stddev: 0.01 }} }}
    }}
    first_stage_nms_score_threshold: 0.0
    first_stage_nms_iou_threshold: 0.7
    first_stage_max_proposals: 100
    first_stage_localization_loss_weight: 2.0
    first_stage_objectness_loss_weight: 1.0
    {crops}
    second_stage_box_predictor {{
      {head}
    }}
    second_stage_post_processing {{
      batch_non_max_suppression {{
        score_threshold: 0.0
        iou_threshold: 0.6
        max_detections_per_class: 100
        max_total_detections: 100
      }}
      score_converter: SOFTMAX
    }}
    second_stage_localization_loss_weight: 2.0
    second_stage_classification_loss_weight: 1.0
  }}
}}
"""

_MOMENTUM = """momentum_optimizer: {
      learning_rate: {
        manual_step_learning_rate {
          initial_learning_rate: 0.0002
          schedule {
            step: 900000
            learning_rate: .00002
          }
        }
      }
      momentum_optimizer_value: 0.9
    }
    use_moving_average: false"""

_BOX_HEAD = """mask_rcnn_box_predictor {
        use_dropout: false
        dropout_keep_probability: 1.0
        fc_hyperparams {
          op: FC
          regularizer { l2_regularizer { weight: 0.0 } }
          initializer { variance_scaling_initializer { factor: 1.0 uniform: true mode: FAN_AVG } }
        }
      }"""

_R_FCN_HEAD = """rfcn_box_predictor {
        conv_hyperparams {
          op: CONV
          regularizer { l2_regularizer { weight: 0.0 } }
          initializer { truncated_normal_initializer { stddev: 0.01 } }
        }
        crop_height: 18
        crop_width: 18
        num_spatial_bins_height: 3
        num_spatial_bins_width: 3
      }"""


def ssd(
    network: str,
    *,
    height: int = 300,
    width: int = 300,
    aspect_ratios: str = "1.0, 2.0, 0.5, 3.0, 0.3333",
    width_multiplier: float = 1.0,
    extractor: str = "",
    checkpoint: str = "",
) -> str:
    """The text of an SSD with six feature maps."""
    model = _SSD.format(
        network=network,
        height=height,
        width=width,
        aspect_ratios=aspect_ratios,
        width_multiplier=width_multiplier,
        extractor=extractor,
    )
    checkpoint = checkpoint or f"{network}_coco_2018_01_28/model.ckpt"
    return model + _REST.format(batch_size=24, optimizer=_RMS_PROP, checkpoint=checkpoint)


def retina_net(network: str) -> str:
    """The text of an SSD with a feature pyramid, as TensorFlow 1 had it."""
    anchors = "multiscale_anchor_generator { min_level: 3 max_level: 7 aspect_ratios: [1.0, 2.0, 0.5] }"
    text = ssd(network, height=640, width=640, extractor="fpn { min_level: 3 max_level: 7 }")
    start, end = text.index("ssd_anchor_generator {"), text.index("    image_resizer {")
    return f"{text[:start]}{anchors}\n    }}\n{text[end:]}"


def faster_rcnn(
    network: str,
    *,
    resizer: str = "keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 1024 }",
    crops: str = "initial_crop_size: 14\n    maxpool_kernel_size: 2\n    maxpool_stride: 2",
    head: str = _BOX_HEAD,
    checkpoint: str = "",
) -> str:
    """The text of a Faster R-CNN."""
    model = _FASTER_RCNN.format(network=network, resizer=resizer, crops=crops, head=head)
    checkpoint = checkpoint or f"{network}_coco_2018_01_28/model.ckpt"
    return model + _REST.format(batch_size=1, optimizer=_MOMENTUM, checkpoint=checkpoint)


def nas() -> str:
    """The text of a Faster R-CNN with NASNet."""
    return faster_rcnn(
        "faster_rcnn_nas",
        resizer="fixed_shape_resizer { height: 1200 width: 1200 }",
        crops="initial_crop_size: 17\n    maxpool_kernel_size: 1\n    maxpool_stride: 1",
    )


def r_fcn() -> str:
    """The text of an R-FCN."""
    return faster_rcnn("faster_rcnn_resnet101", crops="", head=_R_FCN_HEAD)
