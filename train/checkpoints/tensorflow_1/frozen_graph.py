"""Reader of frozen graphs (`frozen_inference_graph.pb`): the weights of their constants, without running the graph."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from data_prep.runtime.command_line import UserError
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.tensorflow_1.slim_names import SLIM_ATTRIBUTES

SUFFIX = ".pb"
# Protocol buffers hold no more.
MAX_FILE_BYTES = (2 << 30) - 1
# Of one tensor. A constant of one number repeated takes a few bytes in the file and any amount of memory.
MAX_TENSOR_NUMBERS = 1 << 27

_FLOATS = {tf.float16.as_datatype_enum, tf.bfloat16.as_datatype_enum, tf.float32.as_datatype_enum}
_FOLDED = re.compile(r"(?:_bn_offset|/BatchNorm/(?:FusedBatchNorm\w*|batchnorm/sub\w*))$")


class FrozenGraph(NamedSource):
    """A frozen graph, or a SavedModel of TensorFlow 1 whose weights are constants.

    Attributes:
        facts: What the graph says besides its weights.
    """

    kind = "a frozen graph of TensorFlow 1"

    def __init__(self, path: str | Path) -> None:
        """Reads the file.

        Raises:
            UserError: It cannot be read, is too large, or is no graph with weights.
        """
        self.prefix = str(path)
        nodes = _read_graph(Path(path)).node
        constants = {node.name: node.attr["value"].tensor for node in nodes if node.op == "Const"}
        self._tensors = {
            name: tensor
            for name, tensor in constants.items()
            if name.rsplit("/", 1)[-1] in SLIM_ATTRIBUTES and tensor.dtype in _FLOATS
        }
        self.names = list(self._tensors)
        if not self.names:
            raise UserError(f"{path}: {_why_no_weights(nodes, constants)}")
        self.facts = GraphFacts.of(nodes, constants)

    def shape_of(self, key: str) -> tuple[int, ...] | None:
        """See `NamedSource.shape_of`."""
        tensor = self._tensors.get(key)
        return None if tensor is None else tuple(dimension.size for dimension in tensor.tensor_shape.dim)

    def read(self, keys: Sequence[str]) -> list[np.ndarray]:
        """See `NamedSource.read`; float32."""
        return [self._read(key) for key in keys]

    def _read(self, key: str) -> np.ndarray:
        shape = self.shape_of(key)
        assert shape is not None
        if any(side < 0 for side in shape) or math.prod(shape) > MAX_TENSOR_NUMBERS:
            raise UserError(f"{self.prefix}: {key} is {list(shape)}: no layer's weights")
        try:
            value = np.asarray(tf.make_ndarray(self._tensors[key])).astype(np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.prefix}: {key} cannot be read: {str(error).splitlines()[0][:200]}") from error
        if not np.isfinite(value).all():
            raise UserError(f"{self.prefix}: {key} holds numbers that are not finite: the file is damaged")
        return value


def _read_graph(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(f"{path}: {size / 2**30:.1f} GiB; a graph file holds at most 2 GiB, so this is none")
    try:
        content = path.read_bytes()
        if path.name == "saved_model.pb":
            meta_graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs
            graph = meta_graphs[0].graph_def if meta_graphs else graph_pb2.GraphDef()
        else:
            graph = graph_pb2.GraphDef.FromString(content)
    except DecodeError as error:
        raise UserError(f"{path}: is no graph that can be read: cut short, damaged, or another kind of file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not graph.node:
        raise UserError(f"{path}: holds no graph: cut short, damaged, or another kind of file")
    return graph


def _why_no_weights(nodes: Iterable[Any], constants: Mapping[str, Any]) -> str:
    if any(node.op in ("VariableV2", "Variable", "VarHandleOp") for node in nodes):
        return "a graph whose weights are variables of a checkpoint beside it; give the checkpoint (model.ckpt)"
    if any("quint8" in name or "quantized" in name.lower() for name in constants):
        return "a graph of integers (quantized); give the float one"
    return "a graph without weights as tf_slim names them (.../weights, .../BatchNorm/gamma)"


@dataclass(frozen=True)
class GraphFacts:
    """What a detection graph of the Object Detection API says besides its weights; None where it does not.

    Attributes:
        image_size: Height and width that it resizes images to.
        score_converter: `SIGMOID`, `SOFTMAX` or `IDENTITY`.
        epsilons: Of its batch norms.
        anchor_scales: By feature map, of each anchor; empty where the graph does not hold them so.
        anchor_ratios: By feature map, of each anchor: width to height.
        iou_threshold: Of its NMS.
        score_threshold: Of its NMS.
        box_scales: What codes are divided by: y, x, height, width; None where the graph does not hold them so.
        pads_explicitly: Whether images are padded by kernels' sizes (`use_explicit_padding`).
        is_folded: Whether batch norms were folded into convolutions.
        is_simulating_quantization: Whether it rounds weights and activations as an integer model would.
    """

    image_size: tuple[int, int] | None = None
    score_converter: str | None = None
    epsilons: tuple[float, ...] = ()
    anchor_scales: tuple[tuple[float, ...], ...] = ()
    anchor_ratios: tuple[tuple[float, ...], ...] = ()
    iou_threshold: float | None = None
    score_threshold: float | None = None
    box_scales: tuple[float, ...] | None = None
    pads_explicitly: bool = False
    is_folded: bool = False
    is_simulating_quantization: bool = False

    @classmethod
    def of(cls, nodes: Iterable[Any], constants: Mapping[str, Any]) -> GraphFacts:
        """Looks through a graph's nodes."""
        nodes = list(nodes)
        by_name = {node.name: node for node in nodes}
        epsilons = {
            round(float(node.attr["epsilon"].f), 8) for node in nodes if node.op.startswith("FusedBatchNorm")
        } | set(_scalars(constants, r"/BatchNorm/batchnorm/add/y$"))
        converters = {"Sigmoid": "SIGMOID", "Softmax": "SOFTMAX", "Identity": "IDENTITY"}
        converter = by_name.get("Postprocessor/convert_scores")
        ious = _scalars(constants, r"[Nn]on_?[Mm]ax_?[Ss]uppression\w*/iou_threshold$")
        scores = _scalars(constants, r"FilterGreaterThan\w*/Greater/y$")
        scales, ratios = _anchors(by_name, constants)
        return cls(
            image_size=_image_size(nodes, by_name, constants),
            score_converter=None if converter is None else converters.get(converter.op),
            epsilons=tuple(sorted(epsilons)),
            anchor_scales=scales,
            anchor_ratios=ratios,
            iou_threshold=ious[0] if ious else None,
            score_threshold=scores[0] if scores else None,
            box_scales=_box_scales(constants),
            pads_explicitly=any(
                node.op == "DepthwiseConv2dNative" and node.attr["padding"].s == b"VALID" for node in nodes
            ),
            is_folded=any(_FOLDED.search(name) for name in constants),
            is_simulating_quantization=any(node.op.startswith("FakeQuant") for node in nodes),
        )


