"""Runners of a model as it was before its import: a frozen graph in a session, a TensorFlow Lite file in LiteRT."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tensorflow.core.framework import graph_pb2

from data_prep.runtime.command_line import UserError
from data_prep.runtime.standard_error import standard_error_aside
from export.comparison import Outputs
from train.evaluation.tflite_model import detection_operator
from train.inputs.resize import resize_image
from train.models.post_processing import scores_from_logits
from train.models.ssd import SsdDetector

# From an image, uint8 [1, height, width, 3], to raw predictions and, where the model ends in an NMS, detections; all
# without the batch's dimension, and named as a signature's outputs.
Run = Callable[[np.ndarray], Outputs]

_IMAGE = "image_tensor:0"
_RAW_SCORES = ("raw_detection_scores:0", "Postprocessor/convert_scores:0")
_RAW_BOXES = ("raw_detection_boxes:0", "Postprocessor/Decode/transpose_1:0")
_CODE_SIZE = 4
_DETECTIONS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@contextlib.contextmanager
def frozen_graph(path: Path) -> Iterator[Run]:
    """Loads a detection graph of the Object Detection API of TensorFlow 1.

    The graph is run: do so with files that you trust.

    Raises:
        UserError: It is no such graph.
    """
    definition = graph_pb2.GraphDef.FromString(path.read_bytes())
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(definition, name="")
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(f"{path}: cannot be run: {str(error).splitlines()[0][:200]}") from error
    fetches = {name: f"{name}:0" for name in _DETECTIONS}
    fetches |= {
        "raw_detection_scores": _first(graph, _RAW_SCORES, path),
        "raw_detection_boxes": _first(graph, _RAW_BOXES, path),
    }
    for name in (_IMAGE, *fetches.values()):
        _first(graph, (name,), path)
    with contextlib.closing(tf.compat.v1.Session(graph=graph)) as session:

        def run(image: np.ndarray) -> Outputs:
            answers = session.run(fetches, {_IMAGE: image})
            boxes = answers.pop("raw_detection_boxes").reshape(-1, 4)
            return {name: value[0] for name, value in answers.items()} | {"raw_detection_boxes": boxes}

        yield run


@contextlib.contextmanager
def tflite_file(path: Path, detector: SsdDetector) -> Iterator[Run]:
    """Loads a TensorFlow Lite file that gives box codes and class predictions, or ends in an NMS that takes them.

    Args:
        path: The file.
        detector: The imported one, whose image size, normalisation, anchors and box coder are the file's too.

    Raises:
        UserError: It is no such file.
    """
    with standard_error_aside(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping tensors takes memory
        try:
            interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path}: cannot be run: {str(error).splitlines()[0][:200]}") from error
    (given,) = interpreter.get_input_details()
    codes, predictions = _raw_tensors(interpreter, path)
    if given["dtype"] != np.float32 or detector.normalized_anchors is None:
        raise UserError(f"{path}: takes {np.dtype(given['dtype'])}, and only models of float32 images are compared")
    anchors = tf.constant(detector.normalized_anchors)

    def run(image: np.ndarray) -> Outputs:
        resized, shape = resize_image(tf.cast(image[0], tf.float32), detector.settings.image_resizer)
        normalized = detector.preprocess(resized[tf.newaxis], shape[tf.newaxis])
        interpreter.set_tensor(given["index"], normalized.numpy())
        interpreter.invoke()
        scores = interpreter.get_tensor(predictions)[0]
        if scores.min() < 0.0 or scores.max() > 1.0:  # logits
            scores = scores_from_logits(tf.constant(scores[np.newaxis]), detector.settings.post_processing).numpy()[0]
        boxes = detector.box_coder.decode(tf.constant(interpreter.get_tensor(codes)), anchors[tf.newaxis])
        return {"raw_detection_boxes": boxes.numpy()[0], "raw_detection_scores": scores}

    yield run


def _raw_tensors(interpreter: Interpreter, path: Path) -> tuple[int, int]:
    """The indices of box codes [1, A, 4] and class predictions [1, A, K], where they come out or go into an NMS."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    try:
        codes, predictions = (int(index) for index in detection_operator(model).inputs[:2])
    except ValueError:
        by_depth = sorted(
            (detail["shape"][-1] != _CODE_SIZE, detail["index"]) for detail in interpreter.get_output_details()
        )
        if [is_scores for is_scores, _ in by_depth] != [False, True]:
            raise UserError(f"{path}: does not give box codes and class predictions") from None
        codes, predictions = by_depth[0][1], by_depth[1][1]
    return codes, predictions


def _first(graph: tf.Graph, names: tuple[str, ...], path: Path) -> str:
    for name in names:
        with contextlib.suppress(KeyError, ValueError):
            return str(graph.get_tensor_by_name(name).name)
    raise UserError(f"{path}: has no tensor {names[-1]}: no detection graph of the Object Detection API")
