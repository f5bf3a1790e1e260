"""What both families have in common before their predictions: pixels, a trunk's layers, feature maps, detections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from configs.settings.resizers import ImageResizer
from tests.reference.folder import ReferenceFolder
from tests.reference.verdict import FEATURES, ROUNDING, Comparison, of_range, worst
from tests.small_models import build_detector
from train.checkpoints.object_paths import variables_by_path
from train.inputs.resize import resize_image
from train.models.detector import Detector

Arrays = Mapping[str, np.ndarray]
# What may separate two scores, or two boxes in 0..1 of the image, of the same detection.
_SCORE, _BOX = 2e-3, 1.5e-3


def build_with_weights(folder: ReferenceFolder, config: Any) -> tuple[Detector, dict[str, tf.Variable]]:
    """Builds a config's detector and gives it the folder's weights.

    Returns:
        The detector, and its variables by their paths in the API's tree of objects.

    Raises:
        ValueError: It has other variables than the folder.
    """
    detector = build_detector(config)
    tree = detector.network.api_objects
    if tree is None:
        raise ValueError(f"{folder.path}: the Object Detection API has no network like this config's")
    variables, weights = variables_by_path(tree), folder.weights()
    for what, paths in (
        ("the model has no", weights.keys() - variables.keys()),
        ("the folder has no", variables.keys() - weights.keys()),
    ):
        if paths:
            raise ValueError(f"{folder.path}: {what} {sorted(paths)[0]}, and {len(paths) - 1} more")
    for path, variable in variables.items():
        if tuple(variable.shape) != weights[path].shape:
            raise ValueError(
                f"{folder.path}: {path} is {list(weights[path].shape)}, in the model {list(variable.shape)}"
            )
        variable.assign(weights[path])
    return detector, variables


def resized(folder: ReferenceFolder, batch: str, resizer: ImageResizer) -> tuple[tf.Tensor, tf.Tensor]:
    """The images of a batch as a detector takes them, float32 0..255, and their true shapes."""
    return resize_image(tf.constant(folder.images[batch]), resizer)


def compare_preprocessed(normalized: tf.Tensor, true_shapes: tf.Tensor, arrays: Arrays) -> Comparison:
    """Compares normalised, resized and padded images."""
    pixels = normalized.numpy()
    if list(pixels.shape) != arrays["preprocessed/shape"].tolist():
        return of_range("preprocessed input", np.array(pixels.shape), arrays["preprocessed/shape"], 0.0)
    expected = arrays["preprocessed/value"]
    found = [
        of_range("", pixels[:, arrays["preprocessed/rows"]], expected, ROUNDING),
        of_range("", pixels.mean(axis=(1, 2), dtype=np.float64), arrays["preprocessed/mean"], 10 * ROUNDING),
        of_range("", pixels.std(axis=(1, 2), dtype=np.float64), arrays["preprocessed/std"], 10 * ROUNDING),
        of_range("", true_shapes.numpy(), arrays["true_image_shapes"], 0.0),
    ]
    return worst("preprocessed input", found)


def compare_sampled(name: str, tensor: Any, arrays: Arrays) -> Comparison:
    """Compares a tensor with the places of it that are stored, its shape, mean and deviation."""
    values = np.asarray(tensor)
    shape = arrays[f"{name}/shape"].tolist()
    if list(values.shape) != shape:
        return Comparison(name, np.inf, np.inf, False, f"{name}: shape {list(values.shape)}, expected {shape}")
    expected = arrays[f"{name}/value"]
    size = float(np.abs(expected).max())
    sampled = of_range(name, values.ravel()[arrays[f"{name}/index"]], expected, FEATURES)
    statistics = [values.mean(dtype=np.float64), values.std(dtype=np.float64)]
    wholes = np.abs(np.array(statistics) - [arrays[f"{name}/mean"], arrays[f"{name}/std"]]).max() / max(size, 1e-12)
    if wholes > FEATURES:
        return Comparison(name, wholes * size, wholes, False, f"{name}: mean or deviation")
    return sampled


def compare_trunk(trunk: tf_keras.Model, normalized: tf.Tensor, arrays: Arrays) -> Iterator[Comparison]:
    """Compares those of a trunk's layers that are stored and have the API's names here."""
    stored = [name.split("/")[1] for name in arrays if name.startswith("backbone/") and name.endswith("/value")]
    outputs = {layer.name.replace("/", "."): layer for layer in trunk.layers}
    named = [name for name in stored if name in outputs]
    if not named:
        return
    run = tf_keras.Model(trunk.inputs, [outputs[name].output for name in named])
    found = run(normalized, training=False)
    found = found if isinstance(found, (list, tuple)) else [found]
    rows = [compare_sampled(f"backbone/{name}", value, arrays) for name, value in zip(named, found, strict=True)]
    yield worst("backbone layers", rows, f"{len(named)} of {len(stored)}")


def compare_maps(name: str, maps: Sequence[Any], arrays: Arrays) -> Comparison:
    """Compares a list of feature maps, finest first."""
    stored = sum(key.startswith(f"{name}/") and key.endswith("/value") for key in arrays)
    if len(maps) != stored:
        return Comparison(name, np.inf, np.inf, False, f"{len(maps)} maps, expected {stored}")
    rows = [compare_sampled(f"{name}/{index}", value, arrays) for index, value in enumerate(maps)]
    return worst(name.replace("_", " "), rows, f"{stored} of {stored}")


def compare_detections(found: Mapping[str, tf.Tensor], arrays: Arrays, *, least_share: float = 1.0) -> Comparison:
    """Compares detections as sets: nearly equal scores may change places.

    A detection that stands at the end of the reference's list, with nearly the score of the last, may be another.

    Args:
        found: What `Detector.detect` gives; its classes are from 1, the reference's from 0.
        arrays: The reference's.
        least_share: Which share of the reference's detections must be found.
    """
    differences, missing, count, moved = [0.0], 0, 0, 0
    for row, number in enumerate(arrays["post/num_detections"].astype(int)):
        mine = int(found["num_detections"][row])
        boxes, scores = found["detection_boxes"][row].numpy()[:mine], found["detection_scores"][row].numpy()[:mine]
        classes = found["detection_classes"][row].numpy()[:mine] - 1
        free = np.ones(mine, bool)
        last = arrays["post/detection_scores"][row][number - 1] if number else 0.0
        for rank in range(number):
            score, box = (arrays[f"post/detection_{name}"][row][rank] for name in ("scores", "boxes"))
            apart = np.abs(boxes - box).max(axis=-1, initial=0.0)
            near = free & (classes == arrays["post/detection_classes"][row][rank]) & (apart <= _BOX)
            near &= np.abs(scores - score) <= _SCORE
            if not near.any():
                missing += bool(least_share < 1.0 or score - last > _SCORE)
                continue
            best = int(np.argmin(np.where(near, apart, np.inf)))
            free[best] = False
            moved += best != rank
            differences.append(max(float(apart[best]), float(abs(scores[best] - score))))
        count += number
        missing += abs(mine - number)
    share = 1.0 - missing / max(count, 1)
    note = f"{count - missing} of {count} found, {moved} at another rank"
    return Comparison("detections", max(differences), max(differences), share >= least_share, note)
