"""Class-aware sampling for long tails: `extensions.class_aware_sampling`.

Each class is as likely to be drawn as any other, then one of the images that have it: Shen, Lin and Huang, "Relay
Backpropagation for Effective Learning of Deep Convolutional Neural Networks", 2016, https://arxiv.org/abs/1512.05830,
section 4.1. There, lists of every class' images are drawn from; records in shards can only be read in their order.
So each record is repeated instead, in expectation

    N / C * sum over its classes c of 1 / N_c

times a pass, with N records, N_c of them with class c, and C classes that occur: its probability under such a draw,
times N draws. Fractions are rounded up or down by a function of the pass' seed (`ClassSampler`), so a pass has N
records but for those that `max_repeats` keeps from coming, and memory holds no more than without: the shuffle buffer's
encoded records. What takes time is one scan of the records' labels beforehand.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from data_prep.formats import tf_example
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.progress import progress
from data_prep.runtime.worker_pool import default_num_processes
from train.inputs.class_labels import ClassLookup, read_names_and_ids

_RECORDS_AT_A_TIME = 64
# Parts of a record that are counted with: so many that 10^10 records' sum is an int64.
_ONE = 2**28


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """Findings of a scan.

    Attributes:
        num_records: N.
        num_without: Records of these with no object of a known class.
        records_by_class: int64 [num_classes + 1], N_c by label map id.
        records_by_classes: How many records have exactly these classes, by their label map ids in ascending order.
    """

    num_records: int
    num_without: int
    records_by_class: np.ndarray
    records_by_classes: Mapping[tuple[int, ...], int]

    @property
    def weights(self) -> np.ndarray:
        """The repeats of a record that each class adds: float32 [num_classes + 1], N / C / N_c, or 0."""
        occurs = self.records_by_class > 0
        share = self.num_records / max(int(occurs.sum()), 1)
        return np.where(occurs, share / np.maximum(self.records_by_class, 1), 0.0).astype(np.float32)

    def summary(self, names_by_id: dict[int, str], max_repeats: int) -> str:
        """One line for people."""
        present = np.flatnonzero(self.records_by_class)
        most, least = (int(present[pick(self.records_by_class[present])]) for pick in (np.argmax, np.argmin))

        def of_class(class_id: int) -> str:
            times = min(float(self.weights[class_id]), max_repeats)
            name = names_by_id.get(class_id, f"class {class_id}")
            return f"{name} ({self.records_by_class[class_id]} records, each {times:.3g} times a pass)"

        without = f"; {self.num_without} records have no object and are never drawn" if self.num_without else ""
        return (
            f"class-aware sampling over {self.num_records} records with {len(present)} classes, "
            f"from {of_class(most)} to {of_class(least)}{without}"
        )


def count_classes(records: tf.data.Dataset, look_up: ClassLookup, num_classes: int, where: str) -> ClassCounts:
    """Scans the records' labels once.

    Args:
        records: Serialised records, one pass.
        look_up: Gives their classes ids.
        num_classes: The largest of these.
        where: The input reader's path in the config, for messages.

    Raises:
        UsageError: No record has an object.
    """

    def classes_of(record: tf.Tensor) -> tf.Tensor:
        return classes_of_record(record, look_up, num_classes)

    parallel = records.map(classes_of, num_parallel_calls=default_num_processes())
    batches = parallel.batch(_RECORDS_AT_A_TIME).prefetch(2)
    by_class = np.zeros(num_classes + 1, np.int64)
    by_classes: Counter[tuple[int, ...]] = Counter()
    singles = (row for batch in batches.as_numpy_iterator() for row in batch)
    for row in progress(singles, description="counting classes", unit="record"):
        by_class += row
        by_classes[tuple(np.flatnonzero(row).tolist())] += 1
    num_records = by_classes.total()
    if not by_class.any():
        raise UsageError(
            f"extensions.class_aware_sampling: none of the {num_records} records of {where} has an object of a class "
            "that the label map knows"
        )
    return ClassCounts(num_records, by_classes[()], by_class, dict(by_classes))


def classes_of_record(record: tf.Tensor, look_up: ClassLookup, num_classes: int) -> tf.Tensor:
    """Reads from a serialised record which classes it has: bool [num_classes + 1], by label map id."""
    classes = look_up(*read_names_and_ids(record, tf_example.CLASS_TEXT, tf_example.CLASS_LABEL))
    known = tf.boolean_mask(classes.ids, classes.is_known)
    return tf.reduce_any(tf.one_hot(known, num_classes + 1, on_value=True, off_value=False), axis=0)


class ClassSampler:
    """Repeats each record of a pass as often as its classes ask for, and leaves out what comes 0 times.

    The sum of expectations is carried along a pass, from a start between 0 and 1 that its seed gives; a record comes
    once for each whole number that the sum goes over with it (systematic sampling). So each comes as often as expected,
    rounded up or down, and how many come in all is known beforehand. Sums are whole numbers of 1 / `_ONE`, so that
    they are the same in any order.
    """

    def __init__(self, counts: ClassCounts, look_up: ClassLookup, max_repeats: int) -> None:
        """Prepares the sampling.

        Args:
            counts: Of all records of a pass.
            look_up: As for the scan.
            max_repeats: No record comes more often in a pass.
        """
        self._look_up = look_up
        self._num_classes = len(counts.records_by_class) - 1
        self._most = max_repeats * _ONE
        self._weights = np.round(counts.weights.astype(np.float64) * _ONE).astype(np.int64)
        expected = [
            (min(int(self._weights[list(classes)].sum()), self._most), count)
            for classes, count in counts.records_by_classes.items()
        ]
        self._sum = sum(each * count for each, count in expected)

    def length_of_pass(self, seed: tf.Tensor) -> int:
        """Returns how many records a pass with a seed (int64 scalar) has."""
        return (self._sum + int(_start(seed))) // _ONE

    def apply(self, records: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
        """Repeats the records of one pass.

        Args:
            records: Serialised, each once, in any order.
            seed: int64 scalar.

        Returns:
            The same record's repeats come one after the other; shuffle behind it.
        """
        weights = tf.constant(self._weights)

        @tf.autograph.experimental.do_not_convert
        def count(before: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
            present = classes_of_record(record, self._look_up, self._num_classes)
            expected = tf.reduce_sum(tf.where(present, weights, tf.zeros_like(weights)))
            after = before + tf.minimum(expected, self._most)
            return after, (record, after // _ONE - before // _ONE)

        def repeat(record: tf.Tensor, times: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.from_tensors(record).repeat(times)

        return records.scan(_start(seed), count).flat_map(repeat)


def _start(seed: tf.Tensor) -> tf.Tensor:
    """Where the sum of expectations begins, of 1 / `_ONE`: int64 scalar from 0 to `_ONE` - 1."""
    return tf.random.stateless_uniform([], tf.stack([seed, tf.zeros_like(seed)]), 0, _ONE, tf.int64)
