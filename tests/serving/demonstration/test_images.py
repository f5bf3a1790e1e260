"""Images as phones and people bring them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_prep.images.image_file import ImageError
from serving.demonstration.images import SHOWN_MAX_DIMENSION, read_upload
from tests.data_prep.image_bytes import encoded


def left_is_red(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", size, (20, 20, 220))
    image.paste((220, 20, 20), (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def test_an_upright_image_is_sent_as_it_was_uploads():
    content = encoded(left_is_red((64, 48)))
    image = read_upload("room.jpg", content)
    assert (image.content, image.width, image.height, image.turned) == (content, 64, 48, False)
    assert image.shown.size == (64, 48)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_phones_sideways_image_is_turned_upright_and_sent_so(mode):
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90 degrees clockwise: what is left is then on top
    image = read_upload("phone.jpg", encoded(left_is_red((64, 48), mode), exif=exif))
    assert (image.width, image.height, image.turned) == (48, 64, True)
    with Image.open(io.BytesIO(image.content)) as sent:
        assert (sent.size, sent.getexif().get(0x0112), sent.mode) == ((48, 64), None, "RGB")
        top, bottom = np.asarray(sent)[8, 24].astype(int), np.asarray(sent)[56, 24].astype(int)
    assert np.abs(top - bottom).max() > 20
    assert (np.asarray(image.shown)[8, 24].astype(int) - top).max() < 12
    if mode == "RGB":
        assert (top[0] > 200, bottom[2] > 200) == (True, True)


def test_a_broken_orientation_is_none():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert not read_upload("odd.jpg", encoded(left_is_red((64, 48)), exif=exif)).turned


def test_a_large_image_is_shown_smaller_and_sent_whole():
    content = encoded(left_is_red((3000, 2000)))
    image = read_upload("large.jpg", content)
    assert (image.content, image.width, image.shown.size) == (content, 3000, (SHOWN_MAX_DIMENSION, 853))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"not an image at all", "not an image"),
        (encoded(left_is_red((640, 480)))[:2000], "does not decode"),
        (encoded(Image.new("1", (20_000, 6_000)), "PNG"), "too many pixels"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(content, reason):
    with pytest.raises(ImageError) as caught:
        read_upload("bad", content)
    assert caught.value.reason == reason
