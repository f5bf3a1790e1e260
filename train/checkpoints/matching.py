"""Matching of a model's variables with what a checkpoint holds: by the paths of objects, or by names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import tensorflow as tf

from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.checkpoints.parts import Part
from train.checkpoints.tensorflow_1.named_source import NamedSource


@dataclass(frozen=True)
class Match:
    """A variable of the model and what the checkpoint has at its place.

    Attributes:
        name: Of the variable, in reports.
        variable: The model's.
        group: The part's that it is of: `trunk`, `features` or `head`.
        key: Of the checkpoint's value; None where there is none.
        saved_shape: Of the checkpoint's value.
        sought: The name that the checkpoint should have it by, where that is another.
    """

    name: str
    variable: tf.Variable
    group: str
    key: str | None = None
    saved_shape: tuple[int, ...] | None = None
    sought: str = ""

    @property
    def fits(self) -> bool:
        """Whether the checkpoint has a value of the variable's shape."""
        return self.key is not None and self.saved_shape == tuple(self.variable.shape)


def match_by_path(parts: Iterable[Part], source: ObjectCheckpoint, *, moving_averages: bool) -> list[Match]:
    """Finds each variable's place in an object-based checkpoint."""
    matches: list[Match] = []
    for part in parts:
        candidates: list[list[Match]] = [
            [Match(part.names[path], variable, part.group) for path, variable in part.variables.items()]
        ]
        for place in part.find(source):
            keys = {path: source.key_of(place(path), moving_average=moving_averages) for path in part.variables}
            candidates.append(
                [
                    Match(part.names[path], part.variables[path], part.group, key, source.shape_of(key))
                    if key
                    else Match(part.names[path], part.variables[path], part.group)
                    for path, key in keys.items()
                ]
            )
        # A checkpoint may hold a part at several places, or something else under its name: the best fit is it.
        matches += max(candidates, key=_fit)
    return matches


def match_by_name(
    parts: Iterable[Part], source: NamedSource, names: Mapping[int, tuple[str, ...]], *, moving_averages: bool
) -> list[Match]:
    """Finds each variable's value in a file of named values.

    Args:
        parts: Of the model.
        source: The file.
        names: By `id(variable)`, the names that its value may have, the likeliest first.
        moving_averages: Whether to take a variable's moving average where there is one.
    """
    matches = []
    for part in parts:
        for path, variable in part.variables.items():
            candidates = names.get(id(variable), ())
            name = next((name for name in candidates if source.shape_of(name) is not None), None)
            key = None if name is None else source.key_of(name, moving_average=moving_averages)
            shape = None if key is None else source.shape_of(key)
            matches.append(Match(part.names[path], variable, part.group, key, shape, *candidates[:1]))
    return matches


def _fit(candidate: Iterable[Match]) -> tuple[int, int]:
    matches = list(candidate)
    return sum(match.fits for match in matches), sum(match.key is not None for match in matches)