def _small(tensor: Any) -> np.ndarray | None:
    """A constant's values where they are few."""
    if math.prod(max(dimension.size, 0) for dimension in tensor.tensor_shape.dim) > 64:
        return None
    try:
        return np.asarray(tf.make_ndarray(tensor))
    except (TypeError, ValueError):
        return None


def _scalars(constants: Mapping[str, Any], pattern: str) -> list[float]:
    found = (_small(tensor) for name, tensor in constants.items() if re.search(pattern, name))
    return sorted({round(float(value), 8) for value in found if value is not None and value.size == 1})


def _box_scales(constants: Mapping[str, Any]) -> tuple[float, ...] | None:
    names = [f"Postprocessor/Decode/div{suffix}/y" for suffix in ("", "_1", "_2", "_3")]
    values = [value for name in names if name in constants and (value := _small(constants[name])) is not None]
    return tuple(float(value) for value in values) if len(values) == len(names) else None


def _image_size(
    nodes: Iterable[Any], by_name: Mapping[str, Any], constants: Mapping[str, Any]
) -> tuple[int, int] | None:
    for node in nodes:
        if node.op != "ResizeBilinear" or not node.name.startswith("Preprocessor/") or len(node.input) < 2:
            continue
        given = node.input[1].split(":")[0]
        inputs = by_name[given].input if given in by_name and by_name[given].op == "Pack" else [given]
        values = [_small(constants[name]) for name in inputs if name in constants]
        sides = [int(side) for value in values if value is not None for side in value.ravel()]
        if len(sides) == 2:
            return sides[0], sides[1]
    return None


def _anchors(
    by_name: Mapping[str, Any], constants: Mapping[str, Any]
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Scales and aspect ratios by feature map: heights are scales over the roots of ratios, in this order of maps."""
    scales: list[tuple[float, ...]] = []
    ratios: list[tuple[float, ...]] = []
    roots = sorted(
        (int(match[1] or 0), node)
        for name, node in by_name.items()
        if (match := re.fullmatch(r"MultipleGridAnchorGenerator/Sqrt(?:_(\d+))?", name))
    )
    for _, root in roots:
        quotient = next(
            (
                node
                for node in by_name.values()
                if node.op in ("RealDiv", "Div") and len(node.input) == 2 and node.input[1] == root.name
            ),
            None,
        )
        tensors = [constants.get(name) for name in (root.input[0], quotient.input[0] if quotient else "")]
        values = [value for tensor in tensors if tensor is not None and (value := _small(tensor)) is not None]
        if len(values) != len(tensors):
            return (), ()
        ratios.append(tuple(round(float(number), 5) for number in np.ravel(values[0])))
        scales.append(tuple(round(float(number), 5) for number in np.ravel(values[1])))
    return tuple(scales), tuple(ratios)
