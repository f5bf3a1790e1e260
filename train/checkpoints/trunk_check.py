"""Check of a restored trunk: activations for a test image are stored with a checkpoint and compared later.

Values that all find their place may still be run by other layers than they were trained in: another activation, another
epsilon, another order of channels. The first activations show that.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep.formats.earlier_names import value_of
from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.checkpoints.object_paths import children_of

# The child of a checkpoint's root that holds the statistics, and the file beside a checkpoint in a layout of others.
CHILD_NAME = "trunk_expectations"
FILE_NAME = "trunk_expectations.json"
MAX_BYTES = 64 * 1024

_SIDE = 64
# As pixels are after normalisation: to about -1..1, or by subtracting means.
_AMPLITUDES = (1.0, 64.0)
_SAMPLES = 24
_NUMBERS = ("mean", "deviation", "least", "greatest")
# Of the activations' spread. Libraries' float32 arithmetic differs by a hundredth of it; half precision by more.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-3}
_HALF_TOLERANCE = 5e-2


def trunk_statistics(model: Any) -> dict[str, Any] | None:
    """Runs a model's trunk on the test image.

    Args:
        model: With `api_objects`, or with `checkpoint_items` of which one is `backbone`.

    Returns:
        For each amplitude of the image, statistics of the finest feature map that the trunk gives and values at fixed
        places; None where the trunk takes no image of this size.
    """
    rows = []
    try:
        for image in _test_images():
            # `call` and not `__call__`, which insists on the size of image that the network was built for.
            outputs = tf.nest.flatten(_trunk_of(model).call(tf.constant(image[np.newaxis]), training=False))
            maps = [tf.cast(output, tf.float32).numpy() for output in outputs if len(output.shape) == 4]
            if not maps:
                return None
            rows.append(_statistics(max(maps, key=lambda values: values.shape[1])))
    except (ValueError, TypeError, tf.errors.OpError):  # A trunk for one size of image only.
        return None
    return {"images": rows} if np.isfinite([row["deviation"] for row in rows]).all() else None


def _trunk_of(model: Any) -> Any:
    api_objects = getattr(model, "api_objects", None)
    if api_objects is None:
        return model.checkpoint_items["backbone"]
    children = children_of(api_objects)
    names = ("_feature_extractor", "_feature_extractor_for_proposal_features")
    extractor = next(children[name] for name in names if name in children)
    inside = children_of(extractor)
    # EfficientDet's classifier ends in classes; the feature maps come from another view of it.
    return next((inside[name] for name in ("_efficientnet", "classification_backbone") if name in inside), extractor)


def _test_images() -> list[np.ndarray]:
    """float32 [64, 64, 3] each: waves in three directions and a bright square, the same everywhere and always."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] * (2 * np.pi / _SIDE)
    waves = np.stack([np.sin(3 * x + y), np.cos(2 * y - x), np.sin(5 * x) * np.cos(4 * y)], axis=-1)
    waves[16:32, 24:48] = (1.0, -0.5, 0.25)
    return [(waves * amplitude).astype(np.float32) for amplitude in _AMPLITUDES]


def _statistics(values: np.ndarray) -> dict[str, Any]:
    flat = values.ravel()
    places = np.linspace(0, flat.size - 1, _SAMPLES).astype(int)
    numbers = (flat.mean(), flat.std(), flat.min(), flat.max())
    return {
        "shape": list(values.shape[1:]),
        **{name: float(number) for name, number in zip(_NUMBERS, numbers, strict=True)},
        "values": [float(value) for value in flat[places]],
    }


class TrunkExpectations(tf.train.experimental.PythonState):
    """Writes the statistics of a model's trunk into every checkpoint that it is a child of."""

    def __init__(self, model: Any) -> None:
        """Remembers the model whose trunk is run at each save."""
        super().__init__()
        self._model = model

    def serialize(self) -> str:
        """The statistics as they are now, as JSON."""
        return json.dumps(trunk_statistics(self._model))

    def deserialize(self, string_value: str) -> None:
        """Does nothing: whoever restores compares."""


def parse_statistics(text: bytes | str | None) -> dict[str, Any] | None:
    """Reads statistics from a checkpoint or a file; None where there are none that can be understood."""
    if text is None or len(text) > MAX_BYTES:
        return None
    try:
        images: list[dict[str, Any]] = [
            {
                "shape": [int(side) for side in row["shape"]],
                **{name: float(row[name]) for name in _NUMBERS},
                "values": [float(value) for value in row["values"]],
            }
            for row in value_of(json.loads(text), "images")
        ]
    except (ValueError, TypeError, KeyError):
        return None
    count = len(_NUMBERS) + _SAMPLES
    usable = all(len(_numbers(row)) == count and math.isfinite(sum(_numbers(row))) for row in images)
    return {"images": images} if len(images) == len(_AMPLITUDES) and usable else None


def compare_statistics(expected: dict[str, Any], actual: dict[str, Any], dtype: str = "float32") -> tuple[bool, str]:
    """Compares what a checkpoint says of its trunk with what the model's does.

    Args:
        expected: The checkpoint's, as `parse_statistics` gives it.
        actual: The model's, as `trunk_statistics` gives it.
        dtype: In which the model computes.

    Returns:
        Whether they are the same, and a sentence that says so.
    """
    shapes = [[row["shape"] for row in found["images"]] for found in (expected, actual)]
    if shapes[0] != shapes[1]:
        return False, f"the trunk's first activations have shape {shapes[1][0]}; the checkpoint says {shapes[0][0]}"
    largest = 0.0
    for theirs, ours in zip(expected["images"], actual["images"], strict=True):
        difference = np.abs(np.subtract(_numbers(theirs), _numbers(ours))).max()
        largest = max(largest, float(difference / max(theirs["deviation"], 1e-12)))
    if largest <= _TOLERANCE.get(dtype, _HALF_TOLERANCE):
        return True, (
            "the trunk's first activations on the test image are those that the checkpoint says: largest difference "
            f"{largest:.1e} of their spread"
        )
    return False, (
        "the trunk's first activations on the test image are NOT those that the checkpoint says: largest difference "
        f"{largest:.1e} of their spread; the same values run through other layers, such as another activation or "
        "another epsilon of batch norm"
    )


def _numbers(row: dict[str, Any]) -> list[float]:
    return [*(row[name] for name in _NUMBERS), *row["values"]]


def resume(checkpoint: tf.train.Checkpoint, prefix: str) -> None:
    """Gives everything that a training saves the values that it saved.

    Checkpoints that were written before they held what their trunk makes of a test image are resumed too.

    Args:
        checkpoint: What the training saves.
        prefix: The checkpoint to go on from.

    Raises:
        UserError: It cannot be read.
        AssertionError: It is of another model.
        ValueError: A variable has another shape.
    """
    if ObjectCheckpoint(prefix).follow([CHILD_NAME]) is None:
        children = children_of(checkpoint)
        checkpoint = tf.train.Checkpoint(
            **{name: child for name, child in children.items() if name not in (CHILD_NAME, "save_counter")}
        )
    checkpoint.restore(prefix).assert_existing_objects_matched()
