from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.images.jpeg_encoding import encode_jpeg

ROOT = Path(__file__).parents[3]


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


def test_an_image_that_keeps_its_size_is_mended_without_opencv():
    code = """if True:
        import io, sys
        sys.modules["cv2"] = None  # as where it is not installed
        from PIL import Image
        from data_prep.images.image_file import prepare_image
        buffer = io.BytesIO()
        Image.new("CMYK", (40, 30), (0, 200, 0, 0)).save(buffer, "JPEG")
        print(prepare_image(buffer.getvalue()).changes)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "('CMYK pixels',)\n"
