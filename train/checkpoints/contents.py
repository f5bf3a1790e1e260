"""Listing of the contents of a checkpoint, whatever kind it is of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from train.checkpoints.architecture import architecture_of
from train.checkpoints.keras_weights import read_keras_weights
from train.checkpoints.object_checkpoint import BOOKKEEPING, VALUE_SUFFIX, ObjectCheckpoint
from train.checkpoints.restore import expectations_of, open_source
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.tensorflow_1.slim_architecture import slim_architecture
from train.checkpoints.torch_weights import families_in, is_torch_source, read_torch_source

# Names of variables in a group, by its own name, with their shapes.
_GROUP_DEPTH = 2


@dataclass
class Contents:
    """Contents of a checkpoint.

    Attributes:
        path: The checkpoint.
        kind: What it is, in words.
        groups: Variables and numbers in them, by the first parts of their names.
        facts: Sentences about the rest.
    """

    path: str
    kind: str
    groups: dict[str, tuple[int, int]]
    facts: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Lines for people."""
        width = max([len(name) for name in self.groups] + [len("all")])
        lines = [f"{self.path}: {self.kind}"]
        lines += [f"  {fact}" for fact in self.facts]
        lines.append(f"  {'':{width}}  variables       numbers")
        totals = tuple(sum(column) for column in zip(*self.groups.values(), strict=True)) or (0, 0)
        for name, (variables, numbers) in [*self.groups.items(), ("all", totals)]:
            lines.append(f"  {name:{width}}  {variables:9,}  {numbers:12,}")
        return "\n".join(lines)


def contents_of(path: str | Path) -> Contents:
    """Looks into a checkpoint.

    Args:
        path: Whatever `fine_tune_checkpoint` may be but a keyword.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    if is_torch_source(path):
        path, tensors = read_torch_source(path)
        shapes = {name.replace(".", "/"): value.shape for name, value in tensors.items()}
        families = " and ".join(families_in(tensors))
        facts = [f"looks like {families}" if families else "of no network that is known here"]
        return Contents(str(path), "a torch file", _groups(shapes, 1), facts)
    if str(path).endswith((".h5", ".hdf5", ".keras")):
        layers = read_keras_weights(path)
        shapes = {f"{layer}/{name}": value.shape for layer, values in layers.items() for name, value in values.items()}
        named = [layer for layer, values in layers.items() if values]
        facts = [f"{len(named)} layers with weights, {named[0]} to {named[-1]}"] if named else []
        return Contents(str(path), "a weights file of Keras (HDF5)", {"layers": _sizes(shapes.values())}, facts)
    source = open_source(path)
    return _of_names(source) if isinstance(source, NamedSource) else _of_object_checkpoint(source)


def _of_object_checkpoint(source: ObjectCheckpoint) -> Contents:
    shapes = {name: source.shape_of(f"{name}{VALUE_SUFFIX}") or () for name in source.names}
    groups = _groups({name: shape for name, shape in shapes.items() if name not in BOOKKEEPING}, _GROUP_DEPTH)
    facts = []
    found = architecture_of(source)
    facts.append(f"looks like {found.describe()}" if found else "of no architecture that is known here")
    if source.step is not None:
        facts.append(f"saved at step {source.step}")
    if source.optimizer_names:
        slots = ", ".join(f"{count} {name}" for name, count in sorted(source.slots.items()))
        facts.append(f"optimizer: {len(source.optimizer_names)} variables{f' ({slots})' if slots else ''}")
    if source.has_moving_averages:
        facts.append("moving averages: eval_config.use_moving_averages takes them")
    if expectations_of(source) is not None:
        facts.append("says what its trunk makes of a test image: restoring compares")
    is_saved_model = Path(source.prefix).name == "variables" and Path(source.prefix).parent.name == "variables"
    kind = "variables of a SavedModel" if is_saved_model else "a checkpoint of TensorFlow 2 (object-based)"
    return Contents(source.prefix, kind, groups, facts)


def _of_names(source: NamedSource) -> Contents:
    shapes = {name: source.shape_of(name) or () for name in source.names}
    found = slim_architecture(source)
    facts = [f"looks like {found.describe()}" if found else "of no architecture that is known here"]
    if source.step is not None:
        facts.append(f"saved at step {source.step}")
    if source.has_moving_averages:
        facts.append("moving averages: eval_config.use_moving_averages takes them")
    return Contents(source.prefix, source.kind, _groups(shapes, _GROUP_DEPTH), facts)


def _groups(shapes: Mapping[str, Iterable[int]], depth: int) -> dict[str, tuple[int, int]]:
    by_group: dict[str, list[Iterable[int]]] = {}
    for name in sorted(shapes):
        pieces = name.removeprefix("model/").removeprefix("_model/").split("/")
        by_group.setdefault("/".join(pieces[: min(depth, max(len(pieces) - 1, 1))]), []).append(shapes[name])
    return {group: _sizes(members) for group, members in by_group.items()}


def _sizes(shapes: Iterable[Iterable[int]]) -> tuple[int, int]:
    shapes = list(shapes)
    return len(shapes), sum(math.prod(shape) for shape in shapes)
