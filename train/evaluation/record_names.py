"""Ids and file names of an evaluation input's records, read without decoding an image."""

from __future__ import annotations

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
    spec = {
        key: tf.io.FixedLenFeature((), tf.string, default_value="")
        for key in (*rules.NAME_KEYS, tf_example.IMAGE_FILENAME)
    }
    records = read_records(reader, where, num_epochs=1).batch(_RECORDS_AT_A_TIME)
    names: dict[str, str] = {}
    number = 0
    for batch in records.map(lambda serialized: tf.io.parse_example(serialized, spec)):
        columns = {key: values.numpy() for key, values in batch.items()}
        for row, file_name in enumerate(columns[tf_example.IMAGE_FILENAME]):
            own_names = (columns[key][row] for key in rules.NAME_KEYS)
            source_id = next(filter(None, own_names), b"record %d" % number)
            names.setdefault(source_id.decode("utf-8", "replace"), file_name.decode("utf-8", "replace"))
            number += 1
    return names
