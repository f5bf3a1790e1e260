"""The frame of an image's boxes: by the annotated size, the image's, and its orientation."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from data_prep.annotations.frame import SIZED_AS_SHOWN, SIZED_AS_STORED, BoxesAreOf, Frame, frame_of
from data_prep.annotations.image_folder import ImageFile, examine_image_file
from data_prep.annotations.source_image import SourceImage
from data_prep.images import png_data
from data_prep.runtime.ledger import RejectedError
from tests.data_prep.image_bytes import turned


def frame(
    annotated: tuple[int, int] | None,
    stored: tuple[int, int],
    orientation: int,
    boxes_are_of: BoxesAreOf = "shown",
    *,
    is_relative: bool = False,
) -> Frame | str:
    """Returns the frame, or why there is none."""
    image = SourceImage("file:1", ("a.jpg",), is_relative, (), *(annotated or (None, None)))
    try:
        return frame_of(image, ImageFile(Path("a.jpg"), *stored, orientation), boxes_are_of)
    except RejectedError as error:
        return error.reason


def test_a_size_that_tells_is_checked_and_one_that_does_not_leaves_it_to_the_flag() -> None:
    assert frame((200, 100), (100, 200), 6) == Frame(200, 100, 6)
    assert frame((100, 50), (100, 200), 6) == Frame(100, 50, 6, is_scaled=True)
    assert frame((100, 200), (100, 200), 6) == SIZED_AS_STORED
    assert frame((50, 100), (100, 200), 6) == SIZED_AS_STORED
    assert frame((100, 200), (100, 200), 6, "stored") == Frame(100, 200, 1)
    assert frame((200, 100), (100, 200), 6, "stored") == SIZED_AS_SHOWN
    assert frame((100, 100), (100, 200), 6) == "another image size"
    assert frame((100, 200), (100, 200), 3) == Frame(100, 200, 3)
    assert frame((100, 200), (100, 200), 3, "stored") == Frame(100, 200, 1)
    assert frame((200, 100), (100, 200), 3) == "another image size"
    assert frame(None, (100, 200), 8) == Frame(200, 100, 8)
    assert frame(None, (100, 200), 8, "stored") == Frame(100, 200, 1)
    assert frame(None, (100, 200), 8, is_relative=True) == Frame(1, 1, 8)


def test_of_nearly_square_images_only_an_exact_size_tells() -> None:
    assert frame((100, 100), (100, 100), 6) == Frame(100, 100, 6)
    assert frame((1001, 1000), (1000, 1001), 6) == Frame(1001, 1000, 6)
    assert frame((1000, 1001), (1000, 1001), 6) == SIZED_AS_STORED
    assert frame((500, 501), (1000, 1001), 6) == Frame(500, 501, 6, is_scaled=True)
    assert frame((1001, 1000), (1000, 1001), 1) == Frame(1001, 1000, 1, is_scaled=True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_of_the_whole_image_stays_one(orientation: int) -> None:
    assert Frame(1, 1, orientation).stored(0.0, 0.0, 1.0, 1.0) == (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_orientation_is_found_in_every_format_that_has_one(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (30, 20)).save(path, exif=turned(6))
    assert examine_image_file(path) == ImageFile(path, 30, 20, 6)
    Image.new("RGB", (30, 20)).save(path)
    assert examine_image_file(path) == ImageFile(path, 30, 20, 1)


def test_a_png_is_not_decoded_to_look_for_an_orientation_unless_it_may_have_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Software", "a drawing program")
    Image.new("RGB", (300, 200)).save(path, pnginfo=notes)
    assert not png_data.has_metadata(path)
    content = path.read_bytes()
    exif = turned(8).tobytes().removeprefix(b"Exif\0\0")
    end = content.index(b"IEND") - 4  # behind the pixels, where Pillow reads only after them
    path.write_bytes(content[:end] + chunk(b"eXIf", exif) + content[end:])
    assert png_data.has_metadata(path)
    assert examine_image_file(path).orientation == 8
    for broken in (content[:20], content[:-9], content[:8] + b"\xff\xff\xff\xfftEXt", b""):
        path.write_bytes(broken)
        assert not png_data.has_metadata(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
