"""Predict as JSON, in rows (`instances`) and in columns (`inputs`), as TensorFlow Serving has it."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from serving.client_library.channels import SERVING_DEFAULT
from serving.local_server.request_checks import check_input_names
from serving.saved_models.status_errors import StatusError, invalid_argument
from serving.wire.tensors import DT_STRING, numpy_type, type_name

ROWS, COLUMNS = "instances", "inputs"
BASE64_KEY = "b64"
BYTES_SUFFIX = "_bytes"  # outputs so called are bytes, others with strings are text
MAX_RANK = 32
_JSON_TYPES: dict[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}


@dataclass(frozen=True)
class JsonRequest:
    """A Predict request that came as JSON.

    Attributes:
        signature_name: Which signature it is for.
        layout: `ROWS` or `COLUMNS`; the answer is laid out alike.
        tensors: What is under that key, not looked at yet.
    """

    signature_name: str
    layout: str
    tensors: Any


def parse_request(body: bytes) -> JsonRequest:
    """Reads the JSON of a Predict request.

    Raises:
        StatusError: INVALID_ARGUMENT: it is no JSON, no object, or not one request in rows or in columns.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:  # also: no UTF-8; a number of thousands of digits
        raise invalid_argument(f"JSON Parse error: {error}"[:300]) from error
    if not isinstance(document, dict):
        raise invalid_argument('JSON Value: the request is no object, such as {"instances": [...]}')
    signature_name = document.get("signature_name", SERVING_DEFAULT)
    if not isinstance(signature_name, str):
        raise invalid_argument("'signature_name' key must be a string value.")
    layouts = [key for key in (ROWS, COLUMNS) if key in document]
    if not layouts:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    if len(layouts) > 1:
        raise invalid_argument("Not expecting both 'inputs' and 'instances' keys")
    if layouts[0] == ROWS and (not isinstance(document[ROWS], list) or not document[ROWS]):
        raise invalid_argument("'instances' has to be a list with at least one value")
    return JsonRequest(signature_name or SERVING_DEFAULT, layouts[0], document[layouts[0]])


def arrays_of(request: JsonRequest, signature: Any, *, max_bytes: int) -> dict[str, np.ndarray]:
    """Returns a request's inputs.

    Args:
        request: From `parse_request`.
        signature: The SignatureDef that it is for.
        max_bytes: How large one array of numbers may become.

    Returns:
        Input name -> array of the type that the signature has; strings are `bytes` in an object array.

    Raises:
        StatusError: INVALID_ARGUMENT: an input is missing, unknown, ragged, too large, or of another type.
    """
    tensors = _by_name(request, signature)
    check_input_names(tensors, signature)
    return {name: _array_of(name, value, signature.inputs[name].dtype, max_bytes) for name, value in tensors.items()}


def answer_of(outputs: Mapping[str, np.ndarray], layout: str) -> bytes:
    """Returns the JSON of an answer.

    Args:
        outputs: Output name -> array.
        layout: `ROWS` for one value or object a row, `COLUMNS` for one list an output.

    Raises:
        StatusError: INVALID_ARGUMENT: the outputs have not the same number of rows, so that there are none.
    """
    columns = {name: _values_of(name, array) for name, array in outputs.items()}
    if layout == COLUMNS:
        return _encoded({"outputs": next(iter(columns.values())) if len(columns) == 1 else columns})
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information; ask in columns, with 'inputs'")
    counts = {name: len(array) for name, array in outputs.items()}
    if len(set(counts.values())) > 1:
        raise invalid_argument(f"Tensors have inconsistent batch sizes {counts}; ask in columns, with 'inputs'")
    if len(columns) == 1:
        return _encoded({"predictions": next(iter(columns.values()))})
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _encoded({"predictions": rows})


def error_of(message: str) -> bytes:
    """Returns the JSON of an error."""
    return _encoded({"error": message})


