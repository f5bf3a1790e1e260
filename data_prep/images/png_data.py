"""The chunks of a PNG: whether it holds all its pixels (where data end early, Pillow fills in black), or metadata."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">IIBBBBB")  # width, height, bits, colour type, compression, filter, interlace
_VALUES_A_PIXEL: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Adam7's seven passes: where each begins and how far its pixels are apart, for columns and for rows.
_PASSES: Final = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
_PIECE_BYTES: Final = 1024 * 1024
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
_KEYWORDS: Final = (b"Raw profile type", b"XML:com.adobe.xmp")  # of texts that hold EXIF or XMP
_KEYWORD_BYTES: Final = max(map(len, _KEYWORDS))


def holds_all_pixels(content: bytes) -> bool:
    """Tells whether the data of a PNG, of which Pillow has read the header, are as long as its size asks for.

    Args:
        content: The file. The image that counts is the first one of an animation.
    """
    chunks = _chunks(content)
    kind, header = next(chunks, (b"", b""))
    if kind != b"IHDR" or len(header) != _HEADER.size:
        return False
    width, height, bits, colour_type, _, _, interlace = _HEADER.unpack(header)
    bits_a_pixel = bits * _VALUES_A_PIXEL.get(colour_type, 0)
    missing = _data_bytes(width, height, bits_a_pixel, is_interlaced=interlace == 1)
    decompressor = zlib.decompressobj()
    try:
        for kind, data in chunks:
            if kind != b"IDAT":
                continue
            waiting = data
            while waiting and missing > 0:
                missing -= len(decompressor.decompress(waiting, _PIECE_BYTES))
                waiting = decompressor.unconsumed_tail
        while missing > 0 and (more := decompressor.decompress(decompressor.unconsumed_tail, _PIECE_BYTES)):
            missing -= len(more)
    except zlib.error:
        return False
    return missing <= 0


def has_metadata(source: Path | io.BytesIO) -> bool:
    """Tells whether a PNG has a chunk that may hold an EXIF orientation; its pixels are passed over unread.

    Raises:
        OSError: The file cannot be read.
    """
    with source.open("rb") if isinstance(source, Path) else source as file:
        file.seek(len(_SIGNATURE))
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            start = file.read(min(length, _KEYWORD_BYTES)) if head[4:] in _TEXTS else b""
            if head[4:] == b"eXIf" or start.startswith(_KEYWORDS):
                return True
            file.seek(length - len(start) + 4, os.SEEK_CUR)  # the checksum as well
    return False


def _data_bytes(width: int, height: int, bits_a_pixel: int, *, is_interlaced: bool) -> int:
    """Returns how long the data are once decompressed: each row is a byte for its filter, and its pixels."""
    if not is_interlaced:
        return height * (1 + -(-width * bits_a_pixel // 8))
    total = 0
    for first_column, column_step, first_row, row_step in _PASSES:
        columns, rows = -(-(width - first_column) // column_step), -(-(height - first_row) // row_step)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits_a_pixel // 8))
    return total


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview | bytes]]:
    view = memoryview(content)
    position = len(_SIGNATURE)
    while position + 8 <= len(view):
        length = int.from_bytes(view[position : position + 4], "big")
        yield bytes(view[position + 4 : position + 8]), view[position + 8 : position + 8 + length]
        position += 12 + length
