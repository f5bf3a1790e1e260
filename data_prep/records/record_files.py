"""TFRecord files without TensorFlow: each record between its length and the masked CRC-32C checksums of both.

The framing is TensorFlow's (`core/lib/io/record_writer.h`): the record's length as a little-endian uint64, the masked
checksum of these eight bytes, the record, its masked checksum.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import google_crc32c

MAX_RECORD_BYTES = 1024 * 1024 * 1024  # protobuf takes no more than twice this in one message
_BUFFER_BYTES = 1024 * 1024
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _LENGTH.size + _CHECKSUM.size
_MASK_DELTA = 0xA282EAD8
_GZIP_START = b"\x1f\x8b"
FRAME_BYTES = _HEADER_BYTES + _CHECKSUM.size  # of a record, beside its own


class CorruptRecordError(ValueError):
    """A record file that breaks off or whose bytes are not those that were written.

    Attributes:
        number: Of the first record that cannot be read, from 0.
        goes_on: Whether the records behind it can be, as its length is sound.
    """

    def __init__(self, message: str, number: int, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.number = number
        self.goes_on = goes_on


class RecordWriter:
    """Writes one TFRecord file, to a path or a file: `with RecordWriter(path) as writer: writer.write(record)`."""

    def __init__(self, file: Path | IO[bytes]) -> None:
        self._file: IO[bytes] = file.open("wb", buffering=_BUFFER_BYTES) if isinstance(file, Path) else file

    def write(self, record: bytes) -> None:
        """Writes one record.

        Raises:
            OSError: The file cannot be written.
        """
        length = _LENGTH.pack(len(record))
        self._file.write(length + _CHECKSUM.pack(masked_checksum(length)))
        self._file.write(record)
        self._file.write(_CHECKSUM.pack(masked_checksum(record)))

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def read_record_file(path: str) -> Iterator[bytes]:
    """Yields the records of one file, in order, with their checksums checked.

    Args:
        path: A file here, or what `tf.io.gfile` opens (`gs://...`).

    Raises:
        CorruptRecordError: The file breaks off, or a checksum is wrong; what came before has been yielded.
        OSError: It cannot be read.
    """
    for record in read_damaged_file(path):
        if isinstance(record, CorruptRecordError):
            raise record
        yield record


def read_damaged_file(path: str) -> Iterator[bytes | CorruptRecordError]:
    """Yields what can be read of one file: its records, and in the place of a damaged one what is wrong with it.

    It ends behind damage after which nothing can be found again.

    Args:
        path: As `read_record_file` takes it.

    Raises:
        OSError: It cannot be read.
    """
    with _open(path) as file:
        offset = number = 0
        while header := file.read(_HEADER_BYTES):
            try:
                length = _length_of(header, offset, number)
                yield _record(file, length, offset, number)
            except CorruptRecordError as error:
                yield error
                if not error.goes_on:
                    return
            offset += FRAME_BYTES + length
            number += 1


def find_damage(paths: Iterable[str], near_byte: int | None = None) -> tuple[str, CorruptRecordError] | None:
    """Returns the first damaged file of several, and what is wrong with it; None where none is.

    Args:
        paths: As `read_record_file` takes them.
        near_byte: Where in its file the damage is, if that is known: no other record is read then.

    Raises:
        OSError: A file cannot be read.
    """
    for path in paths:
        try:
            if near_byte is None:
                for _ in read_record_file(path):
                    pass
            else:
                _check_record_at(path, near_byte)
        except CorruptRecordError as error:
            return path, error
    return None


def _check_record_at(path: str, byte: int) -> None:
    """Raises CorruptRecordError if the record that holds a byte of a file is damaged, or a length before it."""
    with _open(path, buffering=0) as file:
        size, offset, number = _size(file), 0, 0
        while offset < size and offset <= byte:
            file.seek(offset)
            length = _length_of(file.read(_HEADER_BYTES), offset, number)
            if byte < offset + FRAME_BYTES + length or offset + FRAME_BYTES + length > size:
                _record(file, length, offset, number)
            offset += FRAME_BYTES + length
            number += 1


def count_records(path: str) -> int:
    """Counts the records of one file by their lengths, without reading them.

    Args:
        path: A file here, or what `tf.io.gfile` opens (`gs://...`).

    Raises:
        CorruptRecordError: The file breaks off, or the checksum of a length is wrong; records' own are not.
        OSError: It cannot be read.
    """
    count = offset = 0
    with _open(path, buffering=0) as file:
        size = _size(file)
        while offset < size:
            file.seek(offset)
            length = _length_of(file.read(_HEADER_BYTES), offset, count)
            offset += FRAME_BYTES + length
            count += 1
    if offset > size:
        raise CorruptRecordError(
            f"truncated record: the file has {size} bytes, and its records {offset}", max(count - 1, 0)
        )
    return count


def masked_checksum(data: bytes) -> int:
    """Returns the CRC-32C of `data`, rotated and shifted as TFRecords have it."""
    checksum = google_crc32c.value(data)
    return (((checksum >> 15) | (checksum << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _length_of(header: bytes, offset: int, number: int) -> int:
    """Returns the length that a record's header says; `offset` is where it stands, in bytes."""
    if offset == 0 and header.startswith(_GZIP_START):
        raise CorruptRecordError("the file is compressed with gzip; unpack it", number)
    if len(header) < _HEADER_BYTES:
        raise CorruptRecordError(f"truncated record at byte {offset}: the file ends in its header", number)
    length_bytes = header[: _LENGTH.size]
    if masked_checksum(length_bytes) != _CHECKSUM.unpack(header[_LENGTH.size :])[0]:
        raise CorruptRecordError(f"corrupted record at byte {offset}: the checksum of its length is wrong", number)
    return int(_LENGTH.unpack(length_bytes)[0])


def _record(file: Any, length: int, offset: int, number: int) -> bytes:
    """Reads a record behind its header, which stands at `offset`."""
    if length > MAX_RECORD_BYTES:
        raise CorruptRecordError(f"corrupted record at byte {offset}: it says it has {length} bytes", number)
    record, checksum = file.read(length), file.read(_CHECKSUM.size)
    if len(record) < length or len(checksum) < _CHECKSUM.size:
        raise CorruptRecordError(f"truncated record at byte {offset}: {length} bytes were to follow", number)
    if masked_checksum(record) != _CHECKSUM.unpack(checksum)[0]:
        problem = f"corrupted record at byte {offset}: the checksum of its data is wrong"
        raise CorruptRecordError(problem, number, goes_on=True)
    return bytes(record)


def _size(file: Any) -> int:
    return int(file.seek(0, os.SEEK_END) if isinstance(file, io.IOBase) else file.size())


def _open(path: str, buffering: int = _BUFFER_BYTES) -> Any:
    if "://" not in path:
        return Path(path).open("rb", buffering=buffering)
    import tensorflow as tf

    return tf.io.gfile.GFile(path, "rb")
