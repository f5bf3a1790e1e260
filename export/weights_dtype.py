"""Weights of half precision in an exported graph: half the bytes, and the same computation in float32.

A kernel is stored as float16 or bfloat16 and cast when the graph is loaded. TensorFlow's constant folding then does the
casts once, and what is left runs as if float32 had been stored; it folds only what comes out below 100 KiB, so that a
kernel is stored in pieces, cast piece by piece and put together. Whole kernels stayed casts of every run: 12% of an
answer of EfficientNet-Lite0 at 320 pixels, where pieces took nothing that could be measured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep.runtime.command_line import UserError
from train.models.detector import Detector

FLOAT32 = "float32"
# Values of a piece: 64 KiB of float32.
_PIECE = 16_384
# Smaller tensors, and vectors (biases, statistics of batch norm), are not worth what rounding takes of them.
_LEAST_VALUES = 1024


@contextlib.contextmanager
def rounded_weights(detector: Detector, dtype: str) -> Iterator[None]:
    """Gives a detector, within a `with`, the weights that are left when its kernels are stored in `dtype`.

    Args:
        detector: It has its own weights again afterwards.
        dtype: `float32`, `float16` or `bfloat16`.

    Raises:
        UserError: A weight is beyond what `dtype` can say.
    """
    half = tf.as_dtype(dtype)
    kernels = [v for v in detector.network.variables if half != tf.float32 and _is_kernel(v.shape, v.dtype)]
    own = [kernel.numpy() for kernel in kernels]
    try:
        for kernel, values in zip(kernels, own, strict=True):
            rounded = tf.cast(tf.cast(values, half), tf.float32)
            if not np.isfinite(rounded).all():
                raise UserError(
                    f"--weights_dtype {dtype}: {kernel.name} has weights of up to {np.abs(values).max():g}, "
                    f"which {dtype} cannot hold; use bfloat16, or float32"
                )
            kernel.assign(rounded)
        yield
    finally:
        for kernel, values in zip(kernels, own, strict=True):
            kernel.assign(values)


def store_weights_in(function: Any, weights: Collection[str], dtype: str) -> Any:
    """Returns a function that computes the same, with kernels stored in another type.

    Args:
        function: A frozen concrete function.
        weights: Names of its constants that were variables.
        dtype: `float16` or `bfloat16`, in which the kernels can be said exactly; see `rounded_weights`.
    """
    graph_def = function.graph.as_graph_def()
    nodes = list(graph_def.node)
    del graph_def.node[:]
    for node in nodes:
        # Asking any other node for its value would give it one.
        is_weight = node.op == "Const" and node.name in weights
        values = tf.make_ndarray(node.attr["value"].tensor) if is_weight else None
        if values is not None and _is_kernel(tf.TensorShape(values.shape), values.dtype):
            _store_in_pieces(graph_def, node.name, values, tf.as_dtype(dtype))
        else:
            graph_def.node.append(node)

    @tf.autograph.experimental.do_not_convert
    def imported(*inputs: tf.Tensor) -> list[tf.Tensor]:
        places = {tensor.name: given for tensor, given in zip(function.inputs, inputs, strict=True)}
        wanted = [tensor.name for tensor in function.outputs]
        return list(tf.graph_util.import_graph_def(graph_def, places, wanted, name=""))

    specs = [tf.TensorSpec.from_tensor(tensor) for tensor in function.inputs]
    return tf.function(imported, input_signature=specs).get_concrete_function()


def _is_kernel(shape: tf.TensorShape, dtype: Any) -> bool:
    return tf.as_dtype(dtype) == tf.float32 and shape.rank >= 2 and shape.num_elements() >= _LEAST_VALUES


def _store_in_pieces(graph_def: Any, name: str, values: np.ndarray, half: tf.DType) -> None:
    """Adds nodes to a GraphDef of which the last, called `name`, is `values` as float32."""
    float32 = tf.float32.as_datatype_enum

    def constant(suffix: str, array: np.ndarray, dtype: tf.DType) -> str:
        node = graph_def.node.add(name=f"{name}/{suffix}", op="Const")
        node.attr["dtype"].type = dtype.as_datatype_enum
        # As raw bytes, which `tf.make_tensor_proto` does not do for types of two bytes.
        tensor = node.attr["value"].tensor
        tensor.dtype, tensor.tensor_content = dtype.as_datatype_enum, array.tobytes()
        for side in array.shape:
            tensor.tensor_shape.dim.add(size=side)
        return str(node.name)

    flat = values.reshape(-1).astype(half.as_numpy_dtype)
    pieces = []
    for number, start in enumerate(range(0, flat.size, _PIECE)):
        stored = constant(f"stored_{number}", flat[start : start + _PIECE], half)
        cast = graph_def.node.add(name=f"{name}/piece_{number}", op="Cast", input=[stored])
        cast.attr["SrcT"].type, cast.attr["DstT"].type = half.as_datatype_enum, float32
        pieces.append(cast.name)
    together = pieces[0]
    if len(pieces) > 1:
        axis = constant("axis", np.array(0, np.int32), tf.int32)
        concat = graph_def.node.add(name=f"{name}/flat", op="ConcatV2", input=[*pieces, axis])
        concat.attr["N"].i = len(pieces)
        concat.attr["T"].type, concat.attr["Tidx"].type = float32, tf.int32.as_datatype_enum
        together = concat.name
    shape = constant("shape", np.array(values.shape, np.int32), tf.int32)
    reshape = graph_def.node.add(name=name, op="Reshape", input=[together, shape])
    reshape.attr["T"].type, reshape.attr["Tshape"].type = float32, tf.int32.as_datatype_enum
