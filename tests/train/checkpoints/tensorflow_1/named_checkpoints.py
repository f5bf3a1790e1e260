"""Writers of TensorFlow 1's files, with names and values of the test's choosing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from train.checkpoints.tensorflow_1.slim_names import slim_names


def scramble(network, seed: int) -> None:
    random = np.random.default_rng(seed)
    for variable in network.variables:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))


def values_by_name(network) -> dict[str, np.ndarray]:
    """A network's values by the first of the names that TensorFlow 1 may have given them."""
    names = slim_names(network)
    return {names[id(variable)][0]: variable.numpy() for variable in network.variables if id(variable) in names}


def write_checkpoint(prefix: Path, values: Mapping[str, np.ndarray], *, one_file: bool = False) -> str:
    """As `tf.train.Saver` writes it, in its second format or its first."""
    names, tensors = list(values), [tf.constant(value) for value in values.values()]
    if one_file:
        tf.raw_ops.Save(filename=str(prefix), tensor_names=names, data=tensors)
    else:
        tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    return str(prefix)


def write_graph(path: Path, values: Mapping[str, np.ndarray], more: str = "") -> Path:
    """A frozen graph of constants; `more` are nodes in protobuf text."""
    from google.protobuf import text_format

    graph = text_format.Parse(more, graph_pb2.GraphDef())
    for name, value in values.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        node.attr["dtype"].type = node.attr["value"].tensor.dtype
    path.write_bytes(graph.SerializeToString())
    return path
