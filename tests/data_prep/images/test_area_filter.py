from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data_prep.images.area_filter import shrink


def detailed(width: int, height: int) -> Image.Image:
    """Noise of all sizes, as photographs have, and some sharp edges."""
    random = np.random.default_rng(0)
    pixels = np.zeros((height, width, 3))
    for cells in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), float) / cells**0.7
    pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 20)
    return Image.fromarray(pixels.astype(np.uint8))


def error(pixels: np.ndarray, reference: Image.Image) -> float:
    return float(np.sqrt(np.mean((pixels.astype(float) - np.asarray(reference, float)) ** 2)))


@pytest.mark.parametrize("size", [(640, 480), (410, 307), (230, 173)])
def test_it_comes_as_close_to_lanczos_as_a_bicubic_filter_does(size: tuple[int, int]) -> None:
    image = detailed(1280, 960)
    lanczos = image.resize(size, Image.Resampling.LANCZOS)
    bicubic = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    shrunk = shrink(np.asarray(image), *size)
    area = np.asarray(image.resize(size, Image.Resampling.BOX))
    assert error(shrunk, lanczos) < 0.7 * error(area, lanczos)
    assert shrunk.shape == (size[1], size[0], 3)
    assert error(shrunk, lanczos) < error(bicubic, lanczos) + 0.2  # it rounds to whole numbers three times


@pytest.mark.parametrize("size", [(1200, 900), (1270, 953), (800, 600), (90, 68), (31, 23)])
def test_a_little_smaller_and_very_much_smaller(size: tuple[int, int]) -> None:
    image = detailed(1280, 960)
    assert error(shrink(np.asarray(image), *size), image.resize(size, Image.Resampling.LANCZOS)) < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 48), (64, 1), (5, 4), (63, 48)])
def test_flat_colour_stays(size: tuple[int, int]) -> None:
    pixels = np.full((48, 64, 3), (10, 128, 250), np.uint8)
    assert np.abs(shrink(pixels, *size).astype(int) - (10, 128, 250)).max() <= 1


def test_pixels_of_the_size_asked_for_are_given_back() -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    assert shrink(pixels, 64, 48) is pixels


@pytest.mark.parametrize("size", [(65, 48), (64, 49), (0, 10)])
def test_nothing_is_enlarged(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be shrunk"):
        shrink(np.zeros((48, 64, 3), np.uint8), *size)


def test_edges_stay_where_they_are() -> None:
    pixels = np.zeros((960, 1280, 3), np.uint8)
    pixels[240:, 320:] = 255
    shrunk = shrink(pixels, 512, 384)[..., 0]
    assert (shrunk[:95, :].max(), shrunk[:, :127].max()) <= (24, 24)  # a filter with sharp edges swings a little
    assert shrunk[97:, 129:].min() > 230
