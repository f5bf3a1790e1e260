"""The graphs that a SavedModel answers with: from images as clients send them to detections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from configs.settings.resizers import ImageResizer
from data_prep.formats.label_map import LabelMap
from data_prep.runtime.command_line import UsageError
from export.image_inputs import INPUT_NAME, INPUT_SPECS, batch_reader, decode_image
from export.scaled_jpeg import least_sides
from export.score_thresholds import DETECTION_THRESHOLDS, nms_from, with_thresholds
from export.weights_dtype import FLOAT32, store_weights_in
from train.evaluation.thresholds_file import ClassThresholds
from train.models.detector import Detector

__all__ = [
    "ALL_DETECTIONS",
    "DEFAULT_SIGNATURE",
    "IMAGE_RESIZER",
    "INPUT_NAME",
    "INPUT_SPECS",
    "MORE_OUTPUTS",
    "OUTPUT_NAMES",
    "RAW_OUTPUTS",
    "SAVE_OPTIONS",
    "Labels",
    "ServingModule",
    "decode_image",
    "detection_function",
    "signature_names",
]

DEFAULT_SIGNATURE = "serving_default"
ALL_DETECTIONS = "all_detections"
# Tells, for as many rows as it is given numbers, what the model's resizer shrinks images to; see `least_sides`.
IMAGE_RESIZER = "image_resizer"
OUTPUT_NAMES = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
CLASS_NAMES = "detection_class_names"
RAW_OUTPUTS = ("raw_detection_boxes", "raw_detection_scores")
_OUTPUTS_OF_ANCHORS = ("detection_multiclass_scores", "detection_anchor_indices")
# Nobody trains an export, and the gradients of swish hold the variables that are constants now.
SAVE_OPTIONS = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
MORE_OUTPUTS = (*RAW_OUTPUTS, *_OUTPUTS_OF_ANCHORS, CLASS_NAMES)


@dataclasses.dataclass(frozen=True)
class BakedThresholds:
    """Thresholds that a SavedModel applies itself.

    Attributes:
        thresholds: Of all classes; their file is copied into the SavedModel's `assets/`.
        also_all_detections: Whether there is a signature without them, `all_detections`, of the first input type.
    """

    thresholds: ClassThresholds
    also_all_detections: bool = False


@dataclasses.dataclass(frozen=True)
class Labels:
    """The classes' names, as a SavedModel carries them.

    Attributes:
        label_map: With the names that detections are given.
        path: Of its file, which is copied into the SavedModel's `assets/`.
    """

    label_map: LabelMap
    path: Path


def signature_names(input_types: Sequence[str], baked: BakedThresholds | None = None) -> dict[str, str]:
    """Names signatures: the first is `serving_default`, others go by their input type; and perhaps `all_detections`.

    Returns:
        The input type by signature.
    """
    names = {input_type if number else DEFAULT_SIGNATURE: input_type for number, input_type in enumerate(input_types)}
    if baked is not None and baked.also_all_detections:
        names[ALL_DETECTIONS] = input_types[0]
    return names


def detection_function(detector: Detector, input_type: str) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes the function from a batch of requests to detections, on the detector's own variables.

    Args:
        detector: What detects.
        input_type: A key of `INPUT_SPECS`.

    Returns:
        Takes a tensor as that spec says, and returns tensors by `OUTPUT_NAMES` as `Detector.detect` gives them.
    """
    read = batch_reader(input_type, detector.settings.image_resizer)

    @tf.autograph.experimental.do_not_convert  # nothing to convert, which takes TensorFlow long to find out
    def detect(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        detections = detector.detect(*read(input_tensor))
        return {name: detections[name] for name in OUTPUT_NAMES}

    return detect


class ServingModule(tf.Module):
    """A detector as frozen functions: weights are constants, so that TensorFlow can fold batch norm into them.

    On two CPU cores a detector of MobileNet's size answered in 22 ms frozen where it took 30 ms with variables. All
    signatures call one function from pixels to detections, so that the weights are written once.

    Attributes:
        signatures: By the names of `signature_names`, and `image_resizer` where that shrinks images; what
            `tf.saved_model.save` takes.
        before_nms: From the first input type's requests to `raw_detection_boxes` and `raw_detection_scores`, by the
            same function; None where the detector has none. No signature, unless somebody makes it one.
        label_map: The asset; None without labels.
        thresholds: The asset; None without thresholds.
    """

    def __init__(
        self,
        detector: Detector,
        input_types: Sequence[str],
        *,
        more_outputs: Sequence[str] = (),
        labels: Labels | None = None,
        baked: BakedThresholds | None = None,
        scaled_jpeg: bool = False,
        weights_dtype: str = FLOAT32,
    ) -> None:
        """Traces and freezes.

        Args:
            detector: What detects, with the weights that it has now.
            input_types: Keys of `INPUT_SPECS`, a signature each.
            more_outputs: Of `MORE_OUTPUTS`, beside `OUTPUT_NAMES`.
            labels: The classes' names, for the SavedModel's `assets/` and for `detection_class_names`.
            baked: Thresholds that detections have to reach, in all signatures but `all_detections`. With them there is
                one more output, `detection_thresholds`, by which clients see that detections have been chosen.
            scaled_jpeg: Whether JPEGs are decoded at a fraction of their size; see `scaled_decoder`.
            weights_dtype: In which kernels are stored; of the detector's, see `rounded_weights`.

        Raises:
            UsageError: The resizer shrinks no JPEG; or the detector, or the lack of labels, leaves an output without a
                source.
        """
        super().__init__()
        with_anchors = any(name in more_outputs for name in _OUTPUTS_OF_ANCHORS)
        with nms_from(detector, baked.thresholds if baked is not None and not baked.also_all_detections else None):
            frozen = _freeze(detector, with_anchors=with_anchors, weights_dtype=weights_dtype)
        class_names = _class_names(labels, detector.num_classes) if labels is not None else None
        available = {*frozen.names, *([CLASS_NAMES] if class_names else [])}
        missing = [name for name in more_outputs if name not in available]
        if missing:
            reason = "there is no label map" if missing == [CLASS_NAMES] else "the model has no NMS to look behind"
            raise UsageError(f"--output {' '.join(missing)}: {reason}; leave it out")
        names = (*OUTPUT_NAMES, *more_outputs)

        def answer(input_type: str, outputs: Sequence[str], thresholds: ClassThresholds | None = None) -> Any:
            read = batch_reader(input_type, detector.settings.image_resizer, scaled_jpeg=scaled_jpeg)

            @tf.autograph.experimental.do_not_convert
            def serve(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
                found = frozen(*read(input_tensor))
                if thresholds is not None:
                    found = with_thresholds(found, thresholds, detector.num_classes)
                if class_names and CLASS_NAMES in outputs:
                    classes = tf.cast(found["detection_classes"], tf.int32)
                    found[CLASS_NAMES] = tf.gather(tf.constant(class_names), classes)
                return {name: found[name] for name in outputs}

            return tf.function(serve, input_signature=[INPUT_SPECS[input_type]])

        def signature(name: str, input_type: str) -> Any:
            if baked is None or name == ALL_DETECTIONS:
                return answer(input_type, names)
            return answer(input_type, (*names, DETECTION_THRESHOLDS), baked.thresholds)

        self.label_map = tf.saved_model.Asset(str(labels.path)) if labels is not None else None
        self.thresholds = tf.saved_model.Asset(str(baked.thresholds.path)) if baked is not None else None
        self._functions = _Functions(
            {
                **{name: signature(name, kind) for name, kind in signature_names(input_types, baked).items()},
                **_resizer_signature(detector.settings.image_resizer),
            },
            answer(input_types[0], RAW_OUTPUTS) if available.issuperset(RAW_OUTPUTS) else None,
        )
        # `tf.saved_model.load(path)(image)` asks serving_default, as it asks a model of the API's.
        self.__call__ = self._functions.signatures[DEFAULT_SIGNATURE]

    @property
    def signatures(self) -> dict[str, Any]:
        """See the class."""
        return self._functions.signatures

    @property
    def before_nms(self) -> Any:
        """See the class."""
        return self._functions.before_nms


@dataclasses.dataclass(frozen=True)
class _Functions:
    """Functions where TensorFlow does not look for what to write: a SavedModel has those that are made signatures."""

    signatures: dict[str, Any]
    before_nms: Any


class _Frozen:
    """The function from pixels to everything, by name.

    Attributes:
        names: Of its outputs.
    """

    def __init__(self, function: Any, names: Sequence[str]) -> None:
        self._function, self.names = function, tuple(names)

    def __call__(self, images: tf.Tensor, true_shapes: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(self.names, self._function(images, true_shapes), strict=True))


def _freeze(detector: Detector, *, with_anchors: bool, weights_dtype: str) -> _Frozen:
    """Traces a detector and makes its weights constants, of which kernels are stored in `weights_dtype`."""
    height, width = detector.input_shape

    @tf.autograph.experimental.do_not_convert
    def detect(images: tf.Tensor, true_shapes: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return detector.detect_with_raw(images, true_shapes, with_anchors=with_anchors)

    specs = [tf.TensorSpec([None, height, width, 3], tf.float32), tf.TensorSpec([None, 3], tf.int32)]
    concrete = tf.function(detect, input_signature=specs).get_concrete_function()
    # Model Garden's models hold functions of their own; inlining them lets their weights become constants too.
    function = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    if weights_dtype != FLOAT32:
        weights = {placeholder.op.name for placeholder in concrete.graph.internal_captures}
        function = store_weights_in(function, weights, weights_dtype)
    return _Frozen(function, sorted(concrete.structured_outputs))


def _resizer_signature(resizer: ImageResizer) -> dict[str, Any]:
    """The signature by which clients see what they may shrink images to; none, where the model shrinks none."""
    sides = least_sides(resizer)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name=INPUT_NAME)])
    @tf.autograph.experimental.do_not_convert
    def tell(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.fill(tf.shape(input_tensor), side) for name, side in sides.items()}

    return {IMAGE_RESIZER: tell} if sides else {}


def _class_names(labels: Labels, num_classes: int) -> list[str]:
    """Names by label map id; empty for 0, which stands for no detection."""
    names = labels.label_map.names_by_id()
    last = max(num_classes, labels.label_map.max_id)
    return ["", *(names.get(class_id) or f"class {class_id}" for class_id in range(1, last + 1))]
