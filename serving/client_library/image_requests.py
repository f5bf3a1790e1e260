"""Predict requests of images: found in folders, read within bounds, encoded as tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.images.image_file import ImageError, decode_rgb, read_header
from data_prep.images.prepared_image import prepare_image
from data_prep.runtime.command_line import UsageError
from serving.client_library.detections import OUTPUT_NAMES
from serving.client_library.image_sources import ImageSource, encoded_image
from serving.wire.messages import PredictRequest
from serving.wire.tensors import fill_tensor

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
SERVED_FORMATS = ("JPEG", "PNG")
INPUT_NAME = "input_tensor"
BYTES_AROUND_IMAGES = 65536  # of a request: names, shapes, and what gRPC adds


@dataclass(frozen=True)
class ImageInput:
    """An image that can be asked about.

    Attributes:
        encoded: A JPEG or PNG file, as it is sent.
        width: In pixels, before it was shrunk.
        height: In pixels, before it was shrunk.
    """

    encoded: bytes
    width: int
    height: int


def find_images(arguments: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Returns the files among `arguments` as they are, and of folders all .jpg, .jpeg and .png below, sorted.

    Names that begin with a dot are left out, and links to folders are not followed.

    Raises:
        UsageError: A path does not exist, or there is no image at all.
    """
    found: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found.extend(_images_below(path))
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"there is no file or folder {str(path)!r}")
    if not found:
        raise UsageError(f"no image ({', '.join(IMAGE_SUFFIXES)}) in {', '.join(map(str, arguments))}")
    return found


def read_image(source: ImageSource, max_bytes: int) -> ImageInput:
    """Reads an image; one that is neither JPEG nor PNG (WebP, BMP, GIF) is encoded anew as JPEG.

    Args:
        source: The file's content, with a name or without, its path, a PIL image or pixels.
        max_bytes: Larger files are refused.

    Raises:
        ImageError: It is missing, empty, too large, or no image.
        TypeError: It is nothing of which an image can be made.
    """
    encoded = encoded_image(source, max_bytes)
    header = read_header(encoded)
    if header.format not in SERVED_FORMATS:
        encoded = prepare_image(encoded, keep_formats=SERVED_FORMATS).content
    return ImageInput(encoded, header.width, header.height)


def pixels_of(image: ImageInput, max_bytes: int) -> np.ndarray:
    """Decodes an image to uint8 [1, height, width, 3], RGB, for a model that takes `image_tensor`.

    Raises:
        ImageError: It does not decode, or its pixels do not fit into `max_bytes`.
    """
    sent = read_header(image.encoded)
    size = sent.width * sent.height * 3
    if size > max_bytes:
        raise ImageError(
            "too many bytes", f"{sent.width}x{sent.height} pixels are {size} bytes, at most {max_bytes} fit"
        )
    return np.asarray(decode_rgb(image.encoded), np.uint8)[np.newaxis]


def encoded_array(images: Sequence[ImageInput]) -> np.ndarray:
    """Returns the encoded images as an object array [N] of bytes."""
    array = np.empty(len(images), object)
    array[:] = [image.encoded for image in images]
    return array


def not_a_detector(name: str, signature: Any) -> str:
    """Returns why the SignatureDef called `name` is not a detector's, to follow the model's name; "" if it is."""
    if set(signature.inputs) == {INPUT_NAME} and all(output in signature.outputs for output in OUTPUT_NAMES):
        return ""
    return (
        f"is no detector: signature {name!r} takes {', '.join(sorted(signature.inputs))} and answers "
        f"{', '.join(sorted(signature.outputs))}; a detector takes {INPUT_NAME} and answers {', '.join(OUTPUT_NAMES)}"
    )


def predict_request(
    model_name: str,
    signature_name: str,
    model_version: int | None,
    inputs: np.ndarray,
    *,
    version_label: str | None = None,
    output_names: Sequence[str] = OUTPUT_NAMES,
) -> Any:
    """Returns a PredictRequest for what a detector finds, and for nothing else that the model may answer.

    Args:
        model_name: What the server calls the model.
        signature_name: Which of its signatures.
        model_version: Which version; None for the newest, or that of the label.
        inputs: For `input_tensor`.
        version_label: Which version, by a label such as `stable`; a number goes before it.
        output_names: What is to be answered.
    """
    request = PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature_name
    if model_version is not None:
        request.model_spec.version.value = model_version
    elif version_label is not None:
        request.model_spec.version_label = version_label
    fill_tensor(request.inputs[INPUT_NAME], inputs)
    request.output_filter.extend(output_names)
    return request


def _images_below(folder: Path) -> list[Path]:
    found = []
    for directory, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += [
            Path(directory, name)
            for name in sorted(files)
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
    return found
