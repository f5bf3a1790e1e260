"""Reader of a `.tflite` file of an SSD of TensorFlow 1: convolutions by slim's names, with batch norms unfolded.

The converter folds each batch norm into its convolution, of which a kernel and a bias are left. They come back as a
batch norm that adds the bias and changes nothing else: gamma 1, mean 0, variance 1 less epsilon. That is exact in
inference, where statistics are kept.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from data_prep.runtime.command_line import UserError
from train.checkpoints.tensorflow_1.frozen_graph import GraphFacts
from train.checkpoints.tensorflow_1.named_source import NamedSource

SUFFIX = ".tflite"
MAX_FILE_BYTES = 512 << 20

_IDENTIFIER = b"TFL3"
# What the generated classes raise for a file that is cut short or damaged.
_READ_ERRORS = (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError, UnicodeDecodeError)
_TYPES: dict[Any, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.FLOAT16: np.dtype("<f2"),
}
_OPERATION = re.compile(r"/(?:Relu6?|BatchNorm/.+|BiasAdd|Conv2D|separable_conv2d|(?<=/depthwise/)depthwise)\d*$")
_HEAD = re.compile(r"(?:ClassPredictor|BoxEncodingPredictor)$")


class TfliteFile(NamedSource):
    """A file whose convolutions have the names of a TensorFlow 1 model's.

    Attributes:
        facts: What the file says besides its weights.
        epsilon: Of the batch norms that the values are for.
    """

    kind = "a TensorFlow Lite file of a TensorFlow 1 model"

    def __init__(self, path: Path, *, epsilon: float = 0.001) -> None:
        """Reads the file.

        Args:
            path: The file.
            epsilon: Of the batch norms that the values are for.

        Raises:
            UserError: It cannot be read, or its weights are integers.
        """
        self.prefix, self.epsilon = str(path), epsilon
        model = _read(path)
        try:
            (graph,) = model.subgraphs
            self._values = dict(self._named(_convolutions(path, model, graph)))
            shape = [int(side) for side in graph.tensors[graph.inputs[0]].shape]
        except _READ_ERRORS as error:
            raise UserError(f"{path}: cannot be read: {type(error).__name__} in its graph") from error
        if not self._values:
            raise UserError(f"{path}: holds no convolutions with weights of floats")
        self.names = list(self._values)
        size = (shape[1], shape[2]) if len(shape) == 4 and min(shape) > 0 else None
        self.facts = GraphFacts(
            image_size=size, epsilons=(epsilon,), pads_explicitly=_pads_explicitly(graph), is_folded=True
        )

    def shape_of(self, key: str) -> tuple[int, ...] | None:
        """See `NamedSource.shape_of`."""
        value = self._values.get(key)
        return None if value is None else value.shape

    def read(self, keys: Sequence[str]) -> list[np.ndarray]:
        """See `NamedSource.read`; float32."""
        for key in keys:
            if not np.isfinite(self._values[key]).all():
                raise UserError(f"{self.prefix}: {key} holds numbers that are not finite: the file is damaged")
        return [self._values[key] for key in keys]

    def _named(
        self, convolutions: Iterator[tuple[str, bool, np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        for scope, is_depthwise, kernel, bias in convolutions:
            # Of [out, h, w, in], and [1, h, w, channels], to [h, w, in, out] and [h, w, channels, 1].
            yield f"{scope}/{'depthwise_weights' if is_depthwise else 'weights'}", kernel.transpose(1, 2, 3, 0)
            if _HEAD.search(scope):
                yield f"{scope}/biases", bias
                continue
            yield f"{scope}/BatchNorm/gamma", np.ones_like(bias)
            yield f"{scope}/BatchNorm/beta", bias
            yield f"{scope}/BatchNorm/moving_mean", np.zeros_like(bias)
            yield f"{scope}/BatchNorm/moving_variance", np.full_like(bias, 1.0 - self.epsilon)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(f"{path}: {size / 2**20:,.0f} MiB; at most {MAX_FILE_BYTES >> 20} are read")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if content[4:8] != _IDENTIFIER:
        raise UserError(f"{path}: is no TensorFlow Lite file (it does not have the mark TFL3)")
    try:
        return schema.ModelT.InitFromPackedBuf(content)
    except _READ_ERRORS as error:
        raise UserError(f"{path}: is cut short or damaged: {type(error).__name__} in its tables") from error


def _convolutions(path: Path, model: Any, graph: Any) -> Iterator[tuple[str, bool, np.ndarray, np.ndarray]]:
    """Scope, whether it is depthwise, kernel as the file has it, and bias, of each convolution in order."""
    stored: dict[int, int] = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind == schema.BuiltinOperator.DEQUANTIZE:
            stored[int(operator.outputs[0])] = int(operator.inputs[0])
        if kind not in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D):
            continue
        # The converter joins names of what it fused; an output's first one is the last operation's.
        name = graph.tensors[operator.outputs[0]].name.decode().split(";")[0]
        scope = _OPERATION.sub("", name)
        kernel, bias = (
            _values(path, model, graph.tensors[stored.get(int(index), int(index))], scope)
            for index in operator.inputs[1:3]
        )
        yield scope, kind == schema.BuiltinOperator.DEPTHWISE_CONV_2D, kernel, bias


def _pads_explicitly(graph: Any) -> bool:
    """Whether a depthwise convolution leaves padding to an operator of its own."""
    return any(
        isinstance(operator.builtinOptions, schema.DepthwiseConv2DOptionsT)
        and operator.builtinOptions.padding == schema.Padding.VALID
        for operator in graph.operators
    )


def _values(path: Path, model: Any, tensor: Any, scope: str) -> np.ndarray:
    """Float32 values of a constant."""
    if tensor.type not in _TYPES:
        raise UserError(
            f"{path}: {scope} has weights of integers (a quantized model), from which the float ones cannot be had "
            "back; give the float16 or float32 file"
        )
    data = model.buffers[tensor.buffer].data
    shape = [int(side) for side in tensor.shape]
    if data is None:
        raise ValueError("no constant")
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), _TYPES[tensor.type]).reshape(shape).astype(np.float32)
