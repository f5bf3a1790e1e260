"""What a model's fields must be together: what may not be missing, and what must agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.anchor_checks import anchors_per_location, check_anchors
from configs.extractor_checks import check_faster_rcnn_extractor, check_ssd_extractor, pyramid_stride
from configs.head_checks import check_post_processing, check_ssd_predictor
from configs.loss_checks import check_matcher, check_ssd_loss
from configs.oneofs import check_set
from configs.resizer_checks import check_resizer
from configs.schema.diagnosis import nearest
from configs.schema.problem import Note, Problem
from configs.settings.effective import input_sizes_vary
from configs.settings.networks import (
    FASTER_RCNN_FEATURE_EXTRACTORS,
    SSD_FEATURE_EXTRACTORS,
    TF1_EQUALS,
    TF1_WITHOUT_EQUAL,
    has_pyramid,
    is_here,
)

# The API's Faster R-CNN reads these; whatever else is set, it takes weighted_softmax without a word.
_SECOND_STAGE_LOSSES = ("weighted_softmax", "weighted_sigmoid", "weighted_logits_softmax", "weighted_sigmoid_focal")


def check_model(config: Any) -> Iterator[Problem | Note]:
    """Checks the `model` part of a `TrainEvalPipelineConfig`; yields each problem, and what is worth a note."""
    kind = config.model.WhichOneof("model")
    if kind is None:
        yield Problem("model", "is not set", "write model { ssd { ... } } or model { faster_rcnn { ... } }")
    elif kind == "ssd":
        yield from _check_ssd(config.model.ssd, "model.ssd", config.extensions.model_garden_backbone)
    elif kind == "faster_rcnn":
        yield from _check_faster_rcnn(config.model.faster_rcnn, "model.faster_rcnn")


def _check_ssd(ssd: Any, path: str, backbone: Any) -> Iterator[Problem | Note]:
    yield from _check_num_classes(ssd, path)
    extractor = ssd.feature_extractor
    yield from _check_type(extractor.type, f"{path}.feature_extractor.type", SSD_FEATURE_EXTRACTORS)
    yield from check_resizer(ssd.image_resizer, f"{path}.image_resizer")
    yield from check_set(ssd.box_coder, f"{path}.box_coder", "faster_rcnn_box_coder")
    yield from check_matcher(ssd.matcher, f"{path}.matcher")
    yield from check_set(ssd.similarity_calculator, f"{path}.similarity_calculator", "iou_similarity")
    if is_here(extractor.type):
        yield from _check_ssd_extractor(ssd, f"{path}.feature_extractor")
    if extractor.type == "ssd_model_garden_fpn" and not backbone.type:
        instead = "write extensions { model_garden_backbone { type: ... } }"
        yield Problem("extensions.model_garden_backbone.type", "is not set", instead)
    levels = _ssd_levels(extractor)
    yield from check_anchors(ssd.anchor_generator, f"{path}.anchor_generator", levels, extractor.type)
    codes = 3 if ssd.box_coder.HasField("square_box_coder") else 4
    counts = anchors_per_location(ssd.anchor_generator)
    yield from check_ssd_predictor(ssd.box_predictor, f"{path}.box_predictor", codes, counts)
    yield from check_ssd_loss(ssd.loss, f"{path}.loss")
    if ssd.add_background_class and ssd.explicit_background_class:
        reason = "there is a background logit already, as add_background_class: true says"
        yield Problem(f"{path}.explicit_background_class", reason, "write add_background_class: false beside it")
    loss = ssd.loss.classification_loss.WhichOneof("classification_loss")
    yield from check_post_processing(ssd.post_processing, f"{path}.post_processing", loss)


def _ssd_levels(extractor: Any) -> tuple[int, int] | int | None:
    """The pyramid's lowest and highest level, the number of feature maps without a pyramid, or None if unknown."""
    if extractor.type not in SSD_FEATURE_EXTRACTORS:
        return None
    if not has_pyramid(extractor.type):
        return int(extractor.num_layers)
    pyramid = extractor.bifpn if "_bifpn_" in extractor.type else extractor.fpn
    return int(pyramid.min_level), int(pyramid.max_level)


def _check_ssd_extractor(ssd: Any, path: str) -> Iterator[Problem | Note]:
    """Checks the fields that depend on the network, for the networks that are here."""
    extractor = ssd.feature_extractor
    yield from check_ssd_extractor(extractor, path)
    sides = _padded_sides(ssd.image_resizer, extractor.pad_to_multiple)
    stride = pyramid_stride(extractor)
    if any(side % stride for side in sides):
        kind = ssd.image_resizer.WhichOneof("image_resizer_oneof")
        reason = f"sides of {' and '.join(map(str, sides))} pixels are no multiples of {stride}, the pyramid's stride"
        instead = f"use such sides, or feature_extractor {{ pad_to_multiple: {stride} }}"
        yield Problem(f"{path.removesuffix('.feature_extractor')}.image_resizer.{kind}", reason, instead)


def _padded_sides(resizer: Any, multiple: int) -> list[int]:
    """Height and width of the network's input in pixels, if they are known beforehand."""
    kind = resizer.WhichOneof("image_resizer_oneof")
    if kind is None or input_sizes_vary(resizer) or any(check_resizer(resizer, "")):
        return []
    chosen = getattr(resizer, kind)
    sides = [chosen.height, chosen.width] if kind == "fixed_shape_resizer" else [chosen.max_dimension] * 2
    return [side + -side % max(multiple, 1) for side in sides]


