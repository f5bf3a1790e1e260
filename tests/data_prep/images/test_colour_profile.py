from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from data_prep.images.colour_profile import MAX_PROFILE_BYTES, ColourProfileError, conversion_to_srgb
from data_prep.images.prepared_image import is_srgb, prepare_image
from data_prep.records.record_images import record_image
from tests.data_prep.icc_profiles import ADOBE_RGB, DISPLAY_P3, SRGB, grey_profile, in_srgb, rgb_profile
from tests.data_prep.image_bytes import encoded, new_image

PILLOWS_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COLOURS = np.array([[180, 60, 60], [60, 180, 60], [60, 60, 180], [200, 180, 40], [128, 128, 128], [250, 240, 230]])
GAMUTS = {"Display P3": DISPLAY_P3, "Adobe RGB": ADOBE_RGB}


def patches(mode: str = "RGB") -> Image.Image:
    """Patches of 32 pixels in `COLOURS`, one beside the other."""
    return (
        Image.fromarray(COLOURS.astype(np.uint8)[np.newaxis]).resize((192, 32), Image.Resampling.NEAREST).convert(mode)
    )


def colours_of(content: bytes) -> np.ndarray:
    """Returns the colours in the middles of the patches."""
    with Image.open(io.BytesIO(content)) as image:
        assert "icc_profile" not in image.info
        pixels = np.asarray(image.convert("RGB"), float)
    scale = pixels.shape[1] / 192
    return pixels[pixels.shape[0] // 2, (np.arange(16, 192, 32) * scale).astype(int)]


@pytest.mark.parametrize("gamut", GAMUTS)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("max_dimension", [None, 96])
def test_wide_gamuts_become_srgb(gamut: str, image_format: str, max_dimension: int | None) -> None:
    options = {"quality": 98, "subsampling": 0} if image_format == "JPEG" else {"lossless": True}
    content = encoded(patches(), image_format, icc_profile=rgb_profile(GAMUTS[gamut]), **options)
    prepared = prepare_image(content, max_dimension=max_dimension)
    assert "not sRGB" in prepared.changes
    expected = in_srgb(COLOURS, GAMUTS[gamut])
    assert np.abs(expected - COLOURS).max() > 15
    assert np.abs(colours_of(prepared.content) - expected).max() < 5


def test_what_is_srgb_stays_the_bytes_it_was_whatever_it_is_called() -> None:
    for profile in (PILLOWS_SRGB, PILLOWS_SRGB.replace(b"s\0R\0G\0B", b"A\0d\0o\0b")):
        content = encoded(new_image(), icc_profile=profile)
        assert is_srgb(content)
        assert prepare_image(content).content is content
        assert record_image(content).content is content
    assert is_srgb(encoded(new_image()))
    assert not is_srgb(encoded(new_image(), icc_profile=rgb_profile(SRGB, 2.4)))


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_colours_of_palettes_and_transparent_images_are_converted_too(mode: str) -> None:
    image = patches().quantize(len(COLOURS)) if mode == "P" else patches(mode)
    prepared = prepare_image(encoded(image, "PNG", icc_profile=rgb_profile(DISPLAY_P3)))
    assert {"not sRGB", f"{mode} pixels"} <= set(prepared.changes)
    assert np.abs(colours_of(prepared.content) - in_srgb(COLOURS, DISPLAY_P3)).max() < 8


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_grey_of_another_curve_becomes_that_of_srgb(image_format: str) -> None:
    grey = np.asarray(patches("L"), float)[16, 16::32]
    content = encoded(patches("L"), image_format, icc_profile=grey_profile(1.0))
    prepared = prepare_image(content)
    assert "not sRGB" in prepared.changes
    expected = in_srgb(np.repeat(grey[:, np.newaxis], 3, axis=1), SRGB, 1.0)
    assert np.abs(expected[:, 0] - grey).max() > 40
    assert np.abs(colours_of(prepared.content) - expected).max() < 4
    assert prepare_image(encoded(patches("L"), "JPEG", icc_profile=PILLOWS_SRGB)).changes == ()


BROKEN = {
    "no profile": b"nothing",
    "cut short": rgb_profile(DISPLAY_P3)[:300],
    "of grey": grey_profile(1.0),
    "of Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    "too large": rgb_profile(DISPLAY_P3) + bytes(MAX_PROFILE_BYTES),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_profile_that_cannot_be_used_is_ignored_and_goes(name: str) -> None:
    content = encoded(patches(), icc_profile=BROKEN[name], quality=98, subsampling=0)
    for prepared in (prepare_image(content), record_image(content), record_image(content, decode=False)):
        assert prepared.changes == ("unusable colour profile",)
        assert np.abs(colours_of(prepared.content) - COLOURS).max() < 4


def test_a_profile_of_rgb_is_no_profile_of_ink() -> None:
    image = new_image().convert("CMYK")
    image.info["icc_profile"] = rgb_profile(DISPLAY_P3)
    with pytest.raises(ColourProfileError, match="a profile of RGB pixels with CMYK ones"):
        conversion_to_srgb(image)
    assert {"CMYK pixels", "unusable colour profile"} == set(
        prepare_image(encoded(image, icc_profile=rgb_profile(DISPLAY_P3))).changes
    )


def test_large_images_are_converted_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(new_image(200, 150), "PNG", icc_profile=rgb_profile(ADOBE_RGB))
    whole = prepare_image(content).content
    monkeypatch.setattr("data_prep.images.colour_profile._STRIP_PIXELS", 1000)
    assert prepare_image(content).content == whole
