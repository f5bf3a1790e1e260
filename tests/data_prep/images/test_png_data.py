from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_prep.images import image_file, prepared_image
from data_prep.images.png_data import holds_all_pixels


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: int, height: int = 40, width: int = 30, pieces: int = 1) -> bytes:
    """A PNG of RGB that has an end, of whose rows only some are there; each chunk is as its checksum says."""
    data = zlib.compress(b"".join(b"\0" + bytes([200]) * 3 * width for _ in range(rows)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    size = -(-len(data) // pieces)
    chunks = b"".join(chunk(b"IDAT", data[start : start + size]) for start in range(0, len(data), size))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + chunk(b"IEND", b"")


@pytest.mark.parametrize("keep_formats", [("JPEG",), ("JPEG", "PNG")])
def test_a_png_whose_data_end_early_is_no_image_though_it_has_its_end(keep_formats: tuple[str, ...]) -> None:
    assert prepared_image.prepare_image(png(rows=40), keep_formats=keep_formats).height == 40
    for content in (png(rows=39), png(rows=39, pieces=3), png(rows=1), png(rows=0)):
        with pytest.raises(image_file.ImageError) as caught:
            prepared_image.prepare_image(content, keep_formats=keep_formats)
        assert caught.value.reason == "does not decode"
        with pytest.raises(image_file.ImageError):
            image_file.decode_rgb(content)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (9, 5), (300, 200)])
def test_a_whole_png_of_any_kind_of_pixels_holds_them_all(mode: str, size: tuple[int, int]) -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8))
    image = Image.new(mode, size) if mode == "I;16" else grey.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert holds_all_pixels(buffer.getvalue())


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (5, 5), (8, 8), (33, 17)])
def test_an_interlaced_png_has_the_rows_of_seven_images(width: int, height: int) -> None:
    passes = [
        (len(range(first_x, width, step_x)), len(range(first_y, height, step_y)))
        for first_x, step_x, first_y, step_y in (
            (0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)
        )
    ]  # fmt: skip
    rows = [bytes(1 + columns) for columns, count in passes if columns for _ in range(count)]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1))
    for last in (0, 1):
        data = b"".join(rows[: len(rows) - last])
        content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
        assert holds_all_pixels(content) == (not last)
