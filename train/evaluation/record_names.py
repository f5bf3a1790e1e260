"""Ids, file names and image files of an evaluation input's records, read without decoding an image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import tensorflow as tf

from configs.settings.inputs import InputReader
from data_prep.formats import tf_example
from data_prep.records import record_rules as rules
from train.inputs.record_order import read_records

_RECORDS_AT_A_TIME = 64


def read_record_names(reader: InputReader, where: str) -> dict[str, str]:
    """Returns the file name of each record by its id; an empty one where the record has none.

    The id is what the evaluation calls the image: the first of `record_rules.NAME_KEYS` that the record has, else
    `record 12`. Of records with one id, the first one's file name counts.

    Args:
        reader: The input reader.
        where: Its path in the config, for messages.

    Raises:
        UsageError: A path is not filled in or matches nothing.
    """
    names: dict[str, str] = {}
    for source_id, (file_name,) in _records(reader, where, (tf_example.IMAGE_FILENAME,)):
        names.setdefault(source_id, file_name.decode("utf-8", "replace"))
    return names


def read_record_images(reader: InputReader, where: str, wanted: Collection[str]) -> dict[str, bytes]:
    """Returns the encoded images of some records by their ids, as `read_record_names` calls them.

    Args:
        reader: The input reader.
        where: Its path in the config, for messages.
        wanted: Ids; those that no record has are left out.

    Raises:
        UsageError: A path is not filled in or matches nothing.
    """
    if not wanted:
        return {}
    records = _records(reader, where, (tf_example.IMAGE_ENCODED,))
    return {source_id: encoded for source_id, (encoded,) in records if source_id in wanted}


def _records(reader: InputReader, where: str, keys: Sequence[str]) -> Iterator[tuple[str, list[bytes]]]:
    """Yields each record's id, and what it has of some keys, each of one text; an empty one where it has none."""
    every = {*rules.NAME_KEYS, *keys}
    spec = {key: tf.io.FixedLenFeature((), tf.string, default_value="") for key in every}
    records = read_records(reader, where, num_epochs=1).batch(_RECORDS_AT_A_TIME)
    number = 0
    for batch in records.map(lambda serialized: tf.io.parse_example(serialized, spec)):
        columns = {key: values.numpy() for key, values in batch.items()}
        for row in range(len(columns[keys[0]])):
            own_names = (columns[key][row] for key in rules.NAME_KEYS)
            source_id = next(filter(None, own_names), b"record %d" % number)
            yield source_id.decode("utf-8", "replace"), [columns[key][row] for key in keys]
            number += 1
