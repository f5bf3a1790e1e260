from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_prep.images import image_file, prepared_image
from data_prep.images.jpeg import encode_jpeg
from tests.data_prep.image_bytes import encoded, new_image, photo


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_sound_jpeg_stays_the_bytes_it_was(options: dict[str, bool]) -> None:
    content = encoded(photo(), **options)
    prepared = prepared_image.prepare_image(content, max_dimension=64)
    assert prepared.content is content
    assert (prepared.format, prepared.width, prepared.height, prepared.changes) == ("JPEG", 64, 48, ())


def test_a_grey_jpeg_stays_grey() -> None:
    content = encoded(photo().convert("L"))
    assert prepared_image.prepare_image(content).content == content


@pytest.mark.parametrize(
    ("content", "change"),
    [
        (encoded(photo(), "PNG"), "PNG file"),
        (encoded(photo(), "WEBP"), "WEBP file"),
        (encoded(photo(), "BMP"), "BMP file"),
        (encoded(photo(), "GIF"), "GIF file"),
        (encoded(photo().convert("CMYK")), "CMYK pixels"),
        (encoded(photo().convert("P"), "PNG"), "P pixels"),
        (encoded(photo().convert("RGBA"), "PNG"), "RGBA pixels"),
        (encoded(photo().convert("1"), "PNG"), "1 pixels"),
    ],
)
def test_what_is_not_an_rgb_jpeg_becomes_one(content: bytes, change: str) -> None:
    prepared = prepared_image.prepare_image(content)
    assert change in prepared.changes
    with Image.open(io.BytesIO(prepared.content)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 48))
        difference = np.asarray(image, float) - np.asarray(photo(), float)
    if change not in ("1 pixels", "P pixels"):  # dithered
        assert np.abs(difference).mean() < 8


def test_png_is_kept_where_that_is_asked_for_unless_its_end_is_missing() -> None:
    content = encoded(photo(), "PNG")
    assert prepared_image.prepare_image(content, keep_formats=("JPEG", "PNG")).content == content
    cut = prepared_image.prepare_image(content[:-4], keep_formats=("JPEG", "PNG"))
    assert (cut.format, cut.changes) == ("JPEG", ("no end of file mark",))


def test_orientation_is_removed_and_never_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns this by 90 degrees
    prepared = prepared_image.prepare_image(encoded(photo(), exif=exif))
    assert prepared.changes == ("EXIF orientation",)
    with Image.open(io.BytesIO(prepared.content)) as image:
        assert image.size == (64, 48)
        assert dict(image.getexif()) == {}
        assert np.abs(np.asarray(image, float) - np.asarray(photo(), float)).mean() < 8


@pytest.mark.parametrize("size", [(1000, 700), (701, 1001), (333, 250), (5000, 3)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_shrinking_keeps_aspect_and_content(size: tuple[int, int], image_format: str) -> None:
    original = photo(*size)
    prepared = prepared_image.prepare_image(encoded(original, image_format), max_dimension=128)
    assert (prepared.width, prepared.height) == image_file.fitted_size(*size, 128)
    assert max(prepared.width, prepared.height) == 128
    assert "too large" in prepared.changes
    with Image.open(io.BytesIO(prepared.content)) as image:
        assert image.size == (prepared.width, prepared.height)
        reference = original.resize(image.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(image, float) - np.asarray(reference, float)).mean() < 6


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("max_dimension", [None, 100])
def test_a_truncated_image_is_refused(image_format: str, max_dimension: int | None) -> None:
    content = encoded(photo(800, 600), image_format)
    with pytest.raises(image_file.ImageError) as caught:
        prepared_image.prepare_image(content[: len(content) // 2], max_dimension=max_dimension)
    assert caught.value.reason == "does not decode"


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_an_image_converted_in_strips_is_what_it_is_as_a_whole(mode: str) -> None:
    """2100x2000 pixels are more than a strip of four million."""
    colours = new_image(2100, 2000)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(colours.convert("L")).astype(np.uint16) * 257)
        whole = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    elif mode.endswith("A"):
        image = colours.convert(mode)
        image.putalpha(colours.getchannel("G"))
        ground = Image.new("RGBA", image.size, "white")
        whole = Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    else:
        image = colours.convert(mode)
        whole = image.convert("RGB")
    content = encoded(image, "PNG")
    np.testing.assert_array_equal(np.asarray(image_file.decode_rgb(content)), np.asarray(whole))
    prepared = prepared_image.prepare_image(content)
    assert prepared.content == encode_jpeg(np.asarray(whole), prepared_image.JPEG_QUALITY)
