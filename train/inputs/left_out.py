"""Counting the ground truth that records hold and batches do not.

That is boxes beyond the maximum, boxes of unknown classes, and unusable ones, which cannot be trained on:
`data_prep/records/record_rules.py` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings.pipeline import PipelineSettings
from data_prep.records.record_rules import most_are_unusable
from data_prep.runtime.command_line import UserError
from train.inputs.decode import DecodedRecord
from train.inputs.ground_truth import BOXES

# What `count_batch` returns, in this order.
COUNTS = (
    "images", "boxes", "cut boxes", "cut images", "fullest image", "unknown boxes", "unknown images",
    "unusable boxes", "unusable images",
)  # fmt: skip
_IS_MAXIMUM = np.array([name == "fullest image" for name in COUNTS])


def count_batch(labels: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Counts what one batch holds and what was left out of it.

    Args:
        labels: The batch's.

    Returns:
        int64 [len(COUNTS)].
    """
    names = [f"num_groundtruth_boxes{kind}" for kind in ("", "_cut", "_unknown", "_unusable")]
    kept, cut, unknown, unusable = (tf.cast(labels[name], tf.int64) for name in names)

    def number_of(condition: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(condition, tf.int64))

    return tf.stack(
        [
            tf.size(kept, tf.int64),
            tf.reduce_sum(kept + cut + unknown + unusable),
            tf.reduce_sum(cut),
            number_of(cut > 0),
            tf.reduce_max(kept + cut),
            tf.reduce_sum(unknown),
            number_of(unknown > 0),
            tf.reduce_sum(unusable),
            number_of(unusable > 0),
        ]
    )


def count_record(decoded: DecodedRecord) -> tf.Tensor:
    """Counts what one record holds, of which nothing is cut: int64 [len(COUNTS)], as `count_batch` does."""
    count = tf.shape(decoded.ground_truth[BOXES])[0]
    labels = {
        "": count,
        "_cut": tf.zeros_like(count),
        "_unknown": decoded.num_unknown,
        "_unusable": decoded.num_unusable,
    }
    return count_batch({f"num_groundtruth_boxes{kind}": number[tf.newaxis] for kind, number in labels.items()})


def first_unusable(labels: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns a sentence about the first box of a batch that cannot be used: string scalar, empty where all can."""
    sentences = labels["unusable_box"]
    return sentences[tf.argmax(tf.not_equal(sentences, ""))]


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
        unusable_box: A sentence about a box that cannot be used; empty where none was met.
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
        self.unusable_box = ""

    @classmethod
    def of_training(cls, settings: PipelineSettings) -> LeftOut:
        """For the batches of `build_training_dataset(settings)`."""
        return cls(settings.max_number_of_training_boxes_path, settings.max_number_of_training_boxes)

    @classmethod
    def of_evaluation(cls, settings: PipelineSettings, reader_index: int = 0) -> LeftOut:
        """For the batches of `build_evaluation_dataset(settings, reader_index)`."""
        maximum = settings.eval_input_reader[reader_index].max_number_of_boxes
        return cls(f"eval_input_reader[{reader_index}].max_number_of_boxes", maximum)

    def add(self, counts: Any, unusable_box: bytes = b"") -> None:
        """Adds a batch's counts, or several batches' counts added up.

        Args:
            counts: int64 [len(COUNTS)].
            unusable_box: A sentence about one of the batch's boxes that cannot be used, where it has one.

        Raises:
            UserError: Most boxes so far cannot be used.
        """
        ours = np.array([self.counts[name] for name in COUNTS], np.int64)
        theirs = np.asarray(counts)
        total = np.where(_IS_MAXIMUM, np.maximum(ours, theirs), ours + theirs)
        self.counts = dict(zip(COUNTS, total.tolist(), strict=True))
        self.unusable_box = self.unusable_box or " ".join(unusable_box.decode("utf-8", "replace").split())
        if most_are_unusable(self.counts["unusable boxes"], self.counts["boxes"]):
            raise UserError(f"{self._about_unusable()}; that is most of them, so the others are not used either")

    def _about_unusable(self) -> str:
        counts = self.counts
        example = f", such as {self.unusable_box}" if self.unusable_box else ""
        return (
            f"{counts['unusable boxes']} of {counts['boxes']} boxes cannot be trained on and were left out, in "
            f"{counts['unusable images']} of {counts['images']} images{example}"
        )

    def sentences(self) -> list[str]:
        """One sentence a reason for which boxes were left out; none where all were kept."""
        counts = self.counts
        found = []
        if counts["unusable boxes"]:
            found.append(f"{self._about_unusable()}; python -m data_prep.verify_tfrecords names each")
        if counts["cut boxes"]:
            found.append(
                f"{counts['cut boxes']} of {counts['boxes']} boxes were cut, in {counts['cut images']} of "
                f"{counts['images']} images: {self._setting} is {self._maximum}, and "
                f"{counts['fullest image']} would have kept them all"
            )
        if counts["unknown boxes"]:
            found.append(
                f"{counts['unknown boxes']} of {counts['boxes']} boxes were left out, in {counts['unknown images']} "
                f"of {counts['images']} images: the label map has no class of their name; "
                "python -m data_prep.verify_tfrecords says which"
            )
        return found
