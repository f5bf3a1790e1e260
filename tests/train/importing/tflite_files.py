"""TensorFlow Lite files as the converter makes of a detector of TensorFlow 1, with the convolutions only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_TYPES = {"float32": schema.TensorType.FLOAT32, "float16": schema.TensorType.FLOAT16, "int8": schema.TensorType.INT8}
_CODES = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D, schema.BuiltinOperator.DEQUANTIZE)


def folded(values: Mapping[str, np.ndarray], epsilon: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias by scope, with batch norms folded in as the converter does."""
    convolutions = {}
    for name, kernel in values.items():
        scope, attribute = name.rsplit("/", 1)
        if attribute not in ("weights", "depthwise_weights"):
            continue
        if f"{scope}/biases" in values:
            convolutions[scope] = (kernel, values[f"{scope}/biases"])
            continue
        gamma, beta, mean, variance = (
            values[f"{scope}/BatchNorm/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        factor = gamma / np.sqrt(variance + epsilon)
        shaped = factor[:, np.newaxis] if attribute == "depthwise_weights" else factor
        convolutions[scope] = (kernel * shaped, beta - mean * factor)
    return convolutions


def write_tflite(
    path: Path,
    convolutions: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    dtype: str = "float32",
    size: tuple[int, int] = (96, 128),
) -> Path:
    model = schema.ModelT(version=3, description="test")
    model.operatorCodes = [schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code) for code in _CODES]
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT(tensors=[], operators=[], inputs=[0], outputs=[])

    def tensor(name: str, shape: tuple[int, ...], kind: int, value: np.ndarray | None = None) -> int:
        buffer = 0
        if value is not None:
            buffer = len(model.buffers)
            model.buffers.append(schema.BufferT(data=np.frombuffer(value.tobytes(), np.uint8)))
        graph.tensors.append(schema.TensorT(name=name, shape=list(shape), type=kind, buffer=buffer))
        return len(graph.tensors) - 1

    def constant(name: str, value: np.ndarray) -> int:
        index = tensor(name, value.shape, _TYPES[dtype], value.astype(dtype))
        if dtype != "float16":
            return index
        whole = tensor(f"{name}_dequantize", value.shape, _TYPES["float32"])
        graph.operators.append(schema.OperatorT(opcodeIndex=2, inputs=[index], outputs=[whole]))
        return whole

    last = tensor("normalized_input_image_tensor", (1, *size, 3), _TYPES["float32"])
    for scope, (kernel, bias) in convolutions.items():
        is_depthwise = "depthwise" in scope.rsplit("/", 1)[-1]
        stored = np.ascontiguousarray(kernel.transpose(3, 0, 1, 2))
        inputs = [last, constant(f"{scope}/Conv2D", stored), constant(f"{scope}/bias", bias)]
        end = "BiasAdd;x1" if scope.endswith("Predictor") else "Relu6;another/scope/Conv2D"
        output = tensor(f"{scope}/{end}", (1, 1, 1, len(bias)), _TYPES["float32"])
        graph.operators.append(schema.OperatorT(opcodeIndex=int(is_depthwise), inputs=inputs, outputs=[output]))
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
