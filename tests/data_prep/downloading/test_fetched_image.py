from __future__ import annotations

import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from data_prep.downloading.download_errors import DownloadError
from data_prep.downloading.fetched_image import accept_image, check_start
from data_prep.downloading.http_download import Fetched
from data_prep.downloading.image_sources import ImageSource

URL = "https://c2.staticflickr.com/6/5606/15611395595_f51465687d_o.jpg"


def encoded(image_format: str, mode: str = "RGB", size: tuple[int, int] = (90, 60), **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


def refused(content: bytes, source: ImageSource, url: str = "", *, complete: bool = True) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        accept_image(source, Fetched(content, url or source.url, complete), None)
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        encoded("JPEG"),
        encoded("JPEG", progressive=True),
        encoded("JPEG", "L"),
        encoded("JPEG", "CMYK"),
        encoded("JPEG", size=(1, 1)),
        encoded("JPEG", size=(3, 2000)),
        encoded("JPEG") + bytes(100),
        encoded("PNG", "P"),
        encoded("PNG", "I;16") if "I;16" in Image.MODES else encoded("PNG"),
        encoded("WEBP"),
        encoded("BMP"),
        encoded("GIF"),
    ],
)
def test_a_sound_image_is_kept_as_it_came(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        size = image.size
    photo = accept_image(ImageSource("a", "http://example.org/a.jpg"), Fetched(content, "", True), None)
    assert photo.content == content
    assert (photo.width, photo.height) == size
    assert not photo.shrunk


@pytest.mark.parametrize(
    ("image_format", "cut"),
    [
        *(("JPEG", cut) for cut in (4, 50, 1000)),  # the last two bytes are its end mark
        *(("WEBP", cut) for cut in (1, 50, 1000)),
        # The last 12 bytes of a PNG say no more than that it ends; validate_images encodes it anew.
        *(("PNG", cut) for cut in (50, 1000)),
    ],
)
def test_an_image_without_its_end_is_refused(image_format: str, cut: int) -> None:
    content = encoded(image_format)[:-cut]
    source = ImageSource("a", "http://example.org/a.jpg")
    # Where the server had not said how long it is, the connection may be to blame.
    for complete in (True, False):
        error = refused(content, source, complete=complete)
        assert error.permanent is complete
        assert source.url in error.detail


def test_an_end_mark_that_is_missing_is_left_to_validate_images() -> None:
    content = encoded("JPEG")[:-2]
    assert accept_image(ImageSource("a", URL), Fetched(content, URL, False), None).content == content


def test_pixels_of_a_progressive_jpeg_must_all_be_there() -> None:
    content = encoded("JPEG", progressive=True, size=(300, 200))
    assert refused(content[: len(content) // 2], ImageSource("a", URL)).reason == "does not decode"


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("max_dimension", [None, 40])
def test_an_animation_is_no_photograph(image_format: str, max_dimension: int | None) -> None:
    frames = [Image.new("RGB", (90, 60), colour) for colour in ("red", "green")]
    buffer = io.BytesIO()
    frames[0].save(buffer, image_format, save_all=True, append_images=frames[1:])
    source = ImageSource("a", "http://example.org/a.jpg")
    with pytest.raises(DownloadError) as caught:
        accept_image(source, Fetched(buffer.getvalue(), source.url, True), max_dimension)
    assert caught.value.reason == "animation"
    assert caught.value.permanent


def test_flickrs_placeholder_by_its_name() -> None:
    source = ImageSource("a", URL)
    png = encoded("PNG", size=(500, 374))
    for url in (
        "https://s.yimg.com/pw/images/en-us/photo_unavailable.png",
        "https://combo.staticflickr.com/pw/images/photo_unavailable_l.gif",
        "http://farm9.staticflickr.com/images/photo_unavailable.gif?x=1",
    ):
        error = refused(png, source, url)
        assert error.reason == "photo no longer available"
        assert error.permanent
        assert URL in error.detail
    photograph = encoded("JPEG")
    accept_image(source, Fetched(photograph, URL, True), None)


def test_flickrs_placeholder_by_its_content() -> None:
    small_png = encoded("PNG", "P", size=(50, 37))
    assert refused(small_png, ImageSource("a", URL)).reason == "photo no longer available"
    # A PNG that was asked for is one; so is one of another host, and one that is larger than the placeholder.
    accept_image(ImageSource("a", URL.replace(".jpg", ".png")), Fetched(small_png, URL, True), None)
    accept_image(
        ImageSource("a", "http://example.org/a.jpg"), Fetched(small_png, "http://example.org/a.jpg", True), None
    )
    accept_image(ImageSource("a", URL), Fetched(encoded("PNG", size=(200, 200)), URL, True), None)


def test_sums_and_sizes_come_before_decoding() -> None:
    content = b"no image at all, but 34 bytes long"
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    assert refused(content, ImageSource("a", URL, md5, 35)).reason == "wrong size"
    assert refused(content, ImageSource("a", URL, "AAAA" + md5[4:], len(content))).reason == "wrong MD5"
    assert refused(content, ImageSource("a", URL, md5, len(content))).reason == "not an image"
    image = encoded("JPEG")
    md5 = base64.b64encode(hashlib.md5(image).digest()).decode()
    for text in (md5, md5.rstrip("=")):
        accept_image(ImageSource("a", URL, text, len(image)), Fetched(image, URL, True), None)


def test_a_body_is_known_by_its_first_bytes() -> None:
    for image_format in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        check_start(encoded(image_format)[:32], URL)
    for start in (b"<!DOCTYPE html><html><head><meta>", b"\x00" * 32, b"%PDF-1.7" + bytes(24), b"\x1f\x8b" + bytes(30)):
        with pytest.raises(DownloadError, match="not an image"):
            check_start(start, URL)
