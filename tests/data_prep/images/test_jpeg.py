from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep.images.jpeg import JpegError, check_jpeg, decode_jpeg, encode_jpeg, num_scans

ROOT = Path(__file__).parents[3]


def jpeg(width: int, height: int, **options: Any) -> tuple[Image.Image, bytes]:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return image, buffer.getvalue()


def difference(left: Image.Image, right: Image.Image) -> float:
    """Of brightness: colours are kept at half the resolution."""
    return float(np.abs(np.asarray(left.convert("L"), float) - np.asarray(right.convert("L"), float)).mean())


@pytest.mark.parametrize(
    ("size", "target", "decoded"),
    [
        ((2560, 1920), (640, 480), (1280, 960)),
        ((2560, 1920), (1024, 768), (2560, 1920)),
        ((1281, 961), (320, 240), (640, 480)),  # 640.5: neither is nearer
        ((1283, 963), (100, 75), (321, 241)),  # a quarter is 320.75 x 240.75
        ((2000, 1500), (10, 8), (250, 188)),
        ((5000, 3), (128, 1), (5000, 3)),
        ((64, 48), (64, 48), (64, 48)),
    ],
)
def test_it_decodes_twice_what_is_wanted(
    size: tuple[int, int], target: tuple[int, int], decoded: tuple[int, int]
) -> None:
    image, content = jpeg(*size)
    pixels = decode_jpeg(content, *size, *target)
    assert pixels.shape == (decoded[1], decoded[0], 3)
    assert difference(Image.fromarray(pixels), image.resize(decoded, Image.Resampling.BOX)) < 4


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 2}])
@pytest.mark.parametrize("function", [check_jpeg, lambda content: decode_jpeg(content, 640, 480, 160, 120)])
def test_damage_and_cuts_show(options: dict[str, Any], function: Any) -> None:
    _, content = jpeg(640, 480, **options)
    function(content)
    middle = len(content) // 2
    for damaged in (content[:middle] + bytes(400) + content[middle + 400 :], content[:middle] + content[-2:]):
        with pytest.raises(JpegError) as caught:
            function(damaged)
        assert caught.value.is_damage
    for num_bytes in (middle, len(content) - 2):
        with pytest.raises(JpegError) as caught:
            function(content[:num_bytes])
        assert not caught.value.is_damage


def test_scans_are_counted() -> None:
    assert num_scans(jpeg(64, 48)[1]) == 1
    assert num_scans(jpeg(64, 48, progressive=True)[1]) == 10


@pytest.mark.parametrize("with_opencv", [False, True])
def test_what_is_encoded_is_the_image_without_metadata(with_opencv):
    ramp = np.linspace(0, 255, 48 * 64, dtype=np.uint8).reshape(48, 64)
    pixels = np.stack([ramp, 255 - ramp, ramp // 2], axis=-1)
    with Image.open(io.BytesIO(encode_jpeg(pixels, 92, with_opencv=with_opencv))) as encoded:
        assert (encoded.format, encoded.mode, encoded.size, dict(encoded.getexif())) == ("JPEG", "RGB", (64, 48), {})
        assert np.abs(np.asarray(encoded, float) - pixels).mean() < 3


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 17), (65, 33), (640, 480)])
def test_both_libraries_write_the_same_bytes(width, height):
    generator = np.random.default_rng(width)
    pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    for quality in (75, 92):
        assert encode_jpeg(pixels, quality) == encode_jpeg(pixels, quality, with_opencv=True)


def test_a_image_that_keeps_its_size_is_mended_without_opencv():
    code = """if True:
        import io, sys
        sys.modules["cv2"] = None  # as where it is not installed
        from PIL import Image
        from data_prep.images.prepared_image import prepare_image
        buffer = io.BytesIO()
        Image.new("CMYK", (40, 30), (0, 200, 0, 0)).save(buffer, "JPEG")
        print(prepare_image(buffer.getvalue()).changes)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "('CMYK pixels',)\n"
