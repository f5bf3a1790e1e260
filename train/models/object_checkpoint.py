"""Reads TensorFlow 2's object-based checkpoints by the objects' paths, without building what was saved.

A checkpoint stores variables in the tree of Python objects that held them
(`model/_backbone/layer_with_weights-3/kernel`). Following such a path says for certain which saved value belongs to
which variable, whatever the variables were called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from data_prep.command_line import UserError

# What TensorFlow's reader raises, besides its own errors, for files that are cut short or damaged.
_READ_ERRORS = (tf.errors.OpError, ValueError, IndexError, KeyError, RuntimeError)
_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Children that hold the same objects once more, or nothing that trains.
_IGNORED_CHILDREN = frozenset({"_config_dict", "keras_api", "_self_unconditional_checkpoint_dependencies"})


def find_checkpoint(path: str | Path) -> str:
    """Finds the checkpoint that `path` means.

    Args:
        path: A checkpoint's prefix (`M/ckpt-300`), its `.index` file, or a folder: the newest checkpoint in it, or in
            the folder `checkpoint` inside it, as exported models have.

    Returns:
        The checkpoint's prefix.

    Raises:
        UserError: There is none.
    """
    path = Path(path)
    if path.is_dir():
        prefix = newest_checkpoint(path)
        if prefix is None:
            raise UserError(
                f"{path}: no checkpoint in this folder (no NAME-STEP.index file); train.train writes them into its "
                "--model_dir"
            )
        return prefix
    prefix = str(path).removesuffix(".index")
    if not Path(prefix + ".index").is_file():
        others = sorted(other.name.removesuffix(".index") for other in path.parent.glob("*.index"))
        hint = f"the folder has {', '.join(others[-5:])}" if others else "the folder has no checkpoints"
        raise UserError(f"{path}: no such checkpoint ({Path(prefix).name}.index is not there); {hint}")
    return prefix


def newest_checkpoint(folder: str | Path) -> str | None:
    """The newest checkpoint in a folder, or in the folder `checkpoint` inside it, or None where there is none (yet)."""
    for place in (Path(folder), Path(folder) / "checkpoint"):
        if place.is_dir() and (prefix := _newest_of(place)):
            return prefix
    return None


def _newest_of(folder: Path) -> str | None:
    """The newest checkpoint by TensorFlow's own `checkpoint` file, or, where a copy left that behind, by number."""
    state = folder / "checkpoint"
    if state.is_file():
        try:
            named = tf.train.latest_checkpoint(str(folder))
        except _READ_ERRORS:  # Unreadable; the numbers below say as much.
            named = None
        if named:  # The file may hold the absolute path of a folder that this one was copied from.
            here = folder / Path(named).name
            return str(here) if here.with_name(here.name + ".index").is_file() else named
    numbered = [
        (int(match[1]), file) for file in folder.glob("*.index") if (match := re.search(r"-(\d+)\.index$", file.name))
    ]
    return str(max(numbered)[1]).removesuffix(".index") if numbered else None


class ObjectCheckpoint:
    """One checkpoint, open for reading.

    Attributes:
        prefix: The checkpoint's prefix.
        names: Path of every saved variable but the optimizer's, in the checkpoint's order.
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
                raise UserError(
                    f"{self.prefix}: a checkpoint of TensorFlow 1, whose variables have names only; checkpoints of "
                    "TensorFlow 2 (fine_tune_checkpoint_version: V2) are read"
                )
            graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(self._reader.get_tensor(_GRAPH_KEY))
        except (*_READ_ERRORS, DecodeError) as error:
            raise self._unreadable(error) from error
        self._children = [{child.local_name: child.node_id for child in node.children} for node in graph.nodes]
        self._keys = [_value_key(node) for node in graph.nodes]
        self._averages = {
            slot.original_variable_node_id: slot.slot_variable_node_id
            for node in graph.nodes
            for slot in node.slot_variables
            if slot.slot_name == "average"
        }
        self.names = [
            key.removesuffix(_VALUE_SUFFIX)
            for key in self._shapes
            if key.endswith(_VALUE_SUFFIX) and "/.OPTIMIZER_SLOT/" not in key and not key.startswith("optimizer/")
        ]

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

    def shape_of(self, key: str) -> tuple[int, ...] | None:
        """The shape of the value at `key`, or None where there is none."""
        shape = self._shapes.get(key)
        return None if shape is None else tuple(shape)

    def read(self, keys: Sequence[str]) -> list[np.ndarray]:
        """The values at `keys`.

        Raises:
            UserError: One cannot be read (a file is cut short or damaged), or holds a number that is not finite.
        """
        values = []
        for key in keys:
            try:
                value = self._reader.get_tensor(key)
            except _READ_ERRORS as error:
                raise self._unreadable(error) from error
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                name = key.removesuffix(_VALUE_SUFFIX)
                raise UserError(
                    f"{self.prefix}: {name} holds numbers that are not finite: its training diverged; take another"
                )
            values.append(value)
        return values

    def _unreadable(self, error: Exception) -> UserError:
        detail = str(getattr(error, "message", error)).splitlines()
        return UserError(
            f"{self.prefix}: the checkpoint cannot be read: {detail[0][:200] if detail else type(error).__name__}"
        )


def _value_key(node: Any) -> str | None:
    return next((a.checkpoint_key for a in node.attributes if a.name == "VARIABLE_VALUE"), None)


def variables_by_path(root: Any) -> dict[str, tf.Variable]:
    """Every variable below an object, by the path of attribute names under which a checkpoint stores it.

    Args:
        root: A Keras layer or model, or a list of them.

    Returns:
        Variables by path, each once, under its shortest path; of a functional model's two names for a layer,
        `layer_with_weights-3` and `layer-17`, the first, which does not change with layers that have no weights.
    """
    found: dict[str, tf.Variable] = {}
    seen = {id(root)}
    queue: list[tuple[str, Any]] = [("", root)]
    for path, parent in queue:
        children = _children(parent)
        numbered = any(name.startswith("layer_with_weights-") for name in children)
        for name, child in children.items():
            if id(child) in seen or name in _IGNORED_CHILDREN or (numbered and name.startswith("layer-")):
                continue
            seen.add(id(child))
            child_path = f"{path}/{name}" if path else name
            if isinstance(child, tf.Variable):
                found[child_path] = child
            else:
                queue.append((child_path, child))
    return found


def _children(parent: Any) -> dict[str, Any]:
    if type(parent) in (list, tuple):  # Keras' own lists are trackable objects, and skip what is not.
        return {str(index): child for index, child in enumerate(parent)}
    return dict(tf.train.TrackableView.children(parent))
