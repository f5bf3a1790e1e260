from __future__ import annotations

import time

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from data_prep.images.image_file import ImageError, decode_rgb
from data_prep.images.jpeg_end import with_end_mark
from data_prep.images.prepared_image import prepare_image
from data_prep.records.record_images import record_image
from tests.data_prep.image_bytes import encoded, new_image

KINDS = {
    "baseline": encoded(new_image(160, 120), quality=90),
    "grey": encoded(new_image(160, 120).convert("L"), quality=90),
    "progressive": encoded(new_image(160, 120), quality=90, progressive=True),
    "with restart marks": encoded(new_image(160, 120), quality=90, restart_marker_blocks=4),
    "with a thumbnail": encoded(new_image(160, 120), exif=b"Exif\0\0" + encoded(new_image(16, 12))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_it_is_cut_it_is_taken_only_if_all_pixels_are_there(kind: str) -> None:
    content = KINDS[kind]
    pixels = simplejpeg.decode_jpeg(content)
    taken = []
    for cut in range(1, len(content) - 700):
        mended = with_end_mark(content[:-cut])
        if mended is not None:
            assert np.array_equal(simplejpeg.decode_jpeg(mended), pixels), cut
            taken.append(cut)
    assert taken[:2] == [1, 2]
    assert len(taken) <= 3  # a last byte may hold nothing but the bits that fill it up


@pytest.mark.parametrize("behind", [b"", bytes(8), bytes(1000), b"\xff\xd8 another image"])
def test_one_that_has_its_end_mark_is_left_alone(behind: bytes) -> None:
    assert with_end_mark(KINDS["baseline"] + behind) is None


def test_no_more_than_the_end_of_the_header_is_nothing() -> None:
    content = KINDS["baseline"]
    for length in range(4, 700):
        assert with_end_mark(content[:length]) is None


def test_what_is_made_to_take_long_does_not() -> None:
    start = KINDS["baseline"][:-2]
    frame = start[start.index(b"\xff\xc0") :][:4] + bytes(13) + b"\xff" * 60_000
    started = time.process_time()
    for content in (start + b"\xff" * 5_000_000, start + frame * 100, start + b"\xff\xfe\0\2" * 100_000):
        assert with_end_mark(content + bytes(64)) is None
    assert time.process_time() - started < 10


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_encoded_anew_everywhere(kind: str) -> None:
    content = KINDS[kind][:-2]
    expected = np.asarray(Image.fromarray(simplejpeg.decode_jpeg(KINDS[kind])), float)
    for prepared in (
        prepare_image(content), prepare_image(content, max_dimension=160), record_image(content),
        record_image(content, decode=False),
    ):  # fmt: skip
        assert prepared.changes == ("no end of file mark",)
        assert np.abs(simplejpeg.decode_jpeg(prepared.content) - expected).mean() < 3
    assert "too large" in prepare_image(content, max_dimension=80).changes
    assert np.abs(np.asarray(decode_rgb(content), float) - expected).max() < 1
    with pytest.raises(ImageError, match="does not decode"):
        prepare_image(content[:-20])
