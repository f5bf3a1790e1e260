"""Counting the ground truth that records hold and batches do not: boxes beyond the maximum, and unknown classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings.pipeline import PipelineSettings

# What `count_batch` returns, in this order.
COUNTS = ("pictures", "boxes", "cut boxes", "cut pictures", "fullest picture", "unknown boxes", "unknown pictures")
_IS_MAXIMUM = np.array([name == "fullest picture" for name in COUNTS])


def count_batch(labels: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Counts what one batch holds and what was left out of it.

    Args:
        labels: The batch's.

    Returns:
        int64 [len(COUNTS)].
    """
    names = ("num_groundtruth_boxes", "num_groundtruth_boxes_cut", "num_groundtruth_boxes_unknown")
    kept, cut, unknown = (tf.cast(labels[name], tf.int64) for name in names)

    def number_of(condition: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(condition, tf.int64))

    return tf.stack(
        [
            tf.size(kept, tf.int64),
            tf.reduce_sum(kept + cut + unknown),
            tf.reduce_sum(cut),
            number_of(cut > 0),
            tf.reduce_max(kept + cut),
            tf.reduce_sum(unknown),
            number_of(unknown > 0),
        ]
    )


def add_counts(counts: tf.Tensor) -> tf.Tensor:
    """Adds several batches' counts up.

    Args:
        counts: int64 [K, len(COUNTS)].

    Returns:
        int64 [len(COUNTS)]: sums, and of the fullest image's boxes the largest number.
    """
    return tf.where(_IS_MAXIMUM, tf.reduce_max(counts, axis=0), tf.reduce_sum(counts, axis=0))


class LeftOut:
    """Counts of objects that a run's batches left out, and a line about them.

    Attributes:
        counts: By the names in `COUNTS`.
    """

    def __init__(self, setting: str, maximum: int) -> None:
        """Begins at nothing.

        Args:
            setting: Path of the field that says how many boxes an image may have.
            maximum: What it says.
        """
        self._setting = setting
        self._maximum = maximum
        self.counts = dict.fromkeys(COUNTS, 0)

    @classmethod
    def of_training(cls, settings: PipelineSettings) -> LeftOut:
        """For the batches of `build_training_dataset(settings)`."""
        return cls(settings.max_number_of_training_boxes_path, settings.max_number_of_training_boxes)

    @classmethod
    def of_evaluation(cls, settings: PipelineSettings, reader_index: int = 0) -> LeftOut:
        """For the batches of `build_evaluation_dataset(settings, reader_index)`."""
        maximum = settings.eval_input_reader[reader_index].max_number_of_boxes
        return cls(f"eval_input_reader[{reader_index}].max_number_of_boxes", maximum)

    def add(self, counts: Any) -> None:
        """Adds a batch's counts, or several batches' counts added up."""
        ours = np.array([self.counts[name] for name in COUNTS], np.int64)
        theirs = np.asarray(counts)
        total = np.where(_IS_MAXIMUM, np.maximum(ours, theirs), ours + theirs)
        self.counts = dict(zip(COUNTS, total.tolist(), strict=True))

    def sentences(self) -> list[str]:
        """One sentence a reason for which boxes were left out; none where all were kept."""
        counts = self.counts
        found = []
        if counts["cut boxes"]:
            found.append(
                f"{counts['cut boxes']} of {counts['boxes']} boxes were cut, in {counts['cut pictures']} of "
                f"{counts['pictures']} pictures: {self._setting} is {self._maximum}, and "
                f"{counts['fullest picture']} would have kept them all"
            )
        if counts["unknown boxes"]:
            found.append(
                f"{counts['unknown boxes']} of {counts['boxes']} boxes were left out, in {counts['unknown pictures']} "
                f"of {counts['pictures']} pictures: the label map has no class of their name; "
                "python -m data_prep.verify_tfrecords says which"
            )
        return found
