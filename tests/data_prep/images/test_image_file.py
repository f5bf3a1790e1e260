from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.images import image_file, prepared_image
from data_prep.runtime.command_line import UserError
from tests.data_prep.image_bytes import encoded, photo


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


def test_fitted_size() -> None:
    assert image_file.fitted_size(2048, 1000, 1024) == (1024, 500)
    assert image_file.fitted_size(1000, 1024, 1024) == (1000, 1024)
    assert image_file.fitted_size(9000, 1, 1024) == (1024, 1)
    assert image_file.fitted_size(9000, 9000, None) == (9000, 9000)


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
    for function in (image_file.read_header, prepared_image.prepare_image, image_file.decode_rgb):
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
