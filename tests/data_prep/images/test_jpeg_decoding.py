from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep.images.jpeg_decoding import JpegError, check_jpeg, decode_jpeg, num_scans


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
