"""The graph that TensorFlow Lite's converter reads: a network, its score converter, and NMS as one operator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from configs.settings.post_processing import BatchNonMaxSuppression
from export.signatures import SAVE_OPTIONS
from train.evaluation.tflite_model import POST_PROCESS
from train.evaluation.thresholds_file import ClassThresholds
from train.models.box_coders import FasterRcnnBoxCoder
from train.models.post_processing import scores_from_logits
from train.models.ssd import SsdDetector
from train.models.ssd_targets import ClassSlots

INPUT_NAME = "image"
_ABOVE_ALL_SCORES = 2.0  # stands for infinity, which 8 bits have no range for
_LEAST_SCORE = 1e-6  # what the operator must not take: the zeros
# The operator's outputs, in its order.
OUTPUT_NAMES = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


@dataclasses.dataclass(frozen=True)
class NmsOptions:
    """The options of the NMS operator.

    Attributes:
        max_detections: Rows of its outputs.
        use_regular_nms: Whether boxes compete class by class. Otherwise every anchor counts with its best class, and
            boxes of all classes compete: `use_class_agnostic_nms`, and several times faster for many classes.
        detections_per_class: The most of a class, with regular NMS.
        score_threshold: What a score must reach.
        iou_threshold: What boxes that both stay may overlap.
        class_thresholds: What a score of each class must reach, float32 by label map id from 1; None for no more than
            `score_threshold`. They come before the NMS, since the operator knows one threshold for all: what is below
            suppresses nothing, takes no row from others, and without regular NMS an anchor counts with the best of
            the classes that it reaches the threshold of.
    """

    max_detections: int
    use_regular_nms: bool
    detections_per_class: int
    score_threshold: float
    iou_threshold: float
    class_thresholds: tuple[float, ...] | None = None

    def with_thresholds(self, thresholds: ClassThresholds, num_classes: int) -> NmsOptions:
        """Returns the same with thresholds of the classes."""
        by_id = np.minimum(thresholds.as_float32(num_classes)[1 : num_classes + 1], _ABOVE_ALL_SCORES)
        least = max(self.score_threshold, float(by_id.min()), _LEAST_SCORE)
        return dataclasses.replace(self, class_thresholds=tuple(by_id.tolist()), score_threshold=least)

    @classmethod
    def from_settings(
        cls, settings: BatchNonMaxSuppression, *, max_detections: int, use_regular_nms: bool
    ) -> NmsOptions:
        """Reads the settings of the NMS; the maximum is the flag's, as in the API."""
        per_class = min(settings.max_detections_per_class, max_detections)
        return cls(max_detections, use_regular_nms, per_class, settings.score_threshold, settings.iou_threshold)


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Pixel normalisation of a network: (pixel - mean) / deviation.

    Attributes:
        mean: Of red, green and blue, in 0..255.
        deviation: Of red, green and blue.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of_detector(cls, detector: SsdDetector) -> Normalization:
        """Finds them from what the detector makes of black and white."""
        height, width = detector.input_shape
        colors = tf.reshape(tf.constant([0.0, 255.0]), [2, 1, 1, 1]) * tf.ones([1, height, width, 3])
        found = detector.preprocess(colors, tf.constant([[height, width, 3]] * 2))[:, 0, 0].numpy()
        black, white = found.astype(np.float64)
        deviation = 255.0 / (white - black)
        # float32 has seven digits, and a person who copies the numbers into an app wants fewer.
        return cls(*(tuple(round(float(x), 4) for x in values) for values in (-black * deviation, deviation)))


def without_weak_scores(scores: tf.Tensor, nms: NmsOptions, slots: ClassSlots) -> tf.Tensor:
    """Makes scores [..., slots] 0 where they are below the threshold of their class."""
    if nms.class_thresholds is None:
        return scores
    of_slots = [0.0] * int(slots.has_background) + list(nms.class_thresholds)
    return tf.where(scores >= tf.constant(of_slots[: slots.num_slots], tf.float32), scores, 0.0)


