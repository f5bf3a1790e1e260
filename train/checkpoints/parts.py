"""The parts of a detection model, and where checkpoints of all kinds hold each.

A model that the Object Detection API has too brings `api_objects`, the tree in which the API's checkpoints hold its
layers; every model has `checkpoint_items`, its parts as our trainer and Model Garden hold them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import tensorflow as tf

from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.checkpoints.object_paths import children_of, variables_by_path

CHECKPOINT_TYPES = ("classification", "detection", "full")
TRUNK, FEATURES, HEAD = "trunk", "features", "head"
# What each type promises, as the API's `restore_from_objects` of its meta-architectures.
GROUPS_BY_TYPE = {"classification": (TRUNK,), "detection": (TRUNK, FEATURES), "full": (TRUNK, FEATURES, HEAD)}

# From a variable's path in its part to the checkpoint's node of it.
Place = Callable[[str], int | None]
# Where the tree of a whole model begins: training checkpoints, weights alone, the API's SavedModels.
_MODEL_ROOTS = (("model",), (), ("_model",))
_PROPOSALS = "_feature_extractor_for_proposal_features"
_BOX_FEATURES = "_feature_extractor_for_box_classifier_features"
_TRUNK = "classification_backbone"
_LAYER_NUMBER = re.compile(r"^layer_with_weights-(\d+)")


class Restorable(Protocol):
    """A Keras model that names its parts, as Model Garden's detectors do.

    It may have `api_objects` too: the tree in which the API's checkpoints hold its layers, or None.
    """

    @property
    def checkpoint_items(self) -> Mapping[str, Any]:
        """Keras layers, models, or lists of them, by name; the backbone is called `backbone`."""


@dataclass(frozen=True)
class Part:
    """A part of the model, and where checkpoints may hold it.

    Attributes:
        group: `trunk`, `features` or `head`, of which checkpoint types promise some.
        variables: By their path in the part.
        names: Of the variables in reports, by the same paths.
        find: Yields the places in a checkpoint where the part may lie.
    """

    group: str
    variables: dict[str, tf.Variable]
    names: dict[str, str]
    find: Callable[[ObjectCheckpoint], Iterator[Place]] = field(compare=False)


def parts_of(model: Any) -> list[Part]:
    """The parts of a model; each of its variables is in one of them.

    Args:
        model: A `Restorable` whose variables exist.
    """
    api_objects = getattr(model, "api_objects", None)
    parts = _parts_of_items(model) if api_objects is None else _parts_of_api_objects(model, api_objects)
    seen: set[int] = set()
    unique = []
    for part in parts:
        variables = {path: variable for path, variable in part.variables.items() if id(variable) not in seen}
        seen.update(map(id, variables.values()))
        unique.append(Part(part.group, variables, part.names, part.find))
    return unique


# The API's tree.


def _parts_of_api_objects(model: Any, api_objects: Any) -> Iterator[Part]:
    variables = variables_by_path(api_objects)
    names = {id(variable): path for path, variable in variables.items()}
    own_paths = {id(variable): path for path, variable in variables_by_path(model).items()}

    def find_anywhere(source: ObjectCheckpoint) -> Iterator[Place]:
        for root in _nodes(source, _MODEL_ROOTS):
            yield _below(source, root)
            yield _below(source, root, lambda path: own_paths.get(id(variables[path])))

    trunk = _api_trunk(api_objects)

    def find_trunk(source: ObjectCheckpoint) -> Iterator[Place]:
        for root in _nodes(source, _MODEL_ROOTS):
            yield _below(source, root, lambda path: own_paths.get(id(trunk[path])))
        yield from trunk_places(source)

    yield Part(TRUNK, trunk, {path: names.get(id(variable), path) for path, variable in trunk.items()}, find_trunk)
    for group, is_extractor in ((FEATURES, True), (HEAD, False)):
        chosen = {path: v for path, v in variables.items() if path.startswith("_feature_extractor") is is_extractor}
        yield Part(group, chosen, {path: path for path in chosen}, find_anywhere)


def _api_trunk(api_objects: Any) -> dict[str, tf.Variable]:
    """The trunk's variables by their paths in it, as one network even where Faster R-CNN has it in two halves."""
    children = children_of(api_objects)
    extractor = children["_feature_extractor"] if "_feature_extractor" in children else children[_PROPOSALS]
    trunk = children_of(extractor).get(_TRUNK)
    if trunk is not None:
        return variables_by_path(trunk)
    first = variables_by_path(extractor)
    num_layers = len({path.split("/")[0] for path in first})
    second = variables_by_path(children[_BOX_FEATURES]) if _BOX_FEATURES in children else {}
    return first | {renumbered(path, num_layers): variable for path, variable in second.items()}


