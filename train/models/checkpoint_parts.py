"""The parts of a detection model, and where checkpoints of our trainer and of Model Garden hold each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from train.models.object_checkpoint import ObjectCheckpoint, variables_by_path


@dataclass(frozen=True)
class Part:
    """A part of the model, and where checkpoints may hold it.

    Attributes:
        name: In reports.
        layers: A layer, a model, or a list of them.
        paths: The part's own places in a checkpoint, from its root.
        tail_of: For the end of a backbone that was cut in two, the number of layers with weights before it.
    """

    name: str
    layers: Any
    paths: tuple[tuple[str, ...], ...]
    tail_of: int = 0

    def places(self, source: ObjectCheckpoint, variables: Iterable[str]) -> Iterator[tuple[int, Callable[[str], str]]]:
        """Yields nodes where the part may lie, each with what turns our paths below the part into the checkpoint's."""
        first_level = min((int(n) for path in variables for n in re.findall(r"^_norms/\w+/(\d+)/", path)), default=0)
        renames: list[Callable[[str], str]] = [str]
        if self.name == "head":
            renames.append(lambda path: _model_garden_path(path, first_level))
        for path in self.paths:
            if (node := source.follow(path)) is not None:
                yield from ((node, rename) for rename in renames)
        if self.tail_of:
            for path in _places("backbone"):
                if (node := source.follow(path)) is not None:
                    yield node, lambda path: _renumbered(path, self.tail_of)


def parts_of(model: Any, checkpoint_type: str) -> list[Part]:
    """The parts of a model that a checkpoint type promises.

    Args:
        model: With `checkpoint_items`, of which one is `backbone`.
        checkpoint_type: `classification`, `detection` or `full`.
    """
    items = dict(model.checkpoint_items)
    parts = [Part("backbone", items.pop("backbone"), _places("backbone"))]
    conv5 = _conv5(items.get("detection_head"))
    if conv5:
        inside, layers = conv5
        head_paths = tuple((*path, *inside) for path in _places("detection_head"))
        num_layers = len({path.split("/")[0] for path in variables_by_path(parts[0].layers)})
        parts.append(Part("conv5", layers, head_paths, tail_of=num_layers))
    if checkpoint_type != "classification":
        parts += [Part(name, layers, _places(name)) for name, layers in items.items()]
    if checkpoint_type == "full":
        parts.append(Part("model", model, (("model",),)))  # what belongs to no part, if anything does
    return parts


def _places(item: str) -> tuple[tuple[str, ...], ...]:
    """Where Model Garden and our trainer put a part, and for a backbone, where one saved on its own is."""
    paths: tuple[tuple[str, ...], ...] = ((item,), ("model", item), ("model", f"_{item}"), (f"_{item}",))
    return (*paths, ("model",), ()) if item == "backbone" else paths


def _conv5(detection_head: Any) -> tuple[tuple[str, ...], Any] | None:
    """The end of the backbone where it serves as a second stage's trunk (Faster R-CNN on conv4), and its path there."""
    heads = detection_head if isinstance(detection_head, Sequence) else [detection_head]
    for index, head in enumerate(heads):
        trunk = getattr(head, "trunk", None)
        for name, layer in tf.train.TrackableView.children(trunk).items() if trunk is not None else ():
            if name.startswith("layer_with_weights-") and getattr(layer, "name", "") == "conv5":
                return (str(index), "trunk", name), layer
    return None


def _renumbered(path: str, offset: int) -> str:
    """`layer_with_weights-2/...` of a model that was cut off another, as that other numbers its layers."""
    return re.sub(r"^layer_with_weights-(\d+)", lambda match: f"layer_with_weights-{int(match[1]) + offset}", path)


def _model_garden_path(path: str, first_level: int) -> str:
    """Where Model Garden's `RetinaNetHead` keeps what our box predictor keeps at `path`.

    Args:
        path: A variable's path in the box predictor.
        first_level: The finest feature map's level; Model Garden counts levels from it.
    """
    towers = {"classes": "cls", "boxes": "box"}
    if match := re.match(r"_towers/(classes|boxes)/(.*)", path):
        return f"_{towers[match[1]]}_convs/{match[2]}"
    if match := re.match(r"_norms/(classes|boxes)/(\d+)/(.*)", path):
        return f"_{towers[match[1]]}_norms/{int(match[2]) - first_level}/{match[3]}"
    return re.sub(r"^_box_predictor/", "_box_regressor/", re.sub(r"^_class_predictor/", "_classifier/", path))
