"""A frozen graph of TensorFlow 1's kind, for programs that read `frozen_inference_graph.pb` by the names of tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from data_prep.runtime.atomic_files import write_bytes
from data_prep.runtime.command_line import UserError
from export.comparison import Differences, compare_detections
from export.image_inputs import batch_reader
from export.parity_images import SampleImage
from export.score_thresholds import comparable, with_thresholds
from export.signatures import OUTPUT_NAMES, RAW_OUTPUTS
from train.evaluation.thresholds_file import ClassThresholds
from train.models.detector import Detector

FROZEN_GRAPH_NAME = "frozen_inference_graph.pb"
IMAGE_TENSOR = "image_tensor"
_MULTICLASS_SCORES = "detection_multiclass_scores"


def write_frozen_graph(path: Path, detector: Detector, thresholds: ClassThresholds | None = None) -> None:
    """Writes a detector as a GraphDef with constants, as the Object Detection API's `export_inference_graph.py` did.

    Its input is `image_tensor:0`, uint8 [B, height, width, 3], RGB; its outputs are `detection_boxes:0` (ymin xmin ymax
    xmax in 0..1), `detection_scores:0`, `detection_classes:0` (label map ids as float32), `num_detections:0`, and where
    the detector has them `raw_detection_boxes:0`, `raw_detection_scores:0` and `detection_multiclass_scores:0`.

    Args:
        path: The file to write.
        detector: With the weights that it has now.
        thresholds: That detections have to reach; None for none.
    """
    read = batch_reader("image_tensor", detector.settings.image_resizer)
    wanted = (*OUTPUT_NAMES, *RAW_OUTPUTS, _MULTICLASS_SCORES)

    @tf.autograph.experimental.do_not_convert
    def detect(images: tf.Tensor) -> list[tf.Tensor]:
        found = detector.detect_with_raw(*read(images), with_anchors=True)
        if thresholds is not None:
            found = with_thresholds(found, thresholds, detector.num_classes)
        return [tf.identity(found[name], name=name) for name in wanted if name in found]

    spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name=IMAGE_TENSOR)
    concrete = tf.function(detect, input_signature=[spec]).get_concrete_function()
    # Control flow as switches and merges, and functions inlined: what readers of such graphs know.
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=True)
    # Attributes at their defaults are left out, for TensorFlow of before they were there.
    meta_graph = tf.compat.v1.train.export_meta_graph(
        graph_def=frozen.graph.as_graph_def(), graph=frozen.graph, strip_default_attrs=True
    )
    write_bytes(path, meta_graph.graph_def.SerializeToString())


def check_frozen_graph(
    path: Path, detector: Detector, images: Sequence[SampleImage], thresholds: ClassThresholds | None = None
) -> Differences:
    """Asks a frozen graph through a plain Session, and compares with the detector.

    Args:
        path: Of the graph.
        detector: That it was written of.
        images: To compare on.
        thresholds: That it applies.

    Raises:
        UserError: The graph does not detect what the detector does.
    """
    read = batch_reader("image_tensor", detector.settings.image_resizer)
    total = Differences()
    with frozen_session(path) as session:
        for image in images:
            pixels = image.pixels()
            expected = detector.detect(*read(tf.constant(pixels[np.newaxis])))
            answers = session.run(
                {name: f"{name}:0" for name in OUTPUT_NAMES}, {f"{IMAGE_TENSOR}:0": pixels[np.newaxis]}
            )
            wanted = {name: value.numpy()[0] for name, value in expected.items()}
            found = {name: value[0] for name, value in answers.items()}
            if thresholds is not None:
                wanted, found = comparable(wanted, found, thresholds)
            total += compare_detections(image.name, pixels.shape[:2], wanted, found)
    if total.unmatched:
        raise UserError(
            f"{path.name} does not detect what the checkpoint does: {len(total.unmatched)} that only one of the two "
            f"has; first: {total.unmatched[0]}"
        )
    return total


def frozen_session(path: Path) -> contextlib.closing[tf.compat.v1.Session]:
    """A Session of a frozen graph, which closes at the end of a `with`."""
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    return contextlib.closing(tf.compat.v1.Session(graph=graph))
