"""The order of an input's encoded records: a function of a seed, the epoch and the place in it, from any place on.

Shuffling works on encoded records, so a full buffer holds JPEGs and not the twenty times larger images in them. Each
pass over the records (epoch) sees every one of them once, in a new order (the Object Detection API shuffled an endless
stream, in which a small set's images come up several times before others do once).

A training that goes on begins in the middle: the number of records a pass tells in which epoch, and of that epoch
alone records are read and dropped, still encoded. Where sets are drawn from by `sample_from_datasets_weights`, the
draws up to there are made again, which reads nothing. Only weights together with `num_epochs` give no such way, since
draws from a set that has come to its end count for nothing: then all records from the first on are read and dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from configs.settings.inputs import InputReader
from train.inputs.class_aware_sampling import ClassSampler
from train.inputs.randomness import derived_seed
from train.inputs.records import RecordFiles, RecordSet, count_pass, read_pass, record_sets, without_autotuning

_ENDLESS = np.iinfo(np.int64).max
_DRAWS_AT_A_TIME = 4096


def read_records(reader: InputReader, where: str, *, num_epochs: int | None, seed: int = 0) -> tf.data.Dataset:
    """Returns the serialised records of an input reader, in the order in which they are to be used.

    Honours `tf_record_input_reader.input_path` and what `order_records` honours.

    Args:
        reader: The input reader.
        where: Its path in the config, for messages.
        num_epochs: How often to go over the records; None never stops.
        seed: Of the shuffling.

    Returns:
        A dataset of string scalars.

    Raises:
        UsageError: A path is not filled in or matches nothing.
    """
    return order_records(record_sets(reader, where), reader, num_epochs=num_epochs, seed=seed)


def order_records(
    sets: Sequence[RecordSet],
    reader: InputReader,
    *,
    num_epochs: int | None,
    seed: int,
    start: int = 0,
    sampler: ClassSampler | None = None,
) -> tf.data.Dataset:
    """Returns the serialised records of some files, in the order in which they are to be used.

    Honours `shuffle`, `shuffle_buffer_size`, `filenames_shuffle_buffer_size`, `num_readers`, `read_block_length`,
    `sample_1_of_n_examples` (the same records in every pass) and `sample_from_datasets_weights`.

    Args:
        sets: The files.
        reader: The input reader that they are of.
        num_epochs: How often to go over the records; None never stops.
        seed: Of the shuffling.
        start: How many records to leave out: the others come as they would have behind those.
        sampler: Says how often each record comes in a pass; None takes each once.

    Returns:
        A dataset of string scalars.

    Raises:
        UserError: With a `start`: records cannot be counted.
    """
    # One without records would be asked for them without end.
    sets = [one for one in sets if not one.files.is_empty()]
    if not sets:
        return tf.data.Dataset.from_tensor_slices(tf.zeros([0], tf.string)).with_options(without_autotuning())
    can_jump = len(sets) == 1 or num_epochs is None
    draws = _Draws([weight for _, weight in sets], seed)
    starts = draws.count_before(start) if can_jump else [0] * len(sets)
    datasets = [
        _read_epochs(files, reader, num_epochs, derived_seed(seed, index), start=start_of_set, sampler=sampler)
        for index, ((files, _), start_of_set) in enumerate(zip(sets, starts, strict=True))
    ]
    if len(datasets) == 1:
        return datasets[0].with_options(without_autotuning())
    chosen = draws.dataset(start if can_jump else 0)
    records = tf.data.Dataset.choose_from_datasets(datasets, chosen, stop_on_empty_dataset=False)
    return (records if can_jump else records.skip(start)).with_options(without_autotuning())


def _read_epochs(
    files: RecordFiles,
    reader: InputReader,
    num_epochs: int | None,
    seed: tf.Tensor,
    *,
    start: int,
    sampler: ClassSampler | None,
) -> tf.data.Dataset:
    """Reads one set of files again and again, each time in another order, from its record number `start` on."""

    def read_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # Of this function's graph alone: shuffling mixes it into its seed, and would take the process' own (with which,
        # if that is 0, TensorFlow 2.20 cannot take a tensor for a seed).
        tf.random.set_seed(1)
        files_seed, sampling_seed, records_seed = _seeds_of_epoch(seed, epoch)
        records = read_pass(files, reader, files_seed)
        if sampler is not None:
            records = sampler.apply(records, sampling_seed)
        if reader.shuffle:
            buffer_size = max(reader.shuffle_buffer_size, 1)
            records = records.shuffle(buffer_size, seed=records_seed, reshuffle_each_iteration=False)
        return records

    epoch, place = 0, start
    if sampler is not None:
        while place >= (length := sampler.length_of_pass(_seeds_of_epoch(seed, epoch)[1])):
            epoch, place = epoch + 1, place - length
    elif start > 0:
        epoch, place = divmod(start, count_pass(files, reader))
    epochs = tf.data.Dataset.range(epoch, num_epochs if num_epochs is not None else _ENDLESS)
    return epochs.flat_map(read_epoch).skip(place)


def _seeds_of_epoch(seed: tf.Tensor, epoch: tf.Tensor | int) -> list[tf.Tensor]:
    """Seeds of the files' order, of the sampling and of the records' order, each an int64 scalar."""
    of_epoch = derived_seed(seed, epoch)
    return [derived_seed(of_epoch, purpose) for purpose in range(3)]


class _Draws:
    """Which set each record is taken from, by the sets' weights: a function of the seed and the record's number."""

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self._logits = tf.math.log(tf.constant([weights], tf.float32))
        self._num_sets = len(weights)
        self._seed = seed

    def _block(self, number: tf.Tensor) -> tf.Tensor:
        """int64 [_DRAWS_AT_A_TIME]."""
        seed = tf.stack([derived_seed(self._seed, -1), number])
        return tf.random.stateless_categorical(self._logits, _DRAWS_AT_A_TIME, seed)[0]

    def dataset(self, start: int) -> tf.data.Dataset:
        """The draws from number `start` on, without end: int64 scalars."""
        block, place = divmod(start, _DRAWS_AT_A_TIME)
        return tf.data.Dataset.range(block, _ENDLESS).map(self._block).unbatch().skip(place)

    def count_before(self, start: int) -> list[int]:
        """How many of the first `start` draws each set gets."""
        if self._num_sets == 1:
            return [start]
        counts = np.zeros(self._num_sets, np.int64)
        for first in range(0, start, _DRAWS_AT_A_TIME):
            drawn = self._block(tf.constant(first // _DRAWS_AT_A_TIME, tf.int64)).numpy()
            counts += np.bincount(drawn[: start - first], minlength=self._num_sets)
        return [int(count) for count in counts]
