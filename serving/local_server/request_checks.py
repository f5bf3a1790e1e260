"""Checks of a Predict request before it costs anything: of its names, types, shapes and images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from serving.client_library.image_requests import INPUT_NAME
from serving.local_server.caller import Caller
from serving.local_server.image_checks import count_pixels
from serving.local_server.options import RequestLimits
from serving.local_server.request_memory import BYTES_OF_DECODED_PIXEL, COPIES_OF_TENSOR
from serving.saved_models.status_errors import StatusError, invalid_argument
from serving.wire.tensors import DT_STRING, TensorError, array_of, declared_bytes, type_name


def find_signature(signatures: Any, name: str) -> Any:
    """Returns the SignatureDef called `name`.

    Raises:
        StatusError: FAILED_PRECONDITION, as TensorFlow Serving answers.
    """
    if name not in signatures:
        raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return signatures[name]


def read_inputs(inputs: Any, signature: Any, limits: RequestLimits, caller: Caller) -> dict[str, np.ndarray]:
    """Reads a Predict request's inputs, each when there is memory for its array and what the model makes of it.

    Args:
        inputs: Input name -> TensorProto.
        signature: The SignatureDef that they are for.
        limits: How much they may hold.
        caller: Who asks, and holds the memory.

    Returns:
        Input name -> array; `check_inputs` says whether they fit the signature.

    Raises:
        StatusError: INVALID_ARGUMENT: an input is missing, unknown, of another type, or holds no tensor; or as
            `HeldMemory.grow`.
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
            # By its shape: a few bytes can declare a large array. Of one that is too large none is made.
            if (size := declared_bytes(tensor)) <= limits.max_tensor_bytes:
                caller.memory.grow(size * COPIES_OF_TENSOR, caller.seconds_left)
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


def check_inputs(arrays: Mapping[str, np.ndarray], signature: Any, limits: RequestLimits) -> int:
    """Checks arrays of the right names and types against a signature's shapes, and encoded images by their headers.

    Returns:
        How much memory the images take to decode, in bytes.

    Raises:
        StatusError: INVALID_ARGUMENT: an input has another shape, or holds what is no image or too large a one.
    """
    pixels = 0
    for name, array in arrays.items():
        info = signature.inputs[name]
        if not _fits(array.shape, info.tensor_shape):
            wanted = [dimension.size if dimension.size >= 0 else "any" for dimension in info.tensor_shape.dim]
            shape = f"[{', '.join(map(str, wanted))}]"
            raise invalid_argument(f'input "{name}" has the shape {list(array.shape)}; the signature takes {shape}')
        if info.dtype == DT_STRING:
            values = array.ravel().tolist()
            pixels += count_pixels(name, values, limits.max_image_pixels, are_images=name == INPUT_NAME)
    return pixels * BYTES_OF_DECODED_PIXEL


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


def _fits(shape: tuple[int, ...], wanted: Any) -> bool:
    if wanted.unknown_rank:
        return True
    sizes = [dimension.size for dimension in wanted.dim]
    return len(shape) == len(sizes) and all(size in (-1, given) for size, given in zip(sizes, shape, strict=True))
