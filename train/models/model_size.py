"""The size of a detector: parameters by part, anchors by level, and the memory of a training step."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras

from configs.settings.extensions import Extensions
from configs.settings.optimizers import MomentumOptimizer
from configs.settings.ssd import Ssd
from configs.settings.training import TrainConfig
from train.models.detector import Detector

# Where the image resizer gives no common size, a photograph's.
_USUAL_SIDES = (480, 640)
# Views, constants, and variables, which are counted as weights: they take no memory of their own.
_TAKES_NOTHING = frozenset(
    (
        *("Const", "Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims"),
        *("StopGradient", "ReadVariableOp", "Placeholder"),
    )
)
# Operations whose gradients look at their own outputs, and those whose gradients do not look at their inputs.
_LOOKS_AT_OUTPUT = frozenset(("Relu", "Relu6", "Elu", "Sigmoid", "Tanh", "Softmax", "Exp", "Sqrt", "Rsqrt", "MaxPool"))
_LOOKS_AT_NO_INPUT = frozenset(
    (
        *_LOOKS_AT_OUTPUT - {"MaxPool"},
        *("AddV2", "AddN", "Sub", "BiasAdd", "ConcatV2", "Pad", "PadV2", "Cast", "Transpose", "Pack", "Tile"),
        *("Mean", "Sum", "ResizeNearestNeighbor", "StridedSlice", "Shape", "Neg", "Select", "SelectV2"),
        *_TAKES_NOTHING,
    )
)


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a network; parameters are numbers, not bytes."""

    name: str
    parameters: int
    trained: int


@dataclasses.dataclass(frozen=True)
class AnchorLevel:
    """The anchors of a feature map.

    Attributes:
        count: How many in all.
        a_place: How many in each place.
        sizes: Their heights and widths in pixels, as `height x width`.
    """

    count: int
    a_place: int
    sizes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """The bytes that a training step holds at once, estimated.

    Attributes:
        batch_shape: Images, height, width and channels.
        weights: Of the network.
        gradients: Of the weights that are trained.
        optimizer: What the optimizer keeps for each of them.
        activations: The tensors of the forward pass that the backward pass needs.
    """

    batch_shape: tuple[int, int, int, int]
    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it, bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations


def parts_of(network: tf_keras.Model, trained: list[tf.Variable]) -> list[Part]:
    """Counts the parameters of each of a network's parts.

    Args:
        network: With `checkpoint_items`.
        trained: The variables that training changes.
    """
    is_trained = {id(variable) for variable in trained}
    seen: set[int] = set()
    parts = []
    for name, item in network.checkpoint_items.items():
        layers = item if isinstance(item, list | tuple) else [item]
        variables = [variable for layer in layers for variable in layer.variables if id(variable) not in seen]
        seen.update(map(id, variables))
        parts.append(
            Part(
                name,
                sum(int(np.prod(variable.shape)) for variable in variables),
                sum(int(np.prod(variable.shape)) for variable in variables if id(variable) in is_trained),
            )
        )
    return parts


def anchors_by_level(detector: Detector) -> list[AnchorLevel]:
    """Splits a detector's anchors by feature map, finest first; none where every image has anchors of its own."""
    anchors: np.ndarray | None = getattr(detector, "anchors", None)
    if anchors is None:
        return []
    model = detector.settings
    generator = model.anchor_generator if isinstance(model, Ssd) else model.first_stage_anchor_generator
    sizes = np.round(np.stack([anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]], axis=1), 1)
    levels = []
    start = 0
    for a_place in generator.anchors_per_location:
        # In every place of a map there are the same sizes; where they change, the next map begins.
        rest = sizes[start : start + (len(sizes) - start) // a_place * a_place].reshape(-1, a_place, 2)
        differs = np.flatnonzero(np.any(np.abs(rest - rest[0]) > 0.2, axis=(1, 2)))
        places = int(differs[0]) if len(differs) else len(rest)
        described = tuple(f"{height:.0f}x{width:.0f}" for height, width in rest[0])
        levels.append(AnchorLevel(places * a_place, a_place, described))
        start += places * a_place
    return levels


def step_memory(
    train: TrainConfig, extensions: Extensions, detector: Detector, trained: list[tf.Variable]
) -> StepMemory:
    """Estimates what a training step takes, from the shapes of every tensor of a traced forward pass.

    It runs nothing and takes no memory itself, however large the batch.

    Args:
        train: How it is trained.
        extensions: What else is said of that.
        detector: What is trained.
        trained: The variables that training changes.
    """
    height, width = (side or usual for side, usual in zip(detector.input_shape, _USUAL_SIDES, strict=True))
    shape = (train.batch_size, height, width, 3)
    trained_bytes = sum(int(np.prod(variable.shape)) * 4 for variable in trained)
    # Copies of every trained weight that the optimizer keeps.
    slots = 1 if isinstance(extensions.optimizer_over(train.optimizer), MomentumOptimizer) else 2
    slots += int(train.optimizer.use_moving_average) + int(extensions.moving_average_share_of_start > 0)
    parts = extensions.micro_batches
    return StepMemory(
        batch_shape=shape,
        weights=sum(int(np.prod(variable.shape)) * 4 for variable in detector.network.variables),
        gradients=trained_bytes * (2 if parts > 1 else 1),  # A part's, and their sum.
        optimizer=slots * trained_bytes,
        activations=_activation_bytes(detector, (train.batch_size // parts, height, width, 3)),
    )


def _activation_bytes(detector: Detector, shape: tuple[int, int, int, int]) -> int:
    batch, height, width, _ = shape
    one = tf.TensorSpec([batch, 1], tf.float32)
    flags = tf.TensorSpec([batch, 1], tf.bool)
    labels = {
        "groundtruth_boxes": tf.TensorSpec([batch, 1, 4], tf.float32),
        "groundtruth_classes": tf.TensorSpec([batch, 1], tf.int32),
        "groundtruth_weights": one,
        "groundtruth_is_crowd": flags,
        "groundtruth_difficult": flags,
        "groundtruth_group_of": flags,
        "groundtruth_area": one,
        "true_image_shape": tf.TensorSpec([batch, 3], tf.int32),
        "source_id": tf.TensorSpec([batch], tf.string),
    }

    def forward(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return detector.compute_losses(tf.ensure_shape(images, [batch, height, width, 3]), labels, training=True)

    graph = tf.function(forward).get_concrete_function(tf.TensorSpec(shape, tf.float32), labels).graph
    return sum(
        output.shape.num_elements() * output.dtype.size
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.dtype.is_floating and output.shape.is_fully_defined() and _is_kept(operation, output)
    )


def _is_kept(operation: tf.Operation, output: tf.Tensor) -> bool:
    """Whether the backward pass needs a tensor, so that it stays in memory until then."""
    if operation.type in _TAKES_NOTHING:
        return False
    if operation.type in _LOOKS_AT_OUTPUT:
        return True
    return any(consumer.type not in _LOOKS_AT_NO_INPUT for consumer in output.consumers())
