"""The images that an export is compared with its checkpoint on."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from configs.settings.inputs import InputReader
from data_prep.formats.shard_names import find_shards
from data_prep.formats.tf_example import IMAGE_ENCODED
from data_prep.runtime.command_line import UserError
from export.image_inputs import decode_image
from train.inputs.record_errors import damage_in_words, explained_records
from train.inputs.record_order import read_records
from train.pipeline import Pipeline

MAX_IMAGES = 16
_RECORDS_TAKEN = 4
_GENERATED_SIZES = ((480, 640), (640, 427), (300, 300))


@dataclasses.dataclass(frozen=True)
class SampleImage:
    """One image in all the forms that a signature takes.

    Attributes:
        name: For words.
        encoded: A JPEG or PNG.
        record: A serialised tf.train.Example with that at `image/encoded`: one of the records, or made from it.
    """

    name: str
    encoded: bytes
    record: bytes

    def pixels(self) -> np.ndarray:
        """Decodes to uint8 [H, W, 3].

        Raises:
            UserError: It does not decode.
        """
        try:
            return np.asarray(decode_image(tf.constant(self.encoded)))
        except tf.errors.InvalidArgumentError:
            raise UserError(f"{self.name} is not a JPEG or PNG that decodes; give other images") from None


def images_for(paths: Iterable[Path], pipeline: Pipeline) -> list[SampleImage]:
    """Returns the images of these files or, without any, the first of the evaluation records, or generated ones."""
    return read_images(paths) or images_of_records(pipeline.settings.eval_input_reader) or generated_images()


def read_images(paths: Iterable[Path]) -> list[SampleImage]:
    """Reads at most 16 files.

    Raises:
        UserError: One cannot be read.
    """
    found = []
    for path in list(paths)[:MAX_IMAGES]:
        try:
            found.append(_image(str(path), path.read_bytes()))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
    return found


def images_of_records(readers: Sequence[InputReader]) -> list[SampleImage]:
    """Reads the first records of the evaluation input; none where the machine does not have them, or there is none.

    Args:
        readers: Of the evaluation, in the order in which they are tried.

    Raises:
        UserError: A record is broken.
    """
    for number, reader in enumerate(readers):
        where = f"eval_input_reader[{number}]"
        in_order = dataclasses.replace(reader, shuffle=False)
        try:
            records = read_records(in_order, where, num_epochs=1)
        except UserError:  # an export needs no records, and may be made where there are none
            continue
        try:
            with explained_records(reader):
                return [
                    _of_record(f"record {row}", record.numpy())
                    for row, record in enumerate(records.take(_RECORDS_TAKEN))
                ]
        except tf.errors.OpError as error:
            raise UserError(f"{where}: {error.message}; give --parity_images") from None
    return []


def read_record_images(pattern: str, count: int, *, flag: str) -> list[SampleImage]:
    """Reads at most so many records, spread evenly over the files.

    Args:
        pattern: As `find_shards` takes it.
        count: The most to take.
        flag: Where the pattern was given, for words.

    Raises:
        UserError: There are no such files, they hold no record, or one that cannot be read.
    """
    paths = find_shards(pattern)
    records = tf.data.TFRecordDataset(paths)
    try:
        total = sum(1 for _ in records)
        every = max(total // count, 1)
        found = [
            _of_record(f"record {row * every}", record.numpy())
            for row, record in enumerate(records.shard(every, 0).take(count))
        ]
    except tf.errors.OpError as error:
        reason = damage_in_words(paths, error.message) or f"{pattern}: {error.message}"
        raise UserError(f"{flag}: {reason}") from None
    if not found:
        raise UserError(f"{flag} {pattern}: no record in these files")
    return found


def generated_images() -> list[SampleImage]:
    """Makes JPEGs of noise in large blocks: it has edges and areas, as photographs have."""
    generator = np.random.default_rng(0)
    found = []
    for number, (height, width) in enumerate(_GENERATED_SIZES):
        blocks = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        found.append(_image(f"generated image {number}", buffer.getvalue()))
    return found


def _image(name: str, encoded: bytes) -> SampleImage:
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    features = tf.train.Features(feature={IMAGE_ENCODED: feature})
    return SampleImage(name, encoded, tf.train.Example(features=features).SerializeToString())


def _of_record(name: str, record: bytes) -> SampleImage:
    fields = tf.io.parse_single_example(record, {IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string)})
    return SampleImage(name, fields[IMAGE_ENCODED].numpy(), record)
