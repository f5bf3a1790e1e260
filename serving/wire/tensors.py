"""Conversion between TensorProto and NumPy, strictly and within bounds.

The functions take any message with TensorProto's fields: TensorFlow's own or that of `messages.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

DT_FLOAT = 1
DT_UINT8 = 4
DT_STRING = 7

# By the numbers of tensorflow/core/framework/types.proto: the name, the NumPy type (little-endian, as tensor_content
# is), and the repeated field that holds the values.
_TYPES: dict[int, tuple[str, str, str]] = {
    1: ("DT_FLOAT", "<f4", "float_val"),
    2: ("DT_DOUBLE", "<f8", "double_val"),
    3: ("DT_INT32", "<i4", "int_val"),
    4: ("DT_UINT8", "<u1", "int_val"),
    5: ("DT_INT16", "<i2", "int_val"),
    6: ("DT_INT8", "<i1", "int_val"),
    7: ("DT_STRING", "O", "string_val"),
    9: ("DT_INT64", "<i8", "int64_val"),
    10: ("DT_BOOL", "?", "bool_val"),
    17: ("DT_UINT16", "<u2", "int_val"),
    19: ("DT_HALF", "<f2", "half_val"),
    22: ("DT_UINT32", "<u4", "uint32_val"),
    23: ("DT_UINT64", "<u8", "uint64_val"),
}
_NUMBERS = {np.dtype(type_code): number for number, (_, type_code, _) in _TYPES.items()}


class TensorError(ValueError):
    """A TensorProto that holds no tensor, or one too large; the message says why."""


def type_name(number: int) -> str:
    """Returns the name of data type `number`, such as `DT_FLOAT`."""
    return _TYPES[number][0] if number in _TYPES else f"data type {number}"


def numpy_type(number: int) -> np.dtype | None:
    """Returns NumPy's type of the numbers or truth values of data type `number`; None for strings and unknown ones."""
    if number not in _TYPES or number == DT_STRING:
        return None
    return np.dtype(_TYPES[number][1])


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Returns the shape that `tensor` declares.

    Raises:
        TensorError: The rank or a dimension is unknown.
    """
    if tensor.tensor_shape.unknown_rank:
        raise TensorError("its shape has no rank")
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise TensorError(f"its shape {list(shape)} has a negative dimension")
    return shape


def declared_bytes(tensor: Any) -> int:
    """Returns how many bytes the array of `tensor` takes, by its shape; 0 for strings and for types not known here.

    Raises:
        TensorError: The rank or a dimension is unknown.
    """
    dtype = numpy_type(tensor.dtype)
    return 0 if dtype is None else math.prod(shape_of(tensor)) * dtype.itemsize


def array_of(tensor: Any, *, max_bytes: int) -> np.ndarray:
    """Reads a TensorProto.

    As in TensorFlow, fewer values than the shape has room for stand for the last one repeated, and none for zeros;
    since a few bytes can so declare any size, `max_bytes` bounds what is made of them. Strings must all be there.

    Args:
        tensor: The message.
        max_bytes: How large the array may become; what strings hold is bounded by the message itself.

    Returns:
        An array of the declared shape; strings are `bytes` in an object array. It may be read-only.

    Raises:
        TensorError: The message does not hold a tensor of a type known here, or declares one that is too large.
    """
    if tensor.dtype not in _TYPES:
        raise TensorError(f"its {type_name(tensor.dtype)} is not supported")
    _, type_code, field = _TYPES[tensor.dtype]
    shape = shape_of(tensor)
    count = math.prod(shape)
    if tensor.dtype == DT_STRING:
        return _string_array(tensor, shape, count)
    dtype = np.dtype(type_code)
    if count * dtype.itemsize > max_bytes:
        raise TensorError(
            f"its shape {list(shape)} takes {count * dtype.itemsize} bytes; at most {max_bytes} are taken"
        )
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise TensorError(
                f"its content is of {len(tensor.tensor_content)} bytes, but its shape {list(shape)} takes "
                f"{count * dtype.itemsize}"
            )
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = _values(getattr(tensor, field), dtype)
    if len(values) > count:
        raise TensorError(f"it has {len(values)} values, but its shape {list(shape)} takes {count}")
    array = np.full(count, values[-1] if len(values) else 0, dtype)
    array[: len(values)] = values
    return array.reshape(shape)


def fill_tensor(tensor: Any, array: np.ndarray, *, as_values: bool = False) -> None:
    """Writes `array` into the empty TensorProto `tensor`.

    Args:
        tensor: The message.
        array: Numbers, or `bytes` in an object array.
        as_values: Write numbers one by one (`float_val`), as TensorFlow Serving answers, rather than in one piece
            (`tensor_content`), which is faster.

    Raises:
        TensorError: NumPy's type has no TensorFlow type here.
    """
    number = _NUMBERS.get(array.dtype.newbyteorder("<"))
    if number is None:
        raise TensorError(f"NumPy's {array.dtype} is not supported")
    _, type_code, field = _TYPES[number]
    tensor.dtype = number
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if number == DT_STRING:
        tensor.string_val.extend(array.ravel().tolist())
    elif as_values and field != "half_val":
        getattr(tensor, field).extend(array.ravel().tolist())
    else:
        tensor.tensor_content = np.ascontiguousarray(array, type_code).tobytes()


def _string_array(tensor: Any, shape: tuple[int, ...], count: int) -> np.ndarray:
    if len(tensor.string_val) != count:
        raise TensorError(f"it has {len(tensor.string_val)} strings, but its shape {list(shape)} takes {count}")
    array = np.empty(count, object)
    array[:] = list(tensor.string_val)
    return array.reshape(shape)


def _values(field: Any, dtype: np.dtype) -> np.ndarray:
    if dtype == np.dtype("<f2"):
        return np.array(field, np.uint16).view(dtype)
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        return np.array(field, dtype)
    values = np.array(field, np.int32)
    limits = np.iinfo(dtype)
    if len(values) and (values.min() < limits.min or values.max() > limits.max):
        raise TensorError(f"it has values outside {limits.min}..{limits.max}, which is what {dtype} holds")
    return values.astype(dtype)
