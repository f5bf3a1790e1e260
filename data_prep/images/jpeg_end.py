"""JPEGs that lack their end mark and nothing else: all pixels are there, but no decoder that is strict takes them."""

from __future__ import annotations

import re
from typing import Final

from data_prep.images.jpeg import JpegError, check_jpeg

_END_MARK: Final = b"\xff\xd9"
_END_BYTES: Final = 64  # some cameras leave a few zeros behind the end mark
_MARKER: Final = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # between coefficients; a restart mark belongs to them
_START_OF_SCAN: Final = 0xDA
_START_OF_FRAME: Final = frozenset({0xC0, 0xC1, 0xC2})  # one pass, one pass of more bits, progressive
_FRAME_HEADER: Final = 6  # bytes before its components, of which the last is their number
_SHORTEST_SCAN_HEADER: Final = 8  # in bytes: of one component
_COEFFICIENTS: Final = 64  # of a block


def with_end_mark(content: bytes) -> bytes | None:
    """Returns a JPEG that is whole but for its end mark with one; None for any other, also one that is cut short.

    Every coefficient of such a JPEG is read: where one is missing, libjpeg says so when it meets the mark instead. Only
    whole passes over the image may be missing unsaid, and these are counted here.

    Args:
        content: A JPEG file of RGB or grey pixels, whose header has been checked.
    """
    if _END_MARK in content[-_END_BYTES:] or not _holds_all_passes(content):
        return None
    mended = content.removesuffix(b"\xff") + _END_MARK
    try:
        check_jpeg(mended)
    except JpegError:
        return None
    return mended


def _holds_all_passes(content: bytes) -> bool:
    """Tells whether the scans up to the file's end are to give every coefficient of every component to its last bit."""
    missing: set[tuple[int, int]] | None = None  # component, coefficient
    position = 2
    while (marker := _MARKER.search(content, position)) is not None:
        kind, begin = marker[1][0], marker.end()
        length = int.from_bytes(content[begin : begin + 2], "big")
        segment = content[begin + 2 : begin + length]
        position = begin + length
        if kind == _END_MARK[1]:
            return False  # it has one, and something else behind it
        if len(segment) < length - 2:
            return False
        if kind in _START_OF_FRAME and missing is None and len(segment) > _FRAME_HEADER:
            components = segment[_FRAME_HEADER : _FRAME_HEADER + 3 * segment[_FRAME_HEADER - 1] : 3]
            missing = {(component, number) for component in components for number in range(_COEFFICIENTS)}
        elif kind == _START_OF_SCAN and missing is not None and length >= _SHORTEST_SCAN_HEADER:
            first, last, bits = segment[-3:]
            if not bits & 15:  # else the lowest bits are to come
                scanned = segment[1 : 1 + 2 * segment[0] : 2]
                missing -= {(component, number) for component in scanned for number in range(first, last + 1)}
    return missing == set()