def trunk_places(source: ObjectCheckpoint) -> Iterator[Place]:
    """Where a checkpoint may hold a trunk: in a detector of either family, or a classifier on its own."""
    extractors = [(*root, *path) for root in _MODEL_ROOTS for path in (("_feature_extractor",), (_PROPOSALS,))]
    bases = [(*extractor, _TRUNK) for extractor in extractors]
    # The API's classifiers are `feature_extractor`, Model Garden's `backbone` or `model`.
    bases += [("feature_extractor",), *_item_places("backbone")]
    for node in _nodes(source, bases):
        yield _below(source, node)
    for root in _MODEL_ROOTS:
        first, second = source.follow((*root, _PROPOSALS)), source.follow((*root, _BOX_FEATURES))
        if first is not None and second is not None:
            yield _halves(source, first, second)


def _halves(source: ObjectCheckpoint, first: int, second: int) -> Place:
    num_layers = sum(name.startswith("layer_with_weights-") for name in source.children(first))

    def place(path: str) -> int | None:
        number = _LAYER_NUMBER.match(path)
        if number is None or int(number[1]) < num_layers:
            return source.follow(path.split("/"), first)
        return source.follow(renumbered(path, -num_layers).split("/"), second)

    return place


def _nodes(source: ObjectCheckpoint, paths: Iterable[tuple[str, ...]]) -> Iterator[int]:
    for path in paths:
        node = source.follow(path)
        if node is not None:
            yield node


def _below(source: ObjectCheckpoint, node: int, rename: Callable[[str], str | None] = str) -> Place:
    """The place of a part that lies below a node, under other paths where `rename` says so."""

    def place(path: str) -> int | None:
        renamed = rename(path)
        return None if renamed is None else source.follow(renamed.split("/"), node)

    return place


def _renumbering(place: Place, offset: int) -> Place:
    return lambda path: place(renumbered(path, offset))


def renumbered(path: str, offset: int) -> str:
    """`layer_with_weights-2/...` of a model that was cut off another, as that other numbers its layers."""
    return _LAYER_NUMBER.sub(lambda match: f"layer_with_weights-{int(match[1]) + offset}", path)


# Model Garden's and our own parts.


def _parts_of_items(model: Any) -> Iterator[Part]:
    items = dict(model.checkpoint_items)
    backbone = variables_by_path(items.pop("backbone"))
    yield _item_part(TRUNK, "backbone", backbone, trunk_places)
    conv5 = _conv5(items.get("detection_head"))
    if conv5:
        inside, layers = conv5
        num_layers = len({path.split("/")[0] for path in backbone})

        def find_conv5(source: ObjectCheckpoint) -> Iterator[Place]:
            for node in _nodes(source, [(*path, *inside) for path in _item_places("detection_head")]):
                yield _below(source, node)
            for place in trunk_places(source):
                yield _renumbering(place, num_layers)

        yield _item_part(TRUNK, "conv5", variables_by_path(layers), find_conv5)
    for name, layers in items.items():
        variables = variables_by_path(layers)
        yield _item_part(FEATURES if name == "decoder" else HEAD, name, variables, _finder(name, variables))
    # What belongs to no part, if anything does.
    variables = variables_by_path(model)
    yield _item_part(HEAD, "model", variables, _finder("", variables))


def _item_part(
    group: str,
    name: str,
    variables: dict[str, tf.Variable],
    find: Callable[[ObjectCheckpoint], Iterator[Place]],
) -> Part:
    return Part(group, variables, {path: f"{name}/{path}" for path in variables}, find)


def _finder(item: str, variables: Iterable[str]) -> Callable[[ObjectCheckpoint], Iterator[Place]]:
    first_level = min((int(n) for path in variables for n in re.findall(r"^_norms/\w+/(\d+)/", path)), default=0)

    def find(source: ObjectCheckpoint) -> Iterator[Place]:
        for node in _nodes(source, _item_places(item) if item else [("model",)]):
            yield _below(source, node)
            if item == "head":
                yield _below(source, node, lambda path: _model_garden_path(path, first_level))

    return find


def _item_places(item: str) -> tuple[tuple[str, ...], ...]:
    """Where Model Garden and our trainer put a part, and for a backbone, where one saved on its own is."""
    paths: tuple[tuple[str, ...], ...] = ((item,), ("model", item), ("model", f"_{item}"), (f"_{item}",))
    return (*paths, ("model",), ()) if item == "backbone" else paths


def _conv5(detection_head: Any) -> tuple[tuple[str, ...], Any] | None:
    """The end of the backbone where it serves as a second stage's trunk (Faster R-CNN on conv4), and its path there."""
    heads = detection_head if isinstance(detection_head, Sequence) else [detection_head]
    for index, head in enumerate(heads):
        trunk = getattr(head, "trunk", None)
        for name, layer in children_of(trunk).items() if trunk is not None else ():
            if name.startswith("layer_with_weights-") and getattr(layer, "name", "") == "conv5":
                return (str(index), "trunk", name), layer
    return None


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
