"""The encoded records of an input reader: which files, in which order, how often. Nothing is decoded here.

Shuffling works on encoded records, so a full buffer holds JPEGs and not the twenty times larger images in them. Each
pass over the records sees every one of them once, in a new order (the Object Detection API shuffled an endless stream,
in which a small set's images come up several times before others do once).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import tensorflow as tf

from configs.schema.fields import PLACEHOLDER
from configs.settings.inputs import InputReader
from data_prep.formats.tf_example import find_shards
from data_prep.runtime.command_line import UsageError

Transform: TypeAlias = Callable[[tf.data.Dataset], tf.data.Dataset]

_READ_BUFFER_BYTES = 1024 * 1024


def read_records(
    reader: InputReader,
    where: str,
    *,
    num_epochs: int | None,
    seed: int | None = None,
    input_context: tf.distribute.InputContext | None = None,
    repeat_some: Transform | None = None,
) -> tf.data.Dataset:
    """Returns the serialised records of an input reader, in the order in which they are to be used.

    Honours `tf_record_input_reader.input_path`, `shuffle`, `shuffle_buffer_size`, `filenames_shuffle_buffer_size`,
    `num_readers`, `read_block_length`, `sample_1_of_n_examples` (the same records in every pass) and
    `sample_from_datasets_weights`.

    Args:
        reader: The input reader.
        where: Its path in the config, for messages.
        num_epochs: How often to go over the records; None never stops.
        seed: Of the shuffling; None takes another order each time.
        input_context: Which part of the files (or, with fewer files than pipelines, of the records) is this pipeline's.
        repeat_some: Applied to each pass before it is shuffled.

    Returns:
        A dataset of string scalars.

    Raises:
        UsageError: A path is not filled in or matches nothing.
    """
    parts = _weighted_parts(reader, where)
    datasets = []
    for files, _ in parts:
        records = _read_files(files, reader, seed, input_context)
        if repeat_some is not None:
            records = repeat_some(records)
        if reader.shuffle:
            records = records.shuffle(max(reader.shuffle_buffer_size, 1), seed=seed, reshuffle_each_iteration=True)
        datasets.append(records.repeat(num_epochs))
    if len(datasets) == 1:
        return datasets[0]
    return tf.data.Dataset.sample_from_datasets(datasets, [weight for _, weight in parts], seed=seed)


def read_every_record(reader: InputReader, where: str) -> tf.data.Dataset:
    """Returns the serialised records that training goes over, each once, in the files' order.

    Raises:
        UsageError: As `read_records`.
    """
    parts = [_read_files(files, reader, None, None, fixed_order=True) for files, _ in _weighted_parts(reader, where)]
    return functools.reduce(tf.data.Dataset.concatenate, parts)


def _without_autotuning() -> tf.data.Options:
    """For all of a dataset that is built on these records; parallel calls need a number of their own then.

    The thread that tunes a dataset may miss that the dataset's end has come, and sleeps on, with whoever waits for it:
    up to ten seconds in an evaluation of fifteen, up to a minute later (TensorFlow 2.20: it is woken before the flag
    that it looks at is set; one short pass in four was hit).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _weighted_parts(reader: InputReader, where: str) -> list[tuple[list[str], float]]:
    """The files to read, in parts to be drawn from with a weight each: one part where no weights are set."""
    paths = input_paths(reader, where)
    if not reader.sample_from_datasets_weights:
        return [(find_shards(paths), 1.0)]
    pairs = zip(paths, reader.sample_from_datasets_weights, strict=True)
    return [(find_shards(path), weight) for path, weight in pairs if weight > 0.0]


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


def _read_files(
    files: Sequence[str],
    reader: InputReader,
    seed: int | None,
    input_context: tf.distribute.InputContext | None,
    *,
    fixed_order: bool = False,
) -> tf.data.Dataset:
    """Reads this pipeline's records once; with `shuffle`, the files' order is another each time where it may be."""
    pipelines = input_context.num_input_pipelines if input_context is not None else 1
    by_file = pipelines > 1 and len(files) >= pipelines
    if input_context is not None and by_file:
        files = files[input_context.input_pipeline_id :: pipelines]
    every_nth = reader.sample_1_of_n_examples
    # "Every third record" means the same records each time only if the files are read in one order.
    fixed_order = fixed_order or not reader.shuffle or every_nth > 1 or (pipelines > 1 and not by_file)
    names = tf.data.Dataset.from_tensor_slices(list(files))
    if not fixed_order:
        buffer_size = min(len(files), max(reader.filenames_shuffle_buffer_size, 1))
        names = names.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=True)
    num_open = max(1, min(reader.num_readers, len(files)))
    records = names.interleave(
        lambda name: tf.data.TFRecordDataset(name, buffer_size=_READ_BUFFER_BYTES),
        cycle_length=num_open,
        block_length=max(1, reader.read_block_length),
        num_parallel_calls=num_open,
        deterministic=True if fixed_order else None,
    ).with_options(_without_autotuning())
    if input_context is not None and pipelines > 1 and not by_file:
        records = records.shard(pipelines, input_context.input_pipeline_id)
    if every_nth > 1:
        records = records.shard(every_nth, 0)
    return records
