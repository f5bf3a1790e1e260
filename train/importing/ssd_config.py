"""The pipeline config of an SSD on a MobileNet, from the names and shapes of its variables and what its file says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from data_prep.runtime.command_line import UserError
from train.checkpoints.tensorflow_1.frozen_graph import GraphFacts
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.tensorflow_1.slim_names import SSD_ROOT

# Where a file does not say: what the zoo's have.
_IMAGE_SIZE = (300, 300)
_EPSILON = 0.001
_CONVERTER = "SIGMOID"
_IOU = 0.6
_BOX_SCALES = (10.0, 10.0, 5.0, 5.0)
_MIN_SCALE, _MAX_SCALE = 0.2, 0.95
_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
# Channels of the first map that is added to the trunk's, at full width.
_FIRST_ADDED = 512
_CODE_SIZE = 4
# Of the image; graphs hold float32.
_SAME_SCALE = 1e-3


@dataclasses.dataclass(frozen=True)
class SsdShape:
    """What an SSD's variables say of its config.

    Attributes:
        type: Of the feature extractor.
        num_classes: Without background.
        num_maps: Feature maps.
        depth_multiplier: Of the widths.
        use_depthwise: Whether strided convolutions of added maps are separable.
        head_kernel: Of the box predictor.
        head_depthwise: Whether the box predictor's convolutions are separable.
        head_layers: Convolutions before them.
        head_depth: Channels of those.
        has_scale: Whether batch norms have a scale.
        reduces_boxes: Whether the first map has fewer anchors than the others.
    """

    type: str
    num_classes: int
    num_maps: int
    depth_multiplier: float
    use_depthwise: bool
    head_kernel: int
    head_depthwise: bool
    head_layers: int
    head_depth: int
    has_scale: bool
    reduces_boxes: bool = True

    @classmethod
    def of(cls, source: NamedSource, extractor_type: str, trunk: str, num_classes: int) -> SsdShape:
        """Reads names and shapes.

        Raises:
            UserError: They are none of a plain SSD's.
        """
        prefix = re.escape(f"{SSD_ROOT}{trunk}/")
        maps = {int(m[1]) for name in source.names if (m := re.match(r"BoxPredictor_(\d+)/ClassPredictor/", name))}
        added = [
            (int(m[1]), int(m[2]))
            for name in source.names
            if (m := re.match(rf"{prefix}\w+?_2_Conv2d_(\d+)_3x3_s2_(\d+)(?:_depthwise)?/", name))
        ]
        depthwise_head = "BoxPredictor_0/ClassPredictor_depthwise/depthwise_weights"
        kernel = source.shape_of("BoxPredictor_0/ClassPredictor/weights")
        if not maps or not added or kernel is None or len(kernel) != 4 or maps != set(range(len(maps))):
            raise UserError(
                f"{source.prefix}: has an SSD's names but not all of them (BoxPredictor_N/ClassPredictor, "
                f"{SSD_ROOT}{trunk}/..._2_Conv2d_2_3x3_s2_512); cut short, or another network"
            )
        before = [
            (int(m[1]), int(m[2]))
            for name in source.names
            if (m := re.match(r"BoxPredictor_0/Conv2d_(\d+)_1x1_(\d+)/", name))
        ]
        head_shape = source.shape_of(depthwise_head)
        return cls(
            type=extractor_type,
            num_classes=num_classes,
            num_maps=len(maps),
            depth_multiplier=min(added)[1] / _FIRST_ADDED,
            use_depthwise=any(
                name.endswith("_depthwise/depthwise_weights") and "_3x3_s2_" in name for name in source.names
            ),
            head_kernel=head_shape[0] if head_shape else kernel[0],
            head_depthwise=head_shape is not None,
            head_layers=len(set(before)),
            head_depth=max((depth for _, depth in before), default=0),
            has_scale=any(name.endswith("/BatchNorm/gamma") for name in source.names),
            reduces_boxes=source.shape_of("BoxPredictor_0/BoxEncodingPredictor/biases")
            != source.shape_of("BoxPredictor_1/BoxEncodingPredictor/biases"),
        )


def config_text(
    shape: SsdShape, facts: GraphFacts, *, header: Sequence[str], folder: str, freeze_batch_norm: bool = False
) -> tuple[str, list[str]]:
    """Writes a pipeline config with training settings to begin from.

    Args:
        shape: Of the network.
        facts: What the file says besides.
        header: Lines of comment at the top.
        folder: Where `checkpoint/ckpt-0` and `label_map.pbtxt` will lie.
        freeze_batch_norm: Whether training keeps batch norms' statistics.

    Returns:
        Protobuf text, and sentences on what was taken for granted.
    """
    height, width = facts.image_size or _IMAGE_SIZE
    notes = [] if facts.image_size else [f"image size: not in the file; taken for {height} x {width}"]
    anchors = _anchor_lines(shape, facts)
    if anchors is None:
        anchors = [f"min_scale: {_MIN_SCALE:g}", f"max_scale: {_MAX_SCALE:g}", *_ratio_lines(_RATIOS)]
        notes.append(f"anchors: not in the file; taken for SSD's usual, scales {_MIN_SCALE:g} to {_MAX_SCALE:g}")
    anchor_text = "\n        ".join(anchors)
    y_scale, x_scale, height_scale, width_scale = facts.box_scales or _BOX_SCALES
    epsilon = facts.epsilons[0] if len(facts.epsilons) == 1 else _EPSILON
    hyperparams = f"""{{
        activation: RELU_6
        regularizer {{ l2_regularizer {{ weight: 0.00004 }} }}
        initializer {{ truncated_normal_initializer {{ mean: 0.0 stddev: 0.03 }} }}
        batch_norm {{ scale: {_bool(shape.has_scale)} center: true decay: 0.9997 epsilon: {epsilon:g} }}
      }}"""
    text = f"""model {{
  ssd {{
    num_classes: {shape.num_classes}
    freeze_batchnorm: {_bool(freeze_batch_norm)}
    image_resizer {{ fixed_shape_resizer {{ height: {height} width: {width} }} }}
    feature_extractor {{
      type: "{shape.type}"
      depth_multiplier: {shape.depth_multiplier:g}
      min_depth: 16
      num_layers: {shape.num_maps}
      use_depthwise: {_bool(shape.use_depthwise)}
      use_explicit_padding: {_bool(facts.pads_explicitly)}
      conv_hyperparams {hyperparams}
    }}
    box_coder {{
      faster_rcnn_box_coder {{
        y_scale: {y_scale:g} x_scale: {x_scale:g} height_scale: {height_scale:g} width_scale: {width_scale:g}
      }}
    }}
    matcher {{
      argmax_matcher {{ matched_threshold: 0.5 unmatched_threshold: 0.5 force_match_for_each_row: true }}
    }}
    similarity_calculator {{ iou_similarity {{}} }}
    anchor_generator {{
      ssd_anchor_generator {{
        num_layers: {shape.num_maps}
        reduce_boxes_in_lowest_layer: {_bool(shape.reduces_boxes)}
        {anchor_text}
      }}
    }}
    box_predictor {{
      convolutional_box_predictor {{
        kernel_size: {shape.head_kernel}
        use_depthwise: {_bool(shape.head_depthwise)}
        num_layers_before_predictor: {shape.head_layers}
        min_depth: {shape.head_depth}
        max_depth: {shape.head_depth}
        use_dropout: false
        box_code_size: {_CODE_SIZE}
        conv_hyperparams {hyperparams}
      }}
    }}
    loss {{
      classification_loss {{ weighted_sigmoid {{}} }}
      localization_loss {{ weighted_smooth_l1 {{}} }}
      hard_example_miner {{
        num_hard_examples: 3000
        iou_threshold: 0.99
        loss_type: CLASSIFICATION
        max_negatives_per_positive: 3
        min_negatives_per_image: 3
      }}
      classification_weight: 1.0
      localization_weight: 1.0
    }}
    normalize_loss_by_num_matches: true
    post_processing {{
      batch_non_max_suppression {{
        score_threshold: 1e-8
        iou_threshold: {facts.iou_threshold or _IOU:g}
        max_detections_per_class: 100
        max_total_detections: 100
      }}
      score_converter: {facts.score_converter or _CONVERTER}
    }}
  }}
}}

