"""Reader of TensorFlow 2's object-based checkpoints by the objects' paths, without building what was saved.

A checkpoint stores variables in the tree of Python objects that held them
(`model/_backbone/layer_with_weights-3/kernel`). Following such a path says for certain which saved value belongs to
which variable, whatever the variables were called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from data_prep.runtime.command_line import UserError
from train.checkpoints.files import READ_ERRORS, find_checkpoint
from train.checkpoints.values import read_values, unreadable

_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Variables that are no part of a model.
BOOKKEEPING = ("save_counter", "global_step", "step")
_STEP_KEYS = ("global_step" + VALUE_SUFFIX, "step" + VALUE_SUFFIX)


class TensorFlow1Error(UserError):
    """A checkpoint is of TensorFlow 1: its variables have names only, and no objects that hold them."""

    def __init__(self, prefix: str) -> None:
        """Says so, and what to do."""
        super().__init__(
            f"{prefix}: a checkpoint of TensorFlow 1, whose variables have names only; make one of TensorFlow 2 of it "
            "with python -m train.import_checkpoint"
        )


class ObjectCheckpoint:
    """One checkpoint, open for reading.

    Attributes:
        prefix: The checkpoint's prefix.
        names: Path of every saved variable but the optimizer's, in the checkpoint's order.
        optimizer_names: Path of every variable that is the optimizer's.
        slots: How many variables the optimizer keeps of each kind, such as `momentum` or `average`.
    """

    ROOT = 0

    def __init__(self, path: str | Path) -> None:
        """Opens the checkpoint that `find_checkpoint(path)` finds.

        Raises:
            UserError: There is none, it cannot be read, or it is not object-based.
        """
        self.prefix = find_checkpoint(path)
        try:
            self._reader = tf.train.load_checkpoint(self.prefix)
            self._shapes = self._reader.get_variable_to_shape_map()
            if _GRAPH_KEY not in self._shapes:
                raise TensorFlow1Error(self.prefix)
            graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(self._reader.get_tensor(_GRAPH_KEY))
        except (*READ_ERRORS, DecodeError) as error:
            raise unreadable(self.prefix, error) from error
        self._children = [{child.local_name: child.node_id for child in node.children} for node in graph.nodes]
        self._keys = [_value_key(node) for node in graph.nodes]
        slots = [slot for node in graph.nodes for slot in node.slot_variables]
        self.slots = Counter(slot.slot_name for slot in slots)
        self._averages = {
            slot.original_variable_node_id: slot.slot_variable_node_id for slot in slots if slot.slot_name == "average"
        }
        self._attributes = [{a.name: a.checkpoint_key for a in node.attributes} for node in graph.nodes]
        self.names: list[str] = []
        self.optimizer_names: list[str] = []
        for key in self._shapes:
            if key.endswith(VALUE_SUFFIX):
                is_optimizers = "/.OPTIMIZER_SLOT/" in key or key.startswith("optimizer/")
                (self.optimizer_names if is_optimizers else self.names).append(key.removesuffix(VALUE_SUFFIX))

    def children(self, node: int) -> dict[str, int]:
        """The nodes that a node's attributes lead to."""
        return self._children[node] if 0 <= node < len(self._children) else {}

    def follow(self, path: Iterable[str], node: int = ROOT) -> int | None:
        """The node at the end of `path`, a row of attribute names, or None."""
        for name in path:
            if not 0 <= node < len(self._children) or name not in self._children[node]:
                return None
            node = self._children[node][name]
        return node

    def key_of(self, node: int | None, *, moving_average: bool = False) -> str | None:
        """The key of the value that a variable's node holds, or None for another object.

        Args:
            node: A node, or None.
            moving_average: Whether the optimizer's moving average of it is wanted, where it keeps one.
        """
        if moving_average and node is not None:
            node = self._averages.get(node, node)
        return self._keys[node] if node is not None and 0 <= node < len(self._keys) else None

    @property
    def has_moving_averages(self) -> bool:
        """Whether an optimizer saved moving averages of the variables."""
        return bool(self._averages)

    @property
    def step(self) -> int | None:
        """The training step that it was saved at, where it says so: our trainer's `global_step`, the API's `step`."""
        key = next((key for key in _STEP_KEYS if key in self._shapes), None)
        if key is None or self._shapes[key]:
            return None
        return int(self.read([key])[0])

    def state_of(self, node: int | None) -> bytes | None:
        """The state that an object without a value wrote of itself (`tf.train.experimental.PythonState`), or None."""
        key = self._attributes[node].get("py_state") if node is not None else None
        if key is None or key not in self._shapes:
            return None
        value = self.read([key])[0]
        return value if isinstance(value, bytes) else None

    def shape_of(self, key: str) -> tuple[int, ...] | None:
        """The shape of the value at `key`, or None where there is none."""
        shape = self._shapes.get(key)
        return None if shape is None else tuple(shape)

    def read(self, keys: Sequence[str]) -> list[Any]:
        """The values at `keys`: arrays, or bytes where a text was saved.

        Raises:
            UserError: One cannot be read (a file is cut short or damaged), or holds a number that is not finite.
        """
        return read_values(self._reader, keys, self.prefix, lambda key: key.removesuffix(VALUE_SUFFIX))

    def count_unused(self, used: set[str]) -> dict[str, int]:
        """How many variables of a model, of each part, have keys that are not among `used`."""
        unused = Counter(_part_of(name) for name in self.names if f"{name}{VALUE_SUFFIX}" not in used)
        return {part: count for part, count in unused.items() if part not in BOOKKEEPING}


def _part_of(name: str) -> str:
    """The part of a checkpoint that a variable is of, as a report counts them."""
    pieces = [piece for piece in name.split("/") if piece not in ("model", "_model")]
    return pieces[0] if pieces else name


def _value_key(node: Any) -> str | None:
    return next((a.checkpoint_key for a in node.attributes if a.name == "VARIABLE_VALUE"), None)
