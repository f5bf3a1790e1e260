from __future__ import annotations

import io
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.images import image_file
from data_prep.images.jpeg import encode_jpeg
from data_prep.runtime.command_line import UserError
from tests.data_prep.image_bytes import encoded, new_image


def photo(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """A smooth image with a bright corner at the top left, so that turning or mirroring it shows."""
    coarse = np.random.default_rng(seed).integers(0, 160, (6, 8, 3), dtype=np.uint8)
    coarse[0, 0] = 255
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_sound_jpeg_stays_the_bytes_it_was(options: dict[str, bool]) -> None:
    content = encoded(photo(), **options)
    prepared = image_file.prepare_image(content, max_dimension=64)
    assert prepared.content is content
    assert (prepared.format, prepared.width, prepared.height, prepared.changes) == ("JPEG", 64, 48, ())


def test_a_grey_jpeg_stays_grey() -> None:
    content = encoded(photo().convert("L"))
    assert image_file.prepare_image(content).content == content


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
    prepared = image_file.prepare_image(content)
    assert change in prepared.changes
    with Image.open(io.BytesIO(prepared.content)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 48))
        difference = np.asarray(image, float) - np.asarray(photo(), float)
    if change not in ("1 pixels", "P pixels"):  # dithered
        assert np.abs(difference).mean() < 8


def test_png_is_kept_where_that_is_asked_for_unless_its_end_is_missing() -> None:
    content = encoded(photo(), "PNG")
    assert image_file.prepare_image(content, keep_formats=("JPEG", "PNG")).content == content
    cut = image_file.prepare_image(content[:-4], keep_formats=("JPEG", "PNG"))
    assert (cut.format, cut.changes) == ("JPEG", ("no end of file mark",))


def test_sixteen_bit_grey_keeps_its_upper_bits() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    rgb = image_file.decode_rgb(encoded(Image.fromarray(ramp), "PNG"))
    assert np.array_equal(np.asarray(rgb)[..., 1], ramp >> 8)


def test_transparency_is_laid_over_white_and_not_cut_off() -> None:
    image = photo().convert("RGBA")
    image.putalpha(0)  # the colours are there still, and no viewer shows them
    assert np.asarray(image_file.decode_rgb(encoded(image, "PNG"))).min() == 255


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert image_file.decode_rgb(content).getpixel((4, 4)) == (255, 0, 0)


def test_orientation_is_removed_and_never_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns this by 90 degrees
    prepared = image_file.prepare_image(encoded(photo(), exif=exif))
    assert prepared.changes == ("EXIF orientation",)
    with Image.open(io.BytesIO(prepared.content)) as image:
        assert image.size == (64, 48)
        assert dict(image.getexif()) == {}
        assert np.abs(np.asarray(image, float) - np.asarray(photo(), float)).mean() < 8


@pytest.mark.parametrize("size", [(1000, 700), (701, 1001), (333, 250), (5000, 3)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_shrinking_keeps_aspect_and_content(size: tuple[int, int], image_format: str) -> None:
    original = photo(*size)
    prepared = image_file.prepare_image(encoded(original, image_format), max_dimension=128)
    assert (prepared.width, prepared.height) == image_file.fitted_size(*size, 128)
    assert max(prepared.width, prepared.height) == 128
    assert "too large" in prepared.changes
    with Image.open(io.BytesIO(prepared.content)) as image:
        assert image.size == (prepared.width, prepared.height)
        reference = original.resize(image.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(image, float) - np.asarray(reference, float)).mean() < 6


def test_fitted_size() -> None:
    assert image_file.fitted_size(2048, 1000, 1024) == (1024, 500)
    assert image_file.fitted_size(1000, 1024, 1024) == (1000, 1024)
    assert image_file.fitted_size(9000, 1, 1024) == (1024, 1)
    assert image_file.fitted_size(9000, 9000, None) == (9000, 9000)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("max_dimension", [None, 100])
def test_a_truncated_image_is_refused(image_format: str, max_dimension: int | None) -> None:
    content = encoded(photo(800, 600), image_format)
    with pytest.raises(image_file.ImageError) as caught:
        image_file.prepare_image(content[: len(content) // 2], max_dimension=max_dimension)
    assert caught.value.reason == "does not decode"


@pytest.mark.parametrize("content", [b"<html>404</html>", b"\xff\xd8\xff", b"%PDF-1.7", bytes(100)])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(image_file.ImageError) as caught:
        image_file.read_header(content)
    assert caught.value.reason in ("not an image", "does not decode")


def test_nothing_is_refused_as_empty() -> None:
    with pytest.raises(image_file.ImageError, match="empty file"):
        image_file.read_header(b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [20_000, 10_001, 60_000])
def test_too_many_pixels_are_refused_before_they_are_decoded(side: int) -> None:
    # The header alone: were the pixels decoded, this would be a truncated file.
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + side.to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    header += zlib.crc32(header[12:]).to_bytes(4, "big") + b"\x00\x00\x10\x00IDAT" + bytes(100)
    for function in (image_file.read_header, image_file.prepare_image, image_file.decode_rgb):
        with pytest.raises(image_file.ImageError) as caught:
            function(header)
        assert caught.value.reason == "too many pixels"


def test_files_are_read_within_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 1000)
    assert image_file.read_image_file(path, max_bytes=1000) == b"x" * 1000
    for content, max_bytes, reason in ((b"x" * 1001, 1000, "too many bytes"), (b"", 1000, "empty file")):
        path.write_bytes(content)
        with pytest.raises(image_file.ImageError) as caught:
            image_file.read_image_file(path, max_bytes=max_bytes)
        assert caught.value.reason == reason
    with pytest.raises(image_file.ImageError, match="missing"):
        image_file.read_image_file(tmp_path / "none.jpg")


def test_files_are_found_by_id(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.webp", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    assert image_file.find_image(tmp_path, "a") == tmp_path / "a.jpg"
    assert image_file.find_image(tmp_path, "b") == tmp_path / "b.webp"
    assert image_file.find_image(tmp_path, "c") is None
    with pytest.raises(UserError, match="plain file name"):
        image_file.find_image(tmp_path, "../secret")


def test_an_error_comes_back_from_another_process_whole() -> None:
    error = pickle.loads(pickle.dumps(image_file.ImageError("too large", "12x12")))
    assert (error.reason, error.detail, str(error)) == ("too large", "12x12", "too large: 12x12")


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
    prepared = image_file.prepare_image(content)
    assert prepared.content == encode_jpeg(np.asarray(whole), image_file.JPEG_QUALITY)
