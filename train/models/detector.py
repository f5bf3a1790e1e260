"""The detector interface, which the training step, the evaluator and the exporter use, whatever network is inside."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras

from configs.settings.model import Model

Labels = Mapping[str, tf.Tensor]
# Height and width in pixels, None where images differ.
InputShape = tuple[int | None, int | None]
# Height and width, known beforehand or, as int32 scalars, once a batch is there.
ActualShape = tuple[int, int] | tuple[tf.Tensor, tf.Tensor]


class Detector(abc.ABC):
    """A detection network with its anchors, losses and post-processing.

    Images are float32 RGB 0..255, resized and padded as `train.inputs` does; labels are those of its batches.

    Attributes:
        settings: Of the model.
        network: The Keras model: what is trained, checkpointed and restored.
        num_classes: Classes without background.
        input_shape: Height and width of the padded input, in pixels; None where the image resizer gives every image
            a size of its own.
        loss_names: The keys of `compute_losses`.
    """

    settings: Model
    network: tf_keras.Model
    num_classes: int
    input_shape: InputShape
    loss_names: tuple[str, ...]

    @abc.abstractmethod
    def preprocess(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> tf.Tensor:
        """Normalises pixels as the backbone was trained.

        Args:
            images: float32 [B, height, width, 3], RGB 0..255.
            true_image_shape: int32 [B, 3], without padding.
        """

    @abc.abstractmethod
    def compute_losses(self, images: tf.Tensor, labels: Labels, *, training: bool) -> dict[str, tf.Tensor]:
        """Predicts on a batch and compares with its ground truth.

        Args:
            images: float32 [B, height, width, 3], RGB 0..255.
            labels: The batch's labels.
            training: Whether batch norm and dropout train.

        Returns:
            float32 scalars by the Object Detection API's names, such as `Loss/classification_loss`, without
            regularisation.
        """

    def compute_losses_of_part(
        self, images: tf.Tensor, labels: Labels, *, training: bool
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Computes losses of a part of a batch, and says what they were divided by: the images, in most detectors.

        The losses of a batch are the parts', each times its number or 1 if that is less, summed, and divided by the sum
        of the numbers or 1 if that is less. Replicas do not meet here.

        Args:
            images: float32 [B, height, width, 3], RGB 0..255.
            labels: The part's labels.
            training: Whether batch norm and dropout train.

        Returns:
            What `compute_losses` returns, and a float32 scalar that no weight has a part in.
        """
        return self.compute_losses(images, labels, training=training), tf.cast(tf.shape(images)[0], tf.float32)

    @abc.abstractmethod
    def detect(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detects objects.

        Args:
            images: float32 [B, height, width, 3], RGB 0..255.
            true_image_shape: int32 [B, 3], without padding.

        Returns:
            `detection_boxes` float32 [B, D, 4] ymin xmin ymax xmax in 0..1 of the image without padding,
            `detection_scores` float32 [B, D], `detection_classes` float32 [B, D] label map ids, `num_detections`
            float32 [B].
        """

    def detect_with_raw(
        self, images: tf.Tensor, true_image_shape: tf.Tensor, *, with_anchors: bool = False
    ) -> dict[str, tf.Tensor]:
        """Detects objects, and says what they were chosen from, as the Object Detection API's models do.

        Args:
            images: As for `detect`.
            true_image_shape: As for `detect`.
            with_anchors: Whether to say which anchor each detection is of; costs a comparison with all of them.

        Returns:
            What `detect` does and, where the detector has an NMS to look behind, `raw_detection_boxes` float32
            [B, A, 4] ymin xmin ymax xmax and `raw_detection_scores` float32 [B, A, K], the background's among them
            where there is one. With `with_anchors` also `detection_anchor_indices` float32 [B, D], rows of these, and
            `detection_multiclass_scores` float32 [B, D, K], of these rows; 0 where there is no detection.
        """
        del with_anchors
        return self.detect(images, true_image_shape)

    def detect_and_compute_losses(
        self, images: tf.Tensor, labels: Labels
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Detects objects and compares with the ground truth, as an evaluation wants both.

        Detectors run their network once for the two, which is what an evaluation's time is made of.

        Args:
            images: float32 [B, height, width, 3], RGB 0..255.
            labels: The batch's labels.

        Returns:
            What `detect` returns, and what `compute_losses` does without training.
        """
        return self.detect(images, labels["true_image_shape"]), self.compute_losses(images, labels, training=False)

    def regularization_loss(self) -> tf.Tensor:
        """The sum of the network's weight decay terms, float32."""
        return tf.add_n(self.network.losses) if self.network.losses else tf.constant(0.0)


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """A batch's ground truth, cut to as many columns as its fullest image needs.

    Batches are padded to `max_number_of_boxes`, 100 by default; comparing all of that padding with every anchor took a
    sixth of a training step.

    Attributes:
        boxes: float32 [B, m, 4], ymin xmin ymax xmax in pixels of the padded input.
        classes: int32 [B, m], label map ids, 0 for padding.
        weights: float32 [B, m].
        valid: bool [B, m], false for padding.
        class_targets: float32 [B, m, classes], multi-hot without background, where boxes that lie on each other were
            merged and so may have several classes; None where `classes` says all.
        sampling_seeds: int64 [B, 2], of each image, for minibatches of anchors and proposals that can be drawn again;
            None draws other ones each time.
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    weights: tf.Tensor
    valid: tf.Tensor
    class_targets: tf.Tensor | None = None
    sampling_seeds: tf.Tensor | None = None

    @classmethod
    def from_labels(cls, labels: Labels, input_shape: ActualShape) -> GroundTruth:
        """Reads a batch's labels.

        Args:
            labels: The batch's labels.
            input_shape: Height and width of the padded input in pixels; see `actual_shape`.
        """
        padded = cls.with_padding(labels, input_shape)
        # Never 0 columns: a matcher's argmax needs at least one to look at.
        columns = tf.maximum(tf.reduce_max(tf.reduce_sum(tf.cast(padded.valid, tf.int32), axis=1)), 1)
        of_boxes = ("boxes", "classes", "weights", "valid", "class_targets")
        values = {name: getattr(padded, name) for name in of_boxes}
        cut = {name: value[:, :columns] for name, value in values.items() if value is not None}
        return dataclasses.replace(padded, **cut)

    @classmethod
    def with_padding(cls, labels: Labels, input_shape: ActualShape) -> GroundTruth:
        """Reads a batch's labels with all their padding, for parts that need a shape known beforehand."""
        sides = tf.cast(tf.stack(input_shape), tf.float32)
        return cls(
            boxes=labels["groundtruth_boxes"] * tf.concat([sides, sides], axis=0),
            classes=labels["groundtruth_classes"],
            weights=labels["groundtruth_weights"],
            valid=labels["groundtruth_classes"] > 0,
            class_targets=labels.get("groundtruth_class_targets"),
            sampling_seeds=labels.get("sampling_seed"),
        )


def actual_shape(images: tf.Tensor, input_shape: InputShape) -> ActualShape:
    """Height and width of a batch: as numbers where they are known beforehand, else as int32 scalars.

    Args:
        images: [B, height, width, channels].
        input_shape: As `Detector.input_shape`.
    """
    height, width = input_shape
    if height is not None and width is not None:
        return height, width
    shape = tf.shape(images)
    return shape[1], shape[2]


def feature_map_shape(input_shape: tuple[int, int], level: int) -> tuple[int, int]:
    """Height and width in cells of the feature map of stride 2**level, rounded up as SAME padding does."""
    stride = 2**level
    return -(-input_shape[0] // stride), -(-input_shape[1] // stride)


def flatten_levels(maps: Mapping[str, tf.Tensor], levels: Sequence[str], depth: int) -> tf.Tensor:
    """Puts predictions in the anchors' order.

    Args:
        maps: By level, [B, height, width, anchors * depth].
        levels: The levels in the anchors' order.
        depth: Numbers an anchor.

    Returns:
        float32 [B, A, depth].
    """
    rows = []
    for level in levels:
        _, height, width, channels = maps[level].shape
        known = height is not None and width is not None
        size = height * width * channels // depth if known else -1
        rows.append(tf.reshape(maps[level], [tf.shape(maps[level])[0], size, depth]))
    return tf.cast(tf.concat(rows, axis=1), tf.float32)
