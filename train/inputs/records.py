"""The encoded records of an input reader: the files they are in, and a pass over them. Nothing is decoded here."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from configs.schema.fields import PLACEHOLDER
from configs.settings.inputs import InputReader
from data_prep.formats.shard_names import find_shards
from data_prep.runtime.command_line import UsageError
from train.inputs.record_counts import count_records_of_files

_READ_BUFFER_BYTES = 1024 * 1024


class RecordFiles:
    """Files of records, each a TFRecord file, that are gone over together."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Names the files.

        Args:
            paths: In their order.
        """
        self.paths = list(paths)

    def read(self, index: tf.Tensor) -> tf.data.Dataset:
        """Returns the serialised records of one file, by its place in `paths`: an int64 scalar."""
        return tf.data.TFRecordDataset(tf.constant(self.paths)[index], buffer_size=_READ_BUFFER_BYTES)

    def is_empty(self) -> bool:
        """Returns whether no file has a record."""
        return not any(tf.io.gfile.stat(path).length for path in self.paths)

    def counts(self) -> list[int]:
        """Returns how many records each file has.

        Raises:
            UserError: A file or a manifest is broken.
        """
        return count_records_of_files(self.paths)


class RecordSet(NamedTuple):
    """Files that are drawn from together.

    Attributes:
        files: Where the records are.
        weight: How often a record of this set is drawn, beside the other sets' weights.
    """

    files: RecordFiles
    weight: float


def record_sets(reader: InputReader, where: str) -> list[RecordSet]:
    """Returns the files of an input reader: one set, or one for each weight of `sample_from_datasets_weights`.

    Args:
        reader: The input reader.
        where: Its path in the config, for messages.

    Raises:
        UsageError: A path is not filled in or matches nothing.
    """
    paths = input_paths(reader, where)
    if not reader.sample_from_datasets_weights:
        return [RecordSet(RecordFiles(find_shards(paths)), 1.0)]
    pairs = zip(paths, reader.sample_from_datasets_weights, strict=True)
    return [RecordSet(RecordFiles(find_shards(path)), weight) for path, weight in pairs if weight > 0.0]


def read_pass(files: RecordFiles, reader: InputReader, seed: tf.Tensor | None = None) -> tf.data.Dataset:
    """Reads the records of some files once, in an order that the seed gives.

    Honours `num_readers`, `read_block_length`, `filenames_shuffle_buffer_size` and `sample_1_of_n_examples`.

    Args:
        files: Which.
        reader: How.
        seed: int64 scalar, of the files' order, where the reader shuffles; None reads them as they are named. They
            are always read so with `sample_1_of_n_examples`: every third record is the same in each pass only then.

    Returns:
        A dataset of serialised records, string scalars.
    """
    every_nth, num_files = reader.sample_1_of_n_examples, len(files.paths)
    indices = tf.data.Dataset.range(num_files)
    if seed is not None and reader.shuffle and every_nth == 1:
        buffer_size = min(num_files, max(reader.filenames_shuffle_buffer_size, 1))
        indices = indices.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=False)
    num_open = max(1, min(reader.num_readers, num_files))
    records = indices.interleave(
        files.read,
        cycle_length=num_open,
        block_length=max(1, reader.read_block_length),
        num_parallel_calls=num_open,
        deterministic=True,
    )
    return records.shard(every_nth, 0) if every_nth > 1 else records


def count_pass(files: RecordFiles, reader: InputReader) -> int:
    """Returns how many records `read_pass` gives.

    Raises:
        UserError: A file or a manifest is broken.
    """
    return -(-sum(files.counts()) // reader.sample_1_of_n_examples)


def read_every_record(sets: Sequence[RecordSet], reader: InputReader) -> tf.data.Dataset:
    """Returns the serialised records that training goes over, each once, in the files' order."""
    passes = [read_pass(files, reader) for files, _ in sets]
    return functools.reduce(tf.data.Dataset.concatenate, passes).with_options(without_autotuning())


def without_autotuning() -> tf.data.Options:
    """For all of a dataset that is built on records; parallel calls need a number of their own then.

    The thread that tunes a dataset may miss that the dataset's end has come, and sleeps on, with whoever waits for it:
    up to ten seconds in an evaluation of fifteen, up to a minute later (TensorFlow 2.20: it is woken before the flag
    that it looks at is set; one short pass in four was hit).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def input_paths(reader: InputReader, where: str) -> list[str]:
    """Returns the reader's `input_path`s as written: paths, globs, or `name@N`.

    Raises:
        UsageError: One still holds `PATH_TO_BE_CONFIGURED`.
    """
    for path in reader.input_paths:
        check_filled_in(path, f"{where}.tf_record_input_reader.input_path")
    return list(reader.input_paths)


def check_filled_in(path: str, where: str) -> None:
    """Raises a UsageError if a recipe's path was left as it came."""
    if PLACEHOLDER in path:
        raise UsageError(f"{where} still reads {path!r}; put your own path in place of {PLACEHOLDER}")
