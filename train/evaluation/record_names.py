"""Ids and file names of an evaluation input's records, read without decoding an image."""

from __future__ import annotations

import tensorflow as tf

from configs.settings.inputs import InputReader
from data_prep.formats import tf_example
from train.inputs.record_order import read_records

_KEYS = (tf_example.IMAGE_SOURCE_ID, tf_example.IMAGE_FILENAME, tf_example.IMAGE_SHA256)
_RECORDS_AT_A_TIME = 64


def read_record_names(reader: InputReader, where: str) -> dict[str, str]:
    """Returns the file name of each record by its id; an empty one where the record has none.

    The id is what the evaluation calls the image: the first of id, file name and checksum that the record has, else
    `record 12`. Of records with one id, the first one's file name counts.

    Args:
        reader: The input reader.
        where: Its path in the config, for messages.

    Raises:
        UsageError: A path is not filled in or matches nothing.
    """
    spec = {key: tf.io.FixedLenFeature((), tf.string, default_value="") for key in _KEYS}
    records = read_records(reader, where, num_epochs=1).batch(_RECORDS_AT_A_TIME)
    names: dict[str, str] = {}
    number = 0
    for batch in records.map(lambda serialized: tf.io.parse_example(serialized, spec)):
        for values in zip(*(batch[key].numpy() for key in _KEYS), strict=True):
            source_id, file_name, checksum = (value.decode("utf-8", "replace") for value in values)
            names.setdefault(source_id or file_name or checksum or f"record {number}", file_name)
            number += 1
    return names
