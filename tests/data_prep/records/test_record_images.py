from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from data_prep.images.image_file import ImageError
from data_prep.images.prepared_image import prepare_image
from data_prep.records.record_images import record_image
from tests.data_prep.icc_profiles import DISPLAY_P3, SRGB, rgb_profile
from tests.data_prep.image_bytes import encoded


def image(mode: str = "RGB", size: tuple[int, int] = (120, 90)) -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image(), exif=exif)


JPEG = encoded(image())
IMAGES = {
    "jpeg": JPEG,
    "grey": encoded(image("L")),
    "progressive": encoded(image(), progressive=True),
    "no subsampling": encoded(image(), subsampling=0, quality=95),
    "one pixel": encoded(image(size=(1, 1))),
    "zeros after the end": JPEG + bytes(8),
    "cmyk": encoded(image("CMYK")),
    "png": encoded(image(), "PNG"),
    "palette": encoded(image("P"), "PNG"),
    "webp": encoded(image(), "WEBP"),
    "upright by exif": turned(1),
    "turned by exif": turned(6),
    "broken exif": JPEG[:2] + b"\xff\xe1\x00\x10Exif\0\0" + b"II*\0\xff\xff\xff\xff" + JPEG[2:],
    "wide gamut": encoded(image(), icc_profile=rgb_profile(DISPLAY_P3)),
    "nearly sRGB": encoded(image(), icc_profile=rgb_profile(SRGB, 2.3)),
    "sRGB": encoded(image(), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
    "grey of a wide gamut": encoded(image("L"), icc_profile=rgb_profile(DISPLAY_P3)),
    "broken profile": encoded(image(), icc_profile=b"nothing"),
    "half": JPEG[: len(JPEG) // 2],
    "without its end mark": JPEG[:-2],
    "garbage within": JPEG[: len(JPEG) // 2] + b"\xff\xd9" + JPEG[len(JPEG) // 2 + 2 :],
    "start alone": b"\xff\xd8\xff",
    "text": b"<html>",
    "empty": b"",
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_short_way_ends_where_the_long_one_does(name: str) -> None:
    content = IMAGES[name]
    try:
        expected = prepare_image(content, keep_formats=("JPEG", "PNG"))
    except ImageError as error:
        with pytest.raises(ImageError) as refused:
            record_image(content)
        assert refused.value.reason == error.reason
    else:
        assert record_image(content) == expected


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    header = JPEG.index(b"\xff\xc0")
    bomb = JPEG[: header + 5] + b"\xff\xff\xff\xff" + JPEG[header + 9 :]  # 65535 x 65535
    for decode in (True, False):
        with pytest.raises(ImageError, match="too many pixels"):
            record_image(bomb, decode=decode)


def test_without_decoding_header_and_end_must_do() -> None:
    middle = len(JPEG) // 2
    assert record_image(JPEG[:middle] + bytes(40) + JPEG[middle + 40 :], decode=False).changes == ()
    with pytest.raises(ImageError):
        record_image(JPEG[:middle], decode=False)
