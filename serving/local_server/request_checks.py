"""Checks of a Predict request before it costs anything: of its names, types, shapes and images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from data_prep.images.image_file import ImageError, read_header
from serving.client_library.image_requests import INPUT_NAME
from serving.local_server.options import RequestLimits
from serving.saved_models.loaded_model import IMAGE_BEGINNINGS
from serving.saved_models.status_errors import StatusError, invalid_argument
from serving.wire.tensors import DT_STRING, TensorError, array_of, type_name

IMAGES_OF_FULL_SIZE = 4  # that one request may hold


def find_signature(signatures: Any, name: str) -> Any:
    """Returns the SignatureDef called `name`.

    Raises:
        StatusError: FAILED_PRECONDITION, as TensorFlow Serving answers.
    """
    if name not in signatures:
        raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return signatures[name]


def read_inputs(inputs: Any, signature: Any, limits: RequestLimits) -> dict[str, np.ndarray]:
    """Reads a Predict request's inputs.

    Args:
        inputs: Input name -> TensorProto.
        signature: The SignatureDef that they are for.
        limits: How much they may hold.

    Returns:
        Input name -> array; `check_inputs` says whether they fit the signature.

    Raises:
        StatusError: INVALID_ARGUMENT: an input is missing, unknown, of another type, or holds no tensor.
    """
    check_input_names(inputs, signature)
    arrays = {}
    for name in sorted(inputs):
        tensor, info = inputs[name], signature.inputs[name]
        if tensor.dtype != info.dtype:
            raise invalid_argument(
                f'input "{name}" is of type {type_name(tensor.dtype)}; the signature takes {type_name(info.dtype)}'
            )
        try:
            arrays[name] = array_of(tensor, max_bytes=limits.max_tensor_bytes)
        except TensorError as error:
            raise invalid_argument(f"tensor parsing error: {name}: {error}") from error
    return arrays


def check_input_names(names: Collection[str], signature: Any) -> None:
    """Checks that there are all of a signature's inputs and no others.

    Raises:
        StatusError: INVALID_ARGUMENT: one is missing or unknown.
    """
    extra, missing = sorted(set(names) - set(signature.inputs)), sorted(set(signature.inputs) - set(names))
    if len(names) != len(signature.inputs):
        raise invalid_argument(
            f"input size does not match signature: {len(names)}!={len(signature.inputs)} "
            f"len({{{','.join(sorted(names))}}}) != len({{{','.join(sorted(signature.inputs))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
        )
    if extra:
        raise invalid_argument(
            f"input tensor alias not found in signature: {extra[0]}. "
            f"Inputs expected to be in the set {{{','.join(sorted(signature.inputs))}}}."
        )


def check_inputs(arrays: Mapping[str, np.ndarray], signature: Any, limits: RequestLimits) -> None:
    """Checks arrays of the right names and types against a signature's shapes, and encoded images by their headers.

    Raises:
        StatusError: INVALID_ARGUMENT: an input has another shape, or holds what is no image or too large a one.
    """
    for name, array in arrays.items():
        info = signature.inputs[name]
        if not _fits(array.shape, info.tensor_shape):
            wanted = [dimension.size if dimension.size >= 0 else "any" for dimension in info.tensor_shape.dim]
            shape = f"[{', '.join(map(str, wanted))}]"
            raise invalid_argument(f'input "{name}" has the shape {list(array.shape)}; the signature takes {shape}')
        if name == INPUT_NAME and info.dtype == DT_STRING:
            check_images(name, array.ravel().tolist(), limits.max_image_pixels)


def check_output_filter(output_filter: Sequence[str], signature: Any) -> list[str]:
    """Returns the names of the outputs to answer with: those asked for, or all.

    Raises:
        StatusError: INVALID_ARGUMENT: one is unknown or comes twice.
    """
    seen: set[str] = set()
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}."
            )
        if name in seen:
            raise invalid_argument(f"duplicate output tensor alias: {name}")
        seen.add(name)
    return list(output_filter) or sorted(signature.outputs)


def check_images(name: str, images: Iterable[bytes], max_image_pixels: int) -> None:
    """Looks at the headers of encoded images, so that none is decoded that would fill the memory.

    Raises:
        StatusError: INVALID_ARGUMENT: one is empty, has a broken header or too many pixels; or all together have.
    """
    total_pixels = 0
    for position, image in enumerate(images):
        try:
            header = read_header(image, max_image_pixels)
        except ImageError as error:
            if error.reason == "not a picture" and not image.startswith(IMAGE_BEGINNINGS):
                continue
            raise invalid_argument(f"{name}[{position}] is not a picture that can be decoded: {error}") from error
        total_pixels += header.width * header.height
    if total_pixels > IMAGES_OF_FULL_SIZE * max_image_pixels:
        raise invalid_argument(
            f"{name} holds pictures of {total_pixels / 1e6:.0f} megapixels together; at most "
            f"{IMAGES_OF_FULL_SIZE * max_image_pixels / 1e6:.0f} are taken: send fewer in one request"
        )


def _fits(shape: tuple[int, ...], wanted: Any) -> bool:
    if wanted.unknown_rank:
        return True
    sizes = [dimension.size for dimension in wanted.dim]
    return len(shape) == len(sizes) and all(size in (-1, given) for size, given in zip(sizes, shape, strict=True))
