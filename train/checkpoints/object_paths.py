"""The paths of attribute names under which checkpoints of TensorFlow 2 store a living object's variables."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Children that hold the same objects once more, or nothing that trains.
_IGNORED_CHILDREN = frozenset({"_config_dict", "keras_api", "_self_unconditional_checkpoint_dependencies"})


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
        children = children_of(parent)
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


def children_of(parent: Any) -> dict[str, Any]:
    """The children of a trackable object by attribute name; of a plain list, by number."""
    if type(parent) in (list, tuple):  # Keras' own lists are trackable objects, and skip what is not.
        return {str(index): child for index, child in enumerate(parent)}
    return dict(tf.train.TrackableView.children(parent))
