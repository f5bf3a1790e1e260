"""Settings of a two-stage detector: a `FasterRcnn` message, and what its parts must be beside one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.problem import Note, Problem, TrainingProblem
from configs.settings.anchors import (
    ANCHOR_GENERATORS,
    AnchorGenerator,
    GridAnchorGenerator,
    levels_note,
    maps_problem,
)
from configs.settings.declaration import Settings, between, nested
from configs.settings.extractors import FasterRcnnFeatureExtractor
from configs.settings.heads import FASTER_RCNN_BOX_PREDICTORS, MaskRcnnBoxPredictor
from configs.settings.layers import Hyperparams, channels, kernel_side
from configs.settings.losses import CLASSIFICATION_LOSSES, ClassificationLoss, HardExampleMiner
from configs.settings.post_processing import PostProcessing, score_converter_note
from configs.settings.reasons import CONTEXT, INPLACE, RAW_OUTPUTS, TPU_MATMUL, TPU_SHAPES
from configs.settings.resizers import IMAGE_RESIZERS, ImageResizer
from configs.settings.ssd import class_count
from configs.settings.values import declared, number, scalar

_NO_MASKS = "no masks are predicted"
_NMS_KIND = "the same NMS is always computed the fast way"
# Outputs have this many rows, and memory an end.
_MOST_BOXES = 100_000
_LARGEST_CROP = 1000
_LARGEST_WEIGHT = 1e6
# The API's Faster R-CNN reads these; whatever else is set, it takes weighted_softmax without a word.
_SECOND_STAGE_LOSSES = ("weighted_softmax", "weighted_sigmoid", "weighted_logits_softmax", "weighted_sigmoid_focal")
# What the second stage's sizes usually are, in cells.
USUAL_SIZES = {"initial_crop_size": 14, "maxpool_kernel_size": 2, "maxpool_stride": 2}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FasterRcnn(Settings, message="FasterRcnn"):
    """A two-stage detector.

    Attributes:
        number_of_stages: 1: proposals alone; 2: detections.
        num_classes: Without background: the label map's largest id.
        image_resizer: Makes the input.
        feature_extractor: From the input to feature maps, and from crops of these to the second stage's features.
        first_stage_anchor_generator: Of the feature maps' anchors.
        first_stage_atrous_rate: Dilation of the proposal head's convolution.
        first_stage_box_predictor_conv_hyperparams: Of the proposal head's layers.
        first_stage_box_predictor_kernel_size: Of the proposal head's convolution, in cells.
        first_stage_box_predictor_depth: Channels of the proposal head's convolution.
        first_stage_minibatch_size: Anchors an image that the first stage's losses sample.
        first_stage_positive_balance_fraction: Share of positives among them, at most.
        first_stage_nms_score_threshold: What a proposal's score must exceed.
        first_stage_nms_iou_threshold: Of two proposals that overlap more, the better stays.
        first_stage_max_proposals: An image.
        first_stage_localization_loss_weight, first_stage_objectness_loss_weight: In the total.
        initial_crop_size: Side that proposals' features are cropped to, in cells.
        maxpool_kernel_size, maxpool_stride: Of the pooling after that, in cells.
        second_stage_box_predictor: None where the config has none, which one stage needs not.
        second_stage_batch_size: Proposals an image that the second stage's losses sample.
        second_stage_balance_fraction: Share of positives among them, at most.
        second_stage_post_processing: From the second stage's predictions to detections.
        second_stage_localization_loss_weight, second_stage_classification_loss_weight: In the total.
        second_stage_classification_loss: Of the second stage's class logits; None: weighted_softmax.
        clip_anchors_to_image: Whether anchors are clipped; else those that leave the image are not trained on.
        hard_example_miner: None: a sample of the proposals is trained on.
    """

    number_of_stages: int = number()
    num_classes: int = class_count()
    image_resizer: ImageResizer = declared(IMAGE_RESIZERS)
    feature_extractor: FasterRcnnFeatureExtractor = nested(FasterRcnnFeatureExtractor)
    first_stage_anchor_generator: AnchorGenerator = declared(
        ANCHOR_GENERATORS.without(
            "ssd_anchor_generator",
            reason="its anchors follow the input's size, which Faster R-CNN's do not",
            instead="use grid_anchor_generator or multiscale_anchor_generator",
            required="use grid_anchor_generator { }, or multiscale_anchor_generator { } for a pyramid",
        )
    )
    first_stage_atrous_rate: int = number(at_least=1, at_most=_LARGEST_CROP)
    first_stage_box_predictor_conv_hyperparams: Hyperparams = nested(Hyperparams)
    first_stage_box_predictor_kernel_size: int = kernel_side()
    first_stage_box_predictor_depth: int = channels()
    first_stage_minibatch_size: int = number(at_least=1, at_most=_MOST_BOXES)
    first_stage_positive_balance_fraction: float = number(at_least=0.0, at_most=1.0)
    first_stage_nms_score_threshold: float = number(at_most=1.0)
    first_stage_nms_iou_threshold: float = number(at_least=0.0, at_most=1.0)
    first_stage_max_proposals: int = number(at_least=1, at_most=_MOST_BOXES)
    first_stage_localization_loss_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    first_stage_objectness_loss_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    initial_crop_size: int = number(at_most=_LARGEST_CROP)
    maxpool_kernel_size: int = number(at_most=_LARGEST_CROP)
    maxpool_stride: int = number(at_most=_LARGEST_CROP)
    second_stage_box_predictor: MaskRcnnBoxPredictor | None = declared(FASTER_RCNN_BOX_PREDICTORS)
    second_stage_batch_size: int = number(at_least=1, at_most=_MOST_BOXES)
    second_stage_balance_fraction: float = number(at_least=0.0, at_most=1.0)
    second_stage_post_processing: PostProcessing = nested(PostProcessing)
    second_stage_localization_loss_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    second_stage_classification_loss_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    second_stage_classification_loss: ClassificationLoss | None = declared(
        CLASSIFICATION_LOSSES.without(
            "bootstrapped_sigmoid",
            reason="is no loss of the second stage",
            instead=f"use one of {', '.join(_SECOND_STAGE_LOSSES)}",
        )
    )
    clip_anchors_to_image: bool = scalar()
    hard_example_miner: HardExampleMiner | None = nested(HardExampleMiner, optional=True)
    no_effect = {
        "second_stage_mask_prediction_loss_weight": _NO_MASKS,
        "resize_masks": _NO_MASKS,
        "inplace_batchnorm_update": INPLACE,
        "use_matmul_crop_and_resize": TPU_MATMUL,
        "use_matmul_gather_in_matcher": TPU_MATMUL,
        "use_static_balanced_label_sampler": TPU_SHAPES,
        "use_static_shapes": TPU_SHAPES,
        "use_static_shapes_for_eval": TPU_SHAPES,
        "use_partitioned_nms_in_first_stage": _NMS_KIND,
        "use_combined_nms_in_first_stage": _NMS_KIND,
    }
    refused = {
        "return_raw_detections_during_predict": RAW_OUTPUTS,
        "output_final_box_features": RAW_OUTPUTS,
        "output_final_box_rpn_features": RAW_OUTPUTS,
        "context_config": CONTEXT,
    }

    @between("number_of_stages")
    def _are_there_so_many_stages(self) -> Iterator[Problem]:
        if self.number_of_stages not in (1, 2):
            what = "the third stage predicts masks" if self.number_of_stages == 3 else "there is no such model"
            yield Problem("number_of_stages", what, "use 2 for boxes with classes, or 1 for proposals alone")

    @between("feature_extractor", "first_stage_anchor_generator")
    def _are_there_anchors_for_each_map(self) -> Iterator[Problem | Note]:
        extractor, anchors = self.feature_extractor, self.first_stage_anchor_generator
        at = self.path_of("first_stage_anchor_generator")
        problem = maps_problem(anchors, extractor.levels, extractor.type)
        note = levels_note(anchors, extractor.levels)
        if problem is not None:
            yield problem.below(at)
        if note is not None:
            yield note.below(at)
        stride = extractor.first_stage_features_stride
        for name in ("height_stride", "width_stride") if isinstance(anchors, GridAnchorGenerator) else ():
            if getattr(anchors, name) != stride and not extractor.network.pyramid:
                text = (
                    f"{getattr(anchors, name)} is not the feature map's stride, {stride}; anchors lie where it says, "
                    "and not where the features come from"
                )
                yield Note(f"{at}.{name}", text)

    @between("number_of_stages", "second_stage_batch_size", "first_stage_max_proposals")
    def _are_there_so_many_proposals(self) -> Iterator[Problem]:
        if self.number_of_stages > 1 and self.second_stage_batch_size > self.first_stage_max_proposals:
            reason = f"{self.second_stage_batch_size} is more than first_stage_max_proposals"
            yield TrainingProblem("second_stage_batch_size", reason, f"use {self.first_stage_max_proposals} or fewer")

    # A head that is refused takes other crops: what else there is to say of them would only repeat it.
    @between("number_of_stages", "second_stage_box_predictor", *USUAL_SIZES)
    def _are_crops_large_enough(self) -> Iterator[Problem]:
        sizes = {name: getattr(self, name) for name in USUAL_SIZES} if self.number_of_stages > 1 else {}
        for name, size in sizes.items():
            if size < 1:
                yield Problem(name, f"{size} is not a size", f"set it, such as {name}: {USUAL_SIZES[name]}")
        if sizes and min(sizes.values()) >= 1 and self.maxpool_kernel_size > self.initial_crop_size:
            reason = f"{self.maxpool_kernel_size} is more than initial_crop_size, {self.initial_crop_size}"
            yield Problem("maxpool_kernel_size", reason, "use a smaller one, such as 2")

    @between("number_of_stages", "second_stage_box_predictor")
    def _is_there_a_second_head(self) -> Iterator[Problem]:
        if self.number_of_stages > 1 and self.second_stage_box_predictor is None:
            yield Problem("second_stage_box_predictor", "is not set", "use mask_rcnn_box_predictor { ... }")

    @between("number_of_stages", "second_stage_classification_loss", "second_stage_post_processing")
    def _do_scores_suit_the_loss(self) -> Iterator[Note]:
        note = score_converter_note(self.second_stage_post_processing, self.second_stage_loss)
        if self.number_of_stages > 1 and note is not None:
            yield note.below("second_stage_post_processing")

    @property
    def second_stage_loss(self) -> str:
        """The name of the second stage's classification loss."""
        return CLASSIFICATION_LOSSES.name_of(self.second_stage_classification_loss) or "weighted_softmax"