def _by_name(request: JsonRequest, signature: Any) -> dict[str, Any]:
    """Returns input name -> nested lists."""
    names = list(signature.inputs)
    sample = request.tensors[0] if request.layout == ROWS else request.tensors
    if not isinstance(sample, dict) or _is_base64(sample):
        if len(names) != 1:
            raise invalid_argument(
                f"{request.layout!r} has no names, but the signature has the inputs {', '.join(sorted(names))}"
            )
        return {names[0]: request.tensors}
    if request.layout == COLUMNS:
        return sample
    for position, row in enumerate(request.tensors):
        if not isinstance(row, dict) or set(row) != set(sample):
            raise invalid_argument(f"instances[{position}] has not the same inputs as instances[0]")
    return {name: [row[name] for row in request.tensors] for name in sample}


def _array_of(name: str, value: Any, type_number: int, max_bytes: int) -> np.ndarray:
    shape, leaves = _flattened(name, value)
    kinds = set(map(type, leaves))
    if type_number == DT_STRING:
        array = np.empty(len(leaves), object)
        array[:] = [_bytes_of(name, leaf) for leaf in leaves]
        return array.reshape(shape)
    dtype = numpy_type(type_number)
    if dtype is None:
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"input {name}: {type_name(type_number)} cannot come as JSON")
    allowed = _JSON_TYPES[dtype.kind]
    if not kinds <= allowed:
        wrong = ", ".join(sorted(kind.__name__ for kind in kinds - allowed))
        raise invalid_argument(f"JSON Value: input {name} has {wrong}, not of expected type: {type_name(type_number)}")
    if len(leaves) * dtype.itemsize > max_bytes:
        raise invalid_argument(
            f"input {name} takes {len(leaves) * dtype.itemsize} bytes; at most {max_bytes} are taken"
        )
    try:
        return np.array(leaves, dtype).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise invalid_argument(
            f"JSON Value: input {name} has a number that {type_name(type_number)} cannot hold"
        ) from error


def _flattened(name: str, value: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Returns the shape of nested lists and their values, in order."""
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        if set(map(type, level)) != {list} or len(set(map(len, level))) != 1:
            raise invalid_argument(f"input {name}: lists at level {len(shape)} are not of one size")
        shape.append(len(level[0]))
        if len(shape) > MAX_RANK:
            raise invalid_argument(f"input {name}: lists in lists, more than {MAX_RANK} deep")
        level = list(itertools.chain.from_iterable(level))
    if list in set(map(type, level)):
        raise invalid_argument(f"input {name}: lists and values at the same level {len(shape)}")
    assert len(level) == math.prod(shape)
    return tuple(shape), level


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == [BASE64_KEY]


def _bytes_of(name: str, leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode("utf-8", "surrogatepass")
    if not _is_base64(leaf) or not isinstance(leaf[BASE64_KEY], str):
        raise invalid_argument(
            f'JSON Value: input {name} has {type(leaf).__name__}; DT_STRING is text, or {{"b64": "..."}}'
        )
    text = leaf[BASE64_KEY]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument(f"input {name}: Unable to base64 decode") from error


def _values_of(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        if name.endswith(BYTES_SUFFIX):
            return _mapped(array, lambda value: {BASE64_KEY: base64.b64encode(value).decode("ascii")})
        return _mapped(array, lambda value: value.decode("utf-8", "replace"))
    if array.dtype in (np.float32, np.float16):
        # 0.9, not 0.8999999761581421: the shortest text that reads back as the same number.
        return array.astype(np.str_).astype(np.float64).tolist()
    return array.tolist()


def _mapped(array: np.ndarray, function: Any) -> Any:
    if array.ndim == 0:
        return function(array.item())
    mapped = np.empty(array.size, object)
    mapped[:] = [function(value) for value in array.ravel().tolist()]
    return mapped.reshape(array.shape).tolist()


def _encoded(document: Any) -> bytes:
    return json.dumps(document).encode("ascii")
