"""Explanations of records that cannot be read: which file it is, which record of it, and what is wrong.

TensorFlow names neither the file that is damaged nor the record that it cannot parse. They are looked for only when
something has failed, by what reads records without it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from configs.settings.inputs import InputReader
from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.formats.shard_names import find_shards
from data_prep.records import record_rules as rules
from data_prep.records.image_checks import tensorflow_message
from data_prep.records.record_checks import RecordChecker
from data_prep.records.record_files import CorruptRecordError, find_damage, read_record_file
from data_prep.records.record_report import RecordReport
from data_prep.runtime.command_line import UserError
from data_prep.runtime.progress import progress
from train.inputs.input_errors import readable_error

# What TensorFlow raises, and what its message becomes where it holds a record's bytes, which are no text.
FAILURES = (tf.errors.OpError, UnicodeDecodeError)
_ADVICE = "write the file again, or leave the record out with python -m data_prep.repair_tfrecords"
_UNPARSED = (rules.NOT_AN_EXAMPLE, rules.WRONG_TYPE, rules.NUMBER_OF_VALUES)
_OF_PARSING = re.compile(r"ParseExample|ParseSingleExample|Could not parse example|Data types don't match|^Key: ")
_NAMELESS = re.compile(r"image 'record \d+'")


@contextlib.contextmanager
def explained_records(*readers: InputReader | None) -> Iterator[None]:
    """Turns what TensorFlow says of records that cannot be read into one line.

    Args:
        readers: Whose records are read inside; None is none.

    Raises:
        UserError: A record stopped the pipeline; with its file and number, or with what names its image.
    """
    try:
        yield
    except FAILURES as error:
        sentence = sentence_about(error, [reader for reader in readers if reader is not None])
        if sentence is None:
            raise
        raise UserError(sentence) from error


def sentence_about(error: BaseException, readers: Sequence[InputReader]) -> str | None:
    """Returns what is wrong with a record that stopped a pipeline, or None where the error is about something else.

    Args:
        error: One of `FAILURES`.
        readers: Whose records were read.
    """
    sentence = readable_error(error)
    if sentence is not None:
        if _NAMELESS.match(sentence):  # the number is of the order in which records came
            sentence += _place_in_words(readers, lambda report: bool(report.errors) and not report.source_id)
        return sentence
    if isinstance(error, tf.errors.DataLossError):
        return _sentence_about_damage(tensorflow_message(error), readers)
    if isinstance(error, UnicodeDecodeError) or _OF_PARSING.search(str(error)):
        place = _place_in_words(readers, lambda report: any(kind in _UNPARSED for kind, _ in report.errors))
        if place:
            return f"a record cannot be read{place}; {_ADVICE}"
    return None


def damage_in_words(paths: Sequence[str], message: str) -> str | None:
    """Returns which of some files is damaged, where, and what to do; None where none is.

    Args:
        paths: Of record files.
        message: What TensorFlow said, which may name the byte.
    """
    byte = re.search(r"record at (\d+)", message)
    near = find_damage(paths, int(byte[1])) if byte else None
    found = near or find_damage(progress(paths, description="looking for the damage", unit="file"))
    if found is None:
        return None
    path, error = found
    return f"{path}, record {error.number}: {error}; {_ADVICE}"


def _sentence_about_damage(message: str, readers: Sequence[InputReader]) -> str:
    try:
        found = damage_in_words(_paths(readers), message)
    except OSError as error:
        return f"a record file cannot be read: {error}"
    return found or (
        f"a record file was damaged when it was read ({message}), and is not now: is it being written, or is it a copy "
        "in extensions.cache.directory, which may be deleted?"
    )


def _paths(readers: Sequence[InputReader]) -> list[str]:
    with contextlib.suppress(UserError):  # the files are gone, which is not what is to be explained
        return [path for reader in readers for path in find_shards(list(reader.input_paths))]
    return []


def _place_in_words(readers: Sequence[InputReader], is_wanted: Callable[[RecordReport], bool]) -> str:
    """Returns where the first record lies of which the checks say what is wanted, and what is wrong with it."""
    for reader in readers:
        check = RecordChecker(_label_map(reader))
        for path in progress(_paths([reader]), description="looking for the record", unit="file"):
            with contextlib.suppress(CorruptRecordError, OSError):  # another fault than that which is looked for
                for number, serialized in enumerate(read_record_file(path)):
                    report = check(serialized)
                    if is_wanted(report):
                        kind, detail = report.errors[0]
                        return f" ({path}, record {number}: {kind}: {detail})"
    return ""


def _label_map(reader: InputReader) -> LabelMap | None:
    return read_label_map(reader.label_map_path) if reader.label_map_path else None