def _check_faster_rcnn(model: Any, path: str) -> Iterator[Problem | Note]:
    if model.number_of_stages not in (1, 2):
        what = "the third stage predicts masks" if model.number_of_stages == 3 else "there is no such model"
        yield Problem(f"{path}.number_of_stages", what, "use 2 for boxes with classes, or 1 for proposals alone")
    yield from _check_num_classes(model, path)
    extractor = model.feature_extractor
    yield from _check_type(extractor.type, f"{path}.feature_extractor.type", FASTER_RCNN_FEATURE_EXTRACTORS)
    yield from check_resizer(model.image_resizer, f"{path}.image_resizer")
    if model.first_stage_anchor_generator.HasField("ssd_anchor_generator"):
        at = f"{path}.first_stage_anchor_generator.ssd_anchor_generator"
        reason = "its anchors follow the input's size, which Faster R-CNN's do not"
        yield Problem(at, reason, "use grid_anchor_generator or multiscale_anchor_generator")
    is_known = is_here(extractor.type)
    levels = (int(extractor.fpn.min_level), int(extractor.fpn.max_level)) if has_pyramid(extractor.type) else 1
    yield from check_anchors(
        model.first_stage_anchor_generator,
        f"{path}.first_stage_anchor_generator",
        levels if is_known else None,
        extractor.type,
    )
    if is_here(extractor.type):
        yield from _check_faster_rcnn_extractor(model, path)
    if model.number_of_stages < 2:
        return
    if model.second_stage_batch_size > model.first_stage_max_proposals:
        reason = f"{model.second_stage_batch_size} is more than first_stage_max_proposals"
        instead = f"use {model.first_stage_max_proposals} or fewer"
        yield Problem(f"{path}.second_stage_batch_size", reason, instead)
    for name in ("initial_crop_size", "maxpool_kernel_size", "maxpool_stride"):
        if getattr(model, name) < 1:
            usual = 14 if name == "initial_crop_size" else 2
            yield Problem(f"{path}.{name}", f"{getattr(model, name)} is not a size", f"set it, such as {name}: {usual}")
    kind = model.second_stage_box_predictor.WhichOneof("box_predictor_oneof")
    if kind is None:
        yield Problem(f"{path}.second_stage_box_predictor", "is not set", "use mask_rcnn_box_predictor { ... }")
    elif kind not in ("mask_rcnn_box_predictor", "rfcn_box_predictor"):
        at = f"{path}.second_stage_box_predictor.{kind}"
        yield Problem(at, "is SSD's head", "use mask_rcnn_box_predictor { ... }")
    loss = model.second_stage_classification_loss.WhichOneof("classification_loss") or "weighted_softmax"
    if loss not in _SECOND_STAGE_LOSSES:
        at = f"{path}.second_stage_classification_loss.{loss}"
        yield Problem(at, "is no loss of the second stage", f"use one of {', '.join(_SECOND_STAGE_LOSSES)}")
    yield from check_post_processing(model.second_stage_post_processing, f"{path}.second_stage_post_processing", loss)


def _check_faster_rcnn_extractor(model: Any, path: str) -> Iterator[Problem | Note]:
    """Checks the fields that depend on the network, for the networks that are here."""
    extractor = model.feature_extractor
    at = f"{path}.feature_extractor"
    stride = extractor.first_stage_features_stride
    yield from check_faster_rcnn_extractor(extractor, at)
    if has_pyramid(extractor.type) or not model.first_stage_anchor_generator.HasField("grid_anchor_generator"):
        return
    grid = model.first_stage_anchor_generator.grid_anchor_generator
    for name in ("height_stride", "width_stride"):
        if getattr(grid, name) != stride:
            text = (
                f"{getattr(grid, name)} is not the feature map's stride, {stride}; anchors lie where it says, and "
                "not where the features come from"
            )
            yield Note(f"{path}.first_stage_anchor_generator.grid_anchor_generator.{name}", text)


def _check_num_classes(model: Any, path: str) -> Iterator[Problem]:
    if model.num_classes < 1:
        yield Problem(f"{path}.num_classes", f"{model.num_classes} classes", "set it to the label map's largest id")


def _check_type(given: str, path: str, supported: tuple[str, ...]) -> Iterator[Problem]:
    if given in supported:
        return
    elsewhere = [*SSD_FEATURE_EXTRACTORS, *FASTER_RCNN_FEATURE_EXTRACTORS]
    family = "ssd" if supported is SSD_FEATURE_EXTRACTORS else "faster_rcnn"
    if not given:
        yield Problem(path, "is not set", f"use one of {', '.join(supported)}")
    elif given in TF1_WITHOUT_EQUAL and TF1_WITHOUT_EQUAL[given] in supported:
        near = TF1_WITHOUT_EQUAL[given]
        reason = f"'{given}' is a network that the API has in TensorFlow 1 only"
        yield Problem(path, reason, f"the nearest that is here: '{near}'")
    elif given in TF1_EQUALS and TF1_EQUALS[given] in supported:
        yield Problem(path, f"{given!r} is the network's name in TensorFlow 1", f"use '{TF1_EQUALS[given]}'")
    elif given in elsewhere:
        other = "faster_rcnn" if family == "ssd" else "ssd"
        yield Problem(path, f"'{given}' is a network of model.{other}", f"use one of {', '.join(supported)}")
    else:
        near_name = nearest(given, supported)
        instead = f"use {near_name!r}" if near_name else f"use one of {', '.join(supported)}"
        yield Problem(path, f"{given!r} is not a network here", instead)