# To fine-tune: put records here, or change the paths; then see that num_classes is that of your label map.
train_config {{
  batch_size: 16
  num_steps: 2000
  fine_tune_checkpoint: "{folder}/checkpoint/ckpt-0"
  fine_tune_checkpoint_type: "full"
  fine_tune_checkpoint_version: V2
  data_augmentation_options {{ random_horizontal_flip {{}} }}
  data_augmentation_options {{ ssd_random_crop {{}} }}
  optimizer {{
    momentum_optimizer {{
      learning_rate {{
        cosine_decay_learning_rate {{
          learning_rate_base: 0.004 total_steps: 2000 warmup_learning_rate: 0.001 warmup_steps: 100
        }}
      }}
      momentum_optimizer_value: 0.9
    }}
    use_moving_average: false
  }}
}}

train_input_reader {{
  label_map_path: "{folder}/label_map.pbtxt"
  tf_record_input_reader {{ input_path: "{folder}/train.record-*" }}
}}

eval_config {{
  metrics_set: "coco_detection_metrics"
  batch_size: 8
}}

eval_input_reader {{
  label_map_path: "{folder}/label_map.pbtxt"
  shuffle: false
  tf_record_input_reader {{ input_path: "{folder}/validation.record-*" }}
}}
"""
    comments = "".join(f"# {line}\n" for line in [*header, *notes])
    return f"{comments}\n{text}", notes


def _anchor_lines(shape: SsdShape, facts: GraphFacts) -> list[str] | None:
    """Fields of the anchor generator, from the anchors that a file holds; None where it holds none that it can make.

    Each map has a box of its scale for every ratio, and a square one between its scale and the next; the first map of
    `reduce_boxes_in_lowest_layer` has a smaller square one and two others instead.
    """
    scales, ratios = facts.anchor_scales, facts.anchor_ratios
    if len(scales) != shape.num_maps or len(scales) < 2 or min(map(len, scales)) < 2:
        return None
    own = [scales[0][1 if shape.reduces_boxes else 0], *(scale[0] for scale in scales[1:])]
    step = (own[-1] - own[0]) / (len(own) - 1)
    is_line = all(abs(scale - own[0] - step * index) < _SAME_SCALE for index, scale in enumerate(own))
    lines = (
        [f"min_scale: {own[0]:g}", f"max_scale: {own[-1]:g}"] if is_line else [f"scales: {scale:g}" for scale in own]
    )
    return [*lines, *_ratio_lines(ratios[1][:-1])]


def _ratio_lines(ratios: Sequence[float]) -> list[str]:
    return [f"aspect_ratios: {ratio:g}" for ratio in ratios]


def _bool(value: bool) -> str:
    return "true" if value else "false"
