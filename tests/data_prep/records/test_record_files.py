from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from data_prep.formats.example_proto import example_class
from data_prep.records.record_files import (
    CorruptRecordError,
    RecordWriter,
    count_records,
    masked_checksum,
    read_record_file,
)

RECORDS = [b"", b"a", b"\x00" * 100, bytes(range(256)) * 5000]


def test_the_bytes_are_tensorflows(tmp_path: Path) -> None:
    import tensorflow as tf

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with RecordWriter(ours) as writer:
        for record in RECORDS:
            writer.write(record)
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for record in RECORDS:
            writer.write(record)
    assert ours.read_bytes() == theirs.read_bytes()
    assert list(read_record_file(str(theirs))) == RECORDS
    assert list(tf.data.TFRecordDataset(str(ours)).as_numpy_iterator()) == RECORDS


def test_every_cut_and_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "records"
    with RecordWriter(path) as writer:
        for record in (b"first", b"second record"):
            writer.write(record)
    whole = path.read_bytes()
    first = 16 + len(b"first")
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        if length == first:
            assert list(read_record_file(str(path))) == [b"first"]
            continue
        with pytest.raises(CorruptRecordError, match="truncated"):
            list(read_record_file(str(path)))
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        found = []
        with pytest.raises(CorruptRecordError, match=f"corrupted record at byte {0 if index < first else first}"):
            for record in read_record_file(str(path)):
                found.append(record)
        assert found == ([] if index < first else [b"first"])


def test_a_record_that_claims_to_be_huge_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "records"
    length = struct.pack("<Q", 2**60)
    path.write_bytes(length + struct.pack("<I", masked_checksum(length)) + b"x" * 100)
    with pytest.raises(CorruptRecordError, match="1152921504606846976 bytes"):
        list(read_record_file(str(path)))


def test_examples_are_tensorflows() -> None:
    import tensorflow as tf

    examples = [cls() for cls in (example_class(), tf.train.Example)]
    for example in examples:
        features = example.features.feature
        features["bytes"].bytes_list.value.extend([b"a", b""])
        features["floats"].float_list.value.extend([0.1, float(np.float32(2.5))])
        features["ints"].int64_list.value.extend([-1, 2**40])
        features["empty"].int64_list.value.extend([])
        features["none"].SetInParent()
    ours, theirs = (example.SerializeToString(deterministic=True) for example in examples)
    assert ours == theirs
    assert example_class().FromString(theirs).features.feature["ints"].int64_list.value == [-1, 2**40]


def test_records_are_counted_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "records"
    with RecordWriter(path) as writer:
        for record in RECORDS:
            writer.write(record)
    assert count_records(str(path)) == len(RECORDS)
    whole = path.read_bytes()
    path.write_bytes(whole[:28] + b"x" + whole[29:])  # in the data of a record
    assert count_records(str(path)) == len(RECORDS)
    for content in (whole[:-1], whole[:20], whole[:5], whole[:17] + b"x" + whole[18:]):
        path.write_bytes(content)
        with pytest.raises(CorruptRecordError):
            count_records(str(path))
    path.write_bytes(b"")
    assert count_records(str(path)) == 0