# From float32 [1, height, width, 3] to box codes float32 [1, A, 4] and scores float32 [1, A, slots].
Predict = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def frozen_predictions(detector: SsdDetector) -> Predict:
    """Traces what comes before the NMS and makes its weights constants.

    Constants first: the converter takes a tenth of the time for them that it takes for variables.

    Returns:
        Takes normalised images; scores are converted and calibrated, background's among them where there is one.
    """
    height, width = detector.input_shape
    processing = detector.settings.post_processing

    @tf.autograph.experimental.do_not_convert
    def predict(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits, codes, _ = detector.predict(image, image, training=False)
        return codes, scores_from_logits(logits, processing)

    specs = [tf.TensorSpec([1, height, width, 3], tf.float32, name=INPUT_NAME)]
    concrete = tf.function(predict, input_signature=specs).get_concrete_function()
    return convert_variables_to_constants_v2(concrete, lower_control_flow=False)


def write_graph(
    folder: Path,
    detector: SsdDetector,
    predict: Predict,
    nms: NmsOptions,
    *,
    normalization: Normalization | None = None,
    as_the_api: bool = False,
) -> None:
    """Writes the SavedModel for the converter; TensorFlow itself cannot run it, for the operator is not TensorFlow's.

    Args:
        folder: To be made.
        detector: Whose anchors and box coder the operator decodes with.
        predict: As `frozen_predictions` returns it.
        nms: The options of the NMS operator.
        normalization: Makes the input an image of 0..255, normalised inside; None: normalised outside.
        as_the_api: Whether input and outputs are called, and come, as `export_tflite_graph_tf2.py` has them: `input`,
            and `output_0` to `output_3`, number, scores, classes, boxes. Scripts find a model's outputs by their order.
    """
    height, width = detector.input_shape
    module = tf.Module()
    # With a variable the call is stateful, and outputs are called StatefulPartitionedCall:0 and so on, as the API's
    # are: by that, scripts tell them from those of TensorFlow 1.
    module.anchors = tf.Variable(_centers_and_sides(detector), trainable=False) if as_the_api else None
    anchors = module.anchors if as_the_api else tf.constant(_centers_and_sides(detector))
    post_process = _post_process(detector, nms)
    slots = ClassSlots.from_settings(detector.settings)

    @tf.autograph.experimental.do_not_convert
    def detect(image: tf.Tensor) -> Any:
        if normalization is not None:
            # The mean first: what is left are whole numbers for most networks, which 8 bits hold without loss.
            image = (image - tf.constant(normalization.mean)) * (1.0 / tf.constant(normalization.deviation))
        codes, scores = predict(image)
        scores = without_weak_scores(scores, nms, slots)
        outputs = post_process(codes, scores, tf.identity(anchors))
        return tuple(reversed(outputs)) if as_the_api else dict(zip(OUTPUT_NAMES, outputs, strict=True))

    spec = tf.TensorSpec([1, height, width, 3], tf.float32, name="input" if as_the_api else INPUT_NAME)
    module.detect = tf.function(detect, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures=module.detect, options=SAVE_OPTIONS)


def _post_process(detector: SsdDetector, nms: NmsOptions) -> Any:
    """A function that the converter knows by its attributes, and replaces by the operator."""
    slots = ClassSlots.from_settings(detector.settings)
    coder = detector.box_coder
    if not isinstance(coder, FasterRcnnBoxCoder):
        raise ValueError(f"{POST_PROCESS} decodes faster_rcnn_box_coder alone")
    y_scale, x_scale, height_scale, width_scale = coder.scales
    attributes = {
        "max_detections": ("i", nms.max_detections),
        "max_classes_per_detection": ("i", 1),
        "detections_per_class": ("i", nms.detections_per_class),
        "use_regular_nms": ("b", str(nms.use_regular_nms).lower()),
        "nms_score_threshold": ("f", nms.score_threshold),
        "nms_iou_threshold": ("f", nms.iou_threshold),
        "y_scale": ("f", y_scale),
        "x_scale": ("f", x_scale),
        "h_scale": ("f", height_scale),
        "w_scale": ("f", width_scale),
        # The operator leaves out as many columns at the front as scores have more than this: background.
        "num_classes": ("i", slots.num_slots - int(slots.has_background)),
    }
    words = [f'attr {{ key: "{key}" value {{ {kind}: {value} }} }}' for key, (kind, value) in attributes.items()]
    rows = nms.max_detections

    @tf.function(experimental_implements=f'name: "{POST_PROCESS}" {" ".join(words)}')
    @tf.autograph.experimental.do_not_convert
    def post_process(codes: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        del codes, scores, anchors
        return tf.zeros([1, rows, 4]), tf.zeros([1, rows]), tf.zeros([1, rows]), tf.zeros([1])

    return post_process


def _centers_and_sides(detector: SsdDetector) -> np.ndarray:
    """float32 [A, 4]: anchors as the operator wants them: y, x, height, width in 0..1 of the input."""
    boxes = detector.normalized_anchors
    if boxes is None:
        raise ValueError("anchors are known beforehand for inputs of one size only")
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2.0, boxes[:, 2:] - boxes[:, :2]], axis=1)
