"""Checks of encoded images before TensorFlow decodes them, by their headers: also of those inside a tf.Example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError

from data_prep.formats.example_proto import example_class
from data_prep.images.image_file import ImageError, read_header
from serving.saved_models.loaded_model import IMAGE_BEGINNINGS
from serving.saved_models.status_errors import invalid_argument

IMAGES_OF_FULL_SIZE = 4  # that one request may hold


def count_pixels(name: str, values: Sequence[bytes], max_image_pixels: int, *, are_images: bool) -> int:
    """Counts the pixels of encoded images, so that none is decoded that would fill the memory.

    A value that is neither an image nor a tf.Example with images in it counts nothing: no decoder takes it.

    Args:
        name: What the input is called, for messages.
        values: Encoded images, or serialised tf.Examples, or any other bytes.
        max_image_pixels: The largest image taken.
        are_images: Whether the input takes images or records of them: an empty value is refused then.

    Returns:
        The pixels of all of them together.

    Raises:
        StatusError: INVALID_ARGUMENT: one is empty, has a broken header or too many pixels; or all together have.
    """
    total_pixels = 0
    for position, value in enumerate(values):
        place = f"{name}[{position}]"
        if not value and not are_images:
            continue
        if not value or value.startswith(IMAGE_BEGINNINGS):
            total_pixels += _pixels_of(place, value, max_image_pixels)
            continue
        for key, image in _images_of_example(value):
            total_pixels += _pixels_of(f"{place}, {key} of its tf.Example,", image, max_image_pixels)
    if total_pixels > IMAGES_OF_FULL_SIZE * max_image_pixels:
        raise invalid_argument(
            f"{name} holds images of {total_pixels / 1e6:.0f} megapixels together; at most "
            f"{IMAGES_OF_FULL_SIZE * max_image_pixels / 1e6:.0f} are taken: send fewer in one request"
        )
    return total_pixels


def _pixels_of(place: str, image: bytes, max_image_pixels: int) -> int:
    try:
        header = read_header(image, max_image_pixels)
    except ImageError as error:
        raise invalid_argument(f"{place} is not an image that can be decoded: {error}") from error
    return header.width * header.height


def _images_of_example(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the key and the content of whatever image is in a serialised tf.Example, under any key."""
    try:
        features = example_class().FromString(value).features.feature
    except DecodeError:
        return
    for key in sorted(features):
        for content in features[key].bytes_list.value:
            if content.startswith(IMAGE_BEGINNINGS):
                yield key, content
