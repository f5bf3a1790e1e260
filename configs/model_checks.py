"""What a model's fields must be together: what may not be missing, and what must agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.anchor_checks import check_anchors
from configs.diagnosis import nearest
from configs.effective import input_sizes_vary
from configs.extractor_checks import check_faster_rcnn_extractor, check_ssd_extractor
from configs.networks import (
    FASTER_RCNN_FEATURE_EXTRACTORS,
    SSD_FEATURE_EXTRACTORS,
    TF1_EQUALS,
    TF1_WITHOUT_EQUAL,
    has_pyramid,
    is_here,
)
from configs.problem import Note, Problem
from configs.resizer_checks import check_resizer

# Losses whose logits are each other's rivals, and those whose logits stand alone.
_SOFTMAX_LOSSES = ("weighted_softmax", "weighted_logits_softmax")
_SIGMOID_LOSSES = ("weighted_sigmoid", "weighted_sigmoid_focal", "bootstrapped_sigmoid")
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
    yield from _check_set(ssd.box_coder, f"{path}.box_coder", "faster_rcnn_box_coder")
    yield from _check_set(ssd.matcher, f"{path}.matcher", "argmax_matcher")
    yield from _check_set(ssd.similarity_calculator, f"{path}.similarity_calculator", "iou_similarity")
    if is_here(extractor.type):
        yield from _check_ssd_extractor(ssd, f"{path}.feature_extractor")
    if extractor.type == "ssd_model_garden_fpn" and not backbone.type:
        instead = "write extensions { model_garden_backbone { type: ... } }"
        yield Problem("extensions.model_garden_backbone.type", "is not set", instead)
    levels = _ssd_levels(extractor)
    yield from check_anchors(ssd.anchor_generator, f"{path}.anchor_generator", levels, extractor.type)
    yield from _check_ssd_predictor(ssd, path)
    losses = f"{path}.loss"
    yield from _check_set(ssd.loss.classification_loss, f"{losses}.classification_loss", "weighted_sigmoid_focal")
    yield from _check_set(ssd.loss.localization_loss, f"{losses}.localization_loss", "weighted_smooth_l1")
    loss = ssd.loss.classification_loss.WhichOneof("classification_loss")
    yield from _check_post_processing(ssd.post_processing, f"{path}.post_processing", loss)


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
    multiple = extractor.pad_to_multiple
    if multiple > 1 and not _is_multiple(ssd.image_resizer, multiple):
        reason = f"the input keeps the size that image_resizer gives it, which is no multiple of {multiple}"
        yield Problem(f"{path}.pad_to_multiple", reason, "use a size that is one, and delete it")


def _is_multiple(resizer: Any, multiple: int) -> bool:
    """Whether a resizer's size is a multiple already."""
    kind = resizer.WhichOneof("image_resizer_oneof")
    if kind is None or input_sizes_vary(resizer):
        return False
    if kind == "fixed_shape_resizer":
        return resizer.fixed_shape_resizer.height % multiple == resizer.fixed_shape_resizer.width % multiple == 0
    return resizer.keep_aspect_ratio_resizer.max_dimension % multiple == 0


def _check_ssd_predictor(ssd: Any, path: str) -> Iterator[Problem | Note]:
    kind = ssd.box_predictor.WhichOneof("box_predictor_oneof")
    at = f"{path}.box_predictor"
    if kind is None:
        yield Problem(at, "is not set", "use weight_shared_convolutional_box_predictor { ... }")
        return
    predictor = getattr(ssd.box_predictor, kind)
    if kind == "mask_rcnn_box_predictor":
        instead = "use weight_shared_convolutional_box_predictor or convolutional_box_predictor"
        yield Problem(f"{at}.{kind}", "is Faster R-CNN's head", instead)
    elif kind != "rfcn_box_predictor":
        codes = 3 if ssd.box_coder.HasField("square_box_coder") else 4
        if predictor.box_code_size != codes:
            reason = f"{predictor.box_code_size} numbers are not what {path}.box_coder makes of a box"
            yield Problem(f"{at}.{kind}.box_code_size", reason, f"use {codes}")
    is_shared = kind == "weight_shared_convolutional_box_predictor"
    if is_shared and predictor.depth < 1 and predictor.num_layers_before_predictor > 0:
        yield Problem(f"{at}.{kind}.depth", f"{predictor.depth} channels are none", "set it, such as depth: 256")


def _check_faster_rcnn(model: Any, path: str) -> Iterator[Problem | Note]:
    if model.number_of_stages not in (1, 2):
        what = "the third stage predicts masks" if model.number_of_stages == 3 else "there is no such model"
        yield Problem(f"{path}.number_of_stages", what, "use 2 for boxes with classes, or 1 for proposals alone")
    yield from _check_num_classes(model, path)
    extractor = model.feature_extractor
    yield from _check_type(extractor.type, f"{path}.feature_extractor.type", FASTER_RCNN_FEATURE_EXTRACTORS)
    yield from check_resizer(model.image_resizer, f"{path}.image_resizer")
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
    yield from _check_post_processing(model.second_stage_post_processing, f"{path}.second_stage_post_processing", loss)


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


def _check_set(message: Any, path: str, usual: str) -> Iterator[Problem]:
    """Checks that the one oneof of a message is set."""
    oneof = message.DESCRIPTOR.oneofs[0]
    if message.WhichOneof(oneof.name) is None:
        yield Problem(path, "is not set", f"use {usual} {{ }}")


def _check_post_processing(post_processing: Any, path: str, loss: str | None) -> Iterator[Problem | Note]:
    suppression = post_processing.batch_non_max_suppression
    at = f"{path}.batch_non_max_suppression"
    if not 0.0 <= suppression.iou_threshold <= 1.0:
        reason = f"{suppression.iou_threshold:g} does not lie between 0 and 1"
        yield Problem(f"{at}.iou_threshold", reason, "use one that does, such as 0.6")
    if suppression.max_detections_per_class > suppression.max_total_detections:
        reason = f"{suppression.max_detections_per_class} is more than max_total_detections"
        yield Problem(f"{at}.max_detections_per_class", reason, f"use {suppression.max_total_detections} or fewer")
    if suppression.soft_nms_sigma < 0:
        yield Problem(f"{at}.soft_nms_sigma", f"{suppression.soft_nms_sigma:g} is no width", "use 0.0 or more")
    if suppression.use_hard_nms and suppression.soft_nms_sigma > 0:
        yield Problem(f"{at}.soft_nms_sigma", "use_hard_nms: true contradicts it", "keep one of the two")
    if post_processing.HasField("calibration_config"):
        usual = "function_approximation"
        yield from _check_set(post_processing.calibration_config, f"{path}.calibration_config", usual)
    given = post_processing.DESCRIPTOR.fields_by_name["score_converter"]
    converter = given.enum_type.values_by_number[post_processing.score_converter].name
    fitting = "SOFTMAX" if loss in _SOFTMAX_LOSSES else "SIGMOID" if loss in _SIGMOID_LOSSES else converter
    if converter != fitting:
        unset = "" if post_processing.HasField("score_converter") else "unset, which means "
        yield Note(f"{path}.score_converter", f"{unset}{converter}; the scores that {loss} trains come with {fitting}")
