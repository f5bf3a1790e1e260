"""Settings of post-processing: from class logits and boxes to detections; score converter, calibration and NMS."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

from configs.schema.problem import Note, Problem
from configs.settings.declaration import Choice, Settings, mapped, nested
from configs.settings.reasons import TPU_SHAPES
from configs.settings.values import declared, number, scalar

_NMS_KIND = "the same NMS is always computed the fast way"
# Losses whose logits are each other's rivals; those of the others stand alone.
_SOFTMAX_LOSSES = ("weighted_softmax", "weighted_logits_softmax")
# Outputs have this many rows, and memory an end.
_MOST_DETECTIONS = 1_000_000
# Differences of larger numbers leave 32 bits.
_LARGEST = 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchNonMaxSuppression(Settings, message="BatchNonMaxSuppression"):
    """Which of the boxes that overlap are detections.

    Attributes:
        score_threshold: What a score must exceed; below 0 where scores are logits.
        iou_threshold: Of two boxes that overlap more, the better stays.
        max_detections_per_class: In an image.
        max_total_detections: In an image.
        use_class_agnostic_nms: Whether boxes of all classes compete, each with its best class.
        max_classes_per_detection: With `use_class_agnostic_nms`.
        soft_nms_sigma: Above 0, scores of overlapping boxes fall instead; the larger, the less.
        change_coordinate_frame: Whether boxes are relative to the image without padding.
        use_hard_nms: Whether `soft_nms_sigma` does not count.
    """

    score_threshold: float = number()
    iou_threshold: float = number(
        at_least=0.0, at_most=1.0, reason="does not lie between 0 and 1", instead="use one that does, such as 0.6"
    )
    max_detections_per_class: int = number(at_least=1, at_most=_MOST_DETECTIONS)
    max_total_detections: int = number(at_least=1, at_most=_MOST_DETECTIONS)
    use_class_agnostic_nms: bool = scalar()
    max_classes_per_detection: int = scalar(
        only=(1,),
        reason="class-agnostic NMS gives each box its best class, as in the API",
        instead="use max_classes_per_detection: 1",
    )
    soft_nms_sigma: float = number(at_least=0.0, reason="is no width", instead="use 0.0 or more")
    change_coordinate_frame: bool = scalar()
    use_hard_nms: bool = scalar()
    no_effect = {
        "use_static_shapes": TPU_SHAPES,
        "use_partitioned_nms": _NMS_KIND,
        "use_combined_nms": _NMS_KIND,
        "use_cpu_nms": _NMS_KIND,
    }

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.max_detections_per_class > self.max_total_detections:
            reason = f"{self.max_detections_per_class} is more than max_total_detections"
            yield Problem("max_detections_per_class", reason, f"use {self.max_total_detections} or fewer")


# -------------------------------------------------------------------------------------------------------- calibration


@dataclasses.dataclass(frozen=True, kw_only=True)
class XYPair(Settings, message="XYPairs.XYPair"):
    """A point of a function.

    Attributes:
        x: Score.
        y: Score after calibration.
    """

    x: float = number(at_least=-_LARGEST, at_most=_LARGEST)
    y: float = number(at_least=-_LARGEST, at_most=_LARGEST)


@dataclasses.dataclass(frozen=True, kw_only=True)
class XYPairs(Settings, message="XYPairs"):
    """A function that is linear between points, and constant beyond the first and the last.

    Attributes:
        x_y_pair: Points of rising x.
    """

    x_y_pair: tuple[XYPair, ...] = nested(XYPair, repeated=True)
    no_effect = {"training_data_type": "it only says where the pairs came from"}

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if not self.x_y_pair or any(after.x <= before.x for before, after in pairwise(self.x_y_pair)):
            yield Problem("x_y_pair", "needs pairs of rising x", "write them in the order of x, each x once")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SigmoidParameters(Settings, message="SigmoidParameters"):
    """1 / (1 + exp(a * score + b))."""

    a: float = number()
    b: float = number()


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunctionApproximation(Settings, message="FunctionApproximation"):
    """The same function for all classes."""

    x_y_pairs: XYPairs = nested(XYPairs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassIdFunctionApproximations(Settings, message="ClassIdFunctionApproximations"):
    """A function for each column of scores, background being 0; the others stay as they are."""

    class_id_xy_pairs_map: dict[int, XYPairs] = mapped(XYPairs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SigmoidCalibration(Settings, message="SigmoidCalibration"):
    """The same sigmoid for all classes."""

    sigmoid_parameters: SigmoidParameters = nested(SigmoidParameters)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassIdSigmoidCalibrations(Settings, message="ClassIdSigmoidCalibrations"):
    """A sigmoid for each column of scores, background being 0; the others stay as they are."""

    class_id_sigmoid_parameters_map: dict[int, SigmoidParameters] = mapped(SigmoidParameters)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemperatureScalingCalibration(Settings, message="TemperatureScalingCalibration"):
    """Logits are divided by `scaler` before they become scores."""

    scaler: float = number(above=0.0, reason="is no temperature", instead="use one above 0")


Calibration: TypeAlias = (
    FunctionApproximation
    | ClassIdFunctionApproximations
    | SigmoidCalibration
    | ClassIdSigmoidCalibrations
    | TemperatureScalingCalibration
)

# What a `CalibrationConfig` message may be.
CALIBRATIONS = Choice(
    alternatives={
        "function_approximation": FunctionApproximation,
        "class_id_function_approximations": ClassIdFunctionApproximations,
        "sigmoid_calibration": SigmoidCalibration,
        "class_id_sigmoid_calibrations": ClassIdSigmoidCalibrations,
        "temperature_scaling_calibration": TemperatureScalingCalibration,
    },
    required="use function_approximation { }",
    optional=True,
)

# ---------------------------------------------------------------------------------------------------- post-processing


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostProcessing(Settings, message="PostProcessing"):
    """From class logits and boxes to detections.

    Attributes:
        batch_non_max_suppression: Which boxes stay.
        score_converter: IDENTITY, SIGMOID or SOFTMAX: from logits to scores.
        logit_scale: What logits are divided by first.
        calibration_config: None: scores stay as they are.
    """

    batch_non_max_suppression: BatchNonMaxSuppression = nested(BatchNonMaxSuppression)
    score_converter: str = scalar()
    logit_scale: float = number(above=0.0)
    calibration_config: Calibration | None = declared(CALIBRATIONS)


def score_converter_note(processing: PostProcessing, loss: str) -> Note | None:
    """Says that scores do not come of logits as a loss trains them, if they do not.

    Args:
        processing: Makes scores.
        loss: Trains logits; a field's name of `ClassificationLoss`, such as `weighted_sigmoid`.

    Returns:
        The note, with a path from the `PostProcessing` message.
    """
    fitting = "SOFTMAX" if loss in _SOFTMAX_LOSSES else "SIGMOID"
    if processing.score_converter == fitting:
        return None
    given = f"{processing.unset('score_converter')}{processing.score_converter}"
    return Note("score_converter", f"{given}; the scores that {loss} trains come with {fitting}")
