"""The way of one image from its record to its place in a batch: decoded, augmented, resized, its objects padded."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from configs.settings.resizers import ImageResizer
from train.inputs.augmentations.pipeline import Augment
from train.inputs.decode import RecordDecoder
from train.inputs.ground_truth import BOXES, DTYPES, GroundTruth, first, merge_equal_boxes, with_boxes
from train.inputs.mixing.example import Example
from train.inputs.resize import resize_image

Labels = dict[str, tf.Tensor]


class AugmentedRecord(NamedTuple):
    """An image that is decoded and augmented, and what its labels say of the record.

    Attributes:
        example: The image and its objects.
        of_record: `num_groundtruth_boxes_unknown`, `num_groundtruth_boxes_unusable`, `unusable_box`,
            `original_image_shape`, `source_id` and `sampling_seed`.
    """

    example: Example
    of_record: Labels


class Preparation:
    """Turns records into images and labels; to be called inside `tf.data.Dataset.map`."""

    def __init__(
        self,
        decode: RecordDecoder,
        augment: Augment,
        resizer: ImageResizer,
        *,
        num_classes: int,
        max_number_of_boxes: int,
        merge_equal: bool,
        seed: int,
    ) -> None:
        """Prepares the way.

        Args:
            decode: Of records.
            augment: Of images.
            resizer: The model's.
            num_classes: The model's.
            max_number_of_boxes: To which ground truth is padded or cut.
            merge_equal: Whether equal boxes become one with several classes.
            seed: Of augmentation.
        """
        self._decode = decode
        self._augment = augment
        self._resizer = resizer
        self._num_classes = num_classes
        self._max_number_of_boxes = max_number_of_boxes
        self._merge_equal = merge_equal
        self._seed = seed

    def seed_of(self, number: tf.Tensor) -> tf.Tensor:
        """Returns the seed, int64 [2], of the record with a number (int64 scalar)."""
        return tf.stack([tf.constant(self._seed, tf.int64), number])

    @tf.autograph.experimental.do_not_convert  # nothing to convert, which takes TensorFlow a second to find out
    def __call__(self, record: tf.Tensor, number: tf.Tensor) -> tuple[tf.Tensor, Labels]:
        """Turns one record and its number into one image and its labels."""
        augmented = self.augment(record, number)
        return self.finish(augmented.example, augmented.of_record)

    def augment(self, record: tf.Tensor, number: tf.Tensor) -> AugmentedRecord:
        """Decodes and augments one record."""
        decoded = self._decode(record, number)
        image, ground_truth = self._augment(decoded.image, decoded.ground_truth, self.seed_of(number))
        of_record = {
            "num_groundtruth_boxes_unknown": decoded.num_unknown,
            "num_groundtruth_boxes_unusable": decoded.num_unusable,
            "unusable_box": decoded.unusable_box,
            "original_image_shape": tf.shape(decoded.image),
            "source_id": decoded.source_id,
            "sampling_seed": self.seed_of(number),
        }
        return AugmentedRecord(Example(image, ground_truth), of_record)

    def finish(self, example: Example, of_record: Labels) -> tuple[tf.Tensor, Labels]:
        """Resizes an image and pads its objects."""
        image, true_image_shape = resize_image(example.image, self._resizer)
        # From relative to the image to relative to the padded image.
        of_padded = tf.cast(true_image_shape[:2], tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
        boxes = example.ground_truth[BOXES] * tf.tile(of_padded, [2])
        ground_truth = with_boxes(example.ground_truth, boxes)
        if self._merge_equal:
            ground_truth = merge_equal_boxes(ground_truth, self._num_classes)
        labels = pad_ground_truth(ground_truth, self._max_number_of_boxes)
        return image, {**labels, **of_record, "true_image_shape": true_image_shape}


def pad_ground_truth(ground_truth: GroundTruth, max_number_of_boxes: int) -> Labels:
    """Brings an image's objects to a fixed number: those beyond it are left out, missing ones are zeros.

    Args:
        ground_truth: N objects.
        max_number_of_boxes: M.

    Returns:
        The same fields, each [M, ...], with `num_groundtruth_boxes` and `num_groundtruth_boxes_cut` (int32 scalars).
    """
    count = tf.shape(ground_truth[BOXES])[0]
    kept = tf.minimum(count, max_number_of_boxes)
    labels: Labels = {}
    for name, values in first(ground_truth, max_number_of_boxes).items():
        paddings = [[0, max_number_of_boxes - kept]] + [[0, 0]] * (values.shape.rank - 1)
        padded = tf.pad(tf.cast(values, DTYPES.get(name, values.dtype)), paddings)
        padded.set_shape([max_number_of_boxes, *values.shape[1:]])
        labels[name] = padded
    labels["num_groundtruth_boxes"] = kept
    labels["num_groundtruth_boxes_cut"] = count - kept
    return labels
