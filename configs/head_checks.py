"""What a box predictor's and post-processing's fields must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from configs.oneofs import check_set
from configs.schema.problem import Note, Problem

# Losses whose logits are each other's rivals, and those whose logits stand alone.
_SOFTMAX_LOSSES = ("weighted_softmax", "weighted_logits_softmax")
_SIGMOID_LOSSES = ("weighted_sigmoid", "weighted_sigmoid_focal", "bootstrapped_sigmoid")


def check_ssd_predictor(
    box_predictor: Any, path: str, code_size: int, anchors_per_location: Sequence[int]
) -> Iterator[Problem]:
    """Checks SSD's `BoxPredictor` message; yields each problem.

    Args:
        box_predictor: The message.
        path: Of it.
        code_size: The numbers that the box coder makes of a box.
        anchors_per_location: For each feature map.
    """
    kind = box_predictor.WhichOneof("box_predictor_oneof")
    if kind is None:
        yield Problem(path, "is not set", "use weight_shared_convolutional_box_predictor { ... }")
        return
    at = f"{path}.{kind}"
    if kind == "mask_rcnn_box_predictor":
        instead = "use weight_shared_convolutional_box_predictor or convolutional_box_predictor"
        yield Problem(at, "is Faster R-CNN's head", instead)
        return
    if kind == "rfcn_box_predictor":
        return  # Refused whatever it says.
    predictor = getattr(box_predictor, kind)
    if predictor.box_code_size != code_size:
        reason = f"{predictor.box_code_size} numbers are not what the box coder makes of a box"
        yield Problem(f"{at}.box_code_size", reason, f"use {code_size}")
    if predictor.use_depthwise and predictor.kernel_size == 1:
        yield Problem(f"{at}.use_depthwise", "a depthwise kernel of 1 sees one pixel", "use kernel_size: 3")
    if kind == "convolutional_box_predictor":
        if predictor.min_depth > predictor.max_depth:
            reason = f"{predictor.min_depth} is above max_depth, {predictor.max_depth}"
            yield Problem(f"{at}.min_depth", reason, "use a smaller one")
        return
    if predictor.depth < 1 and predictor.num_layers_before_predictor > 0:
        yield Problem(f"{at}.depth", f"{predictor.depth} channels are none", "set it, such as depth: 256")
    if len(set(anchors_per_location)) > 1:
        reason = f"one head for feature maps that have {', '.join(map(str, anchors_per_location))} anchors a place"
        instead = "use convolutional_box_predictor, or as many anchors on each (reduce_boxes_in_lowest_layer: false)"
        yield Problem(at, reason, instead)


def check_post_processing(post_processing: Any, path: str, loss: str | None) -> Iterator[Problem | Note]:
    """Checks a `PostProcessing` message; yields each problem, and what is worth a note.

    Args:
        post_processing: The message.
        path: Of it.
        loss: The classification loss, whose logits become scores; None if there is none.
    """
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
    if post_processing.HasField("calibration_config"):
        yield from _check_calibration(post_processing.calibration_config, f"{path}.calibration_config")
    given = post_processing.DESCRIPTOR.fields_by_name["score_converter"]
    converter = given.enum_type.values_by_number[post_processing.score_converter].name
    fitting = "SOFTMAX" if loss in _SOFTMAX_LOSSES else "SIGMOID" if loss in _SIGMOID_LOSSES else converter
    if converter != fitting:
        unset = "" if post_processing.HasField("score_converter") else "unset, which means "
        yield Note(f"{path}.score_converter", f"{unset}{converter}; the scores that {loss} trains come with {fitting}")


def _check_calibration(calibration: Any, path: str) -> Iterator[Problem]:
    yield from check_set(calibration, path, "function_approximation")
    if calibration.HasField("temperature_scaling_calibration"):
        scaler = calibration.temperature_scaling_calibration.scaler
        if scaler <= 0:
            at = f"{path}.temperature_scaling_calibration.scaler"
            yield Problem(at, f"{scaler:g} is no temperature", "use one above 0")
    if calibration.HasField("function_approximation"):
        pairs = calibration.function_approximation.x_y_pairs
        yield from _check_rising(pairs, f"{path}.function_approximation.x_y_pairs")
    if calibration.HasField("class_id_function_approximations"):
        by_class = calibration.class_id_function_approximations.class_id_xy_pairs_map
        for label, pairs in sorted(by_class.items()):
            at = f"{path}.class_id_function_approximations.class_id_xy_pairs_map[{label}]"
            yield from _check_rising(pairs, at)


def _check_rising(pairs: Any, path: str) -> Iterator[Problem]:
    xs = [pair.x for pair in pairs.x_y_pair]
    if not xs or any(after <= before for before, after in pairwise(xs)):
        yield Problem(f"{path}.x_y_pair", "needs pairs of rising x", "write them in the order of x, each x once")
