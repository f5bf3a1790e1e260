"""Settings of a one-stage detector: an `Ssd` message, and what its parts must be beside one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Note, Problem
from configs.settings.anchors import ANCHOR_GENERATORS, AnchorGenerator, levels_note, maps_problem
from configs.settings.box_coders import BOX_CODERS, BoxCoder
from configs.settings.declaration import Settings, between, nested
from configs.settings.extractors import SsdFeatureExtractor
from configs.settings.heads import SSD_BOX_PREDICTORS, SsdBoxPredictor, WeightSharedConvolutionalBoxPredictor
from configs.settings.losses import CLASSIFICATION_LOSSES, Loss
from configs.settings.matching import MATCHERS, SIMILARITIES, Matcher, Similarity
from configs.settings.post_processing import PostProcessing, score_converter_note
from configs.settings.reasons import BOXES_ONLY, INPLACE, RAW_OUTPUTS
from configs.settings.resizers import IMAGE_RESIZERS, ImageResizer
from configs.settings.values import declared, number, scalar

_MOST_CLASSES = 100_000
_LARGEST_WEIGHT = 1e6


def class_count() -> Any:
    """An attribute that is the number of classes, without background."""
    instead = "set it to the label map's largest id"
    return number(at_least=1, at_most=_MOST_CLASSES, reason="classes", instead=instead)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ssd(Settings, message="Ssd"):
    """A one-stage detector.

    Attributes:
        num_classes: Without background: the label map's largest id.
        image_resizer: Makes the input.
        feature_extractor: From the input to feature maps.
        box_coder: Between boxes and codes.
        matcher: From likeness to matches of anchors with ground truth.
        similarity_calculator: The likeness.
        encode_background_as_zeros: Whether background is a target of zeros, and not a class.
        negative_class_weight: Of anchors that nothing matches, in the classification loss.
        box_predictor: From feature maps to class logits and box codes.
        anchor_generator: Of the feature maps' anchors.
        post_processing: From logits and codes to detections.
        normalize_loss_by_num_matches: Whether losses are divided by the number of matched anchors.
        normalize_loc_loss_by_codesize: Whether the localization loss is divided by the size of a code.
        loss: Of logits and codes.
        freeze_batchnorm: Whether all batch norm keeps its statistics.
        add_background_class: Whether there is a background logit.
        explicit_background_class: Whether background is a class of the ground truth.
        use_confidences_as_targets: Whether class targets are the ground truth's confidences.
        implicit_example_weight: Of ground truth without a confidence of its own.
    """

    num_classes: int = class_count()
    image_resizer: ImageResizer = declared(IMAGE_RESIZERS)
    feature_extractor: SsdFeatureExtractor = nested(SsdFeatureExtractor)
    box_coder: BoxCoder = declared(BOX_CODERS)
    matcher: Matcher = declared(MATCHERS)
    similarity_calculator: Similarity = declared(SIMILARITIES)
    encode_background_as_zeros: bool = scalar()
    negative_class_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    box_predictor: SsdBoxPredictor = declared(SSD_BOX_PREDICTORS)
    anchor_generator: AnchorGenerator = declared(ANCHOR_GENERATORS)
    post_processing: PostProcessing = nested(PostProcessing)
    normalize_loss_by_num_matches: bool = scalar()
    normalize_loc_loss_by_codesize: bool = scalar()
    loss: Loss = nested(Loss)
    freeze_batchnorm: bool = scalar()
    add_background_class: bool = scalar()
    explicit_background_class: bool = scalar()
    use_confidences_as_targets: bool = scalar()
    implicit_example_weight: float = number(at_least=0.0, at_most=_LARGEST_WEIGHT)
    no_effect = {"inplace_batchnorm_update": INPLACE}
    refused = {"return_raw_detections_during_predict": RAW_OUTPUTS, "mask_head_config": BOXES_ONLY}

    @between("image_resizer", "feature_extractor")
    def _do_sides_suit_the_pyramid(self) -> Iterator[Problem]:
        multiple, stride = self.feature_extractor.pad_to_multiple, self.feature_extractor.stride
        sides = [side + -side % multiple for side in self.image_resizer.static_size if side is not None]
        if any(side % stride for side in sides):
            reason = (
                f"sides of {' and '.join(map(str, sides))} pixels are no multiples of {stride}, the pyramid's stride"
            )
            instead = f"use such sides, or feature_extractor {{ pad_to_multiple: {stride} }}"
            yield Problem(self.path_of("image_resizer"), reason, instead)

    @between("feature_extractor", "anchor_generator")
    def _are_there_anchors_for_each_map(self) -> Iterator[Problem | Note]:
        levels, at = self.feature_extractor.levels, self.path_of("anchor_generator")
        problem = maps_problem(self.anchor_generator, levels, self.feature_extractor.type)
        note = levels_note(self.anchor_generator, levels)
        if problem is not None:
            yield problem.below(at)
        if note is not None:
            yield note.below(at)

    @between("box_predictor", "box_coder")
    def _are_codes_of_one_size(self) -> Iterator[Problem]:
        size = self.box_predictor.box_code_size
        if size != self.box_coder.code_size:
            reason = f"{size} numbers are not what the box coder makes of a box"
            at = self.path_of("box_predictor")
            yield Problem(f"{at}.box_code_size", reason, f"use {self.box_coder.code_size}")

    @between("box_predictor", "anchor_generator")
    def _can_maps_share_a_head(self) -> Iterator[Problem]:
        counts = self.anchor_generator.anchors_per_location
        if isinstance(self.box_predictor, WeightSharedConvolutionalBoxPredictor) and len(set(counts)) > 1:
            reason = f"one head for feature maps that have {', '.join(map(str, counts))} anchors a place"
            instead = (
                "use convolutional_box_predictor, or as many anchors on each (reduce_boxes_in_lowest_layer: false)"
            )
            yield Problem(self.path_of("box_predictor"), reason, instead)

    @between("add_background_class", "explicit_background_class")
    def _is_there_one_background(self) -> Iterator[Problem]:
        if self.add_background_class and self.explicit_background_class:
            reason = "there is a background logit already, as add_background_class: true says"
            yield Problem("explicit_background_class", reason, "write add_background_class: false beside it")

    @between("loss", "post_processing")
    def _do_scores_suit_the_loss(self) -> Iterator[Note]:
        loss = CLASSIFICATION_LOSSES.name_of(self.loss.classification_loss)
        note = score_converter_note(self.post_processing, loss)
        if note is not None:
            yield note.below("post_processing")
