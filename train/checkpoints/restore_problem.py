"""Why a checkpoint must not be restored: it does not give what its type promises, and what it gives instead."""

from __future__ import annotations

import difflib

from train.checkpoints.architecture import Architecture, architecture_of
from train.checkpoints.matching import Match
from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.checkpoints.parts import GROUPS_BY_TYPE, HEAD, TRUNK
from train.checkpoints.restore_report import OTHER_CLASSES, OTHER_SHAPE, RestoreReport
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.tensorflow_1.slim_architecture import slim_architecture

# Less than this part of what the type promises: the checkpoint is of another network.
LEAST_FRACTION = 0.9
# Names of variables in an error.
_MOST_TOLD = 10


def restore_problem(
    source: ObjectCheckpoint | NamedSource,
    matches: list[Match],
    taken: list[Match],
    report: RestoreReport,
    checkpoint_type: str,
    exact: bool,
) -> str | None:
    """Says why a checkpoint does not give what its type promises; None where it does.

    Args:
        source: The checkpoint.
        matches: The model's variables and what was found for them.
        taken: Those that would be restored.
        report: On all of them.
        checkpoint_type: `classification`, `detection` or `full`.
        exact: Whether every variable must be there and fit.
    """
    promised = report.num_promised
    missing = set(report.missing)
    sought = [match.sought or match.name for match in matches if match.name in missing]
    groups = {match.group for match in taken}
    wanted = {match.group for match in matches if match.group in GROUPS_BY_TYPE[checkpoint_type]}
    if groups == {TRUNK} != wanted and len(taken) >= LEAST_FRACTION * sum(match.group == TRUNK for match in matches):
        looks = _looks_like(source)
        is_detector = looks is not None and looks.feature_extractor_type is not None
        held = f"this model's trunk in another detector ({looks.describe()})" if looks and is_detector else ""
        return (
            f"{source.prefix}: holds {held or 'a trunk only, and no detector'}; write fine_tune_checkpoint_type: "
            '"classification"'
        )
    misfits = [name for name, reason in report.skipped if reason in (OTHER_SHAPE, OTHER_CLASSES)]
    others = [name for name, reason in report.skipped if reason == OTHER_SHAPE]
    if not taken or len(taken) < LEAST_FRACTION * promised:
        looks = _looks_like(source)
        return (
            f"{source.prefix}: a checkpoint of another architecture: {len(taken)} of the {promised} variables that "
            f'fine_tune_checkpoint_type: "{checkpoint_type}" promises are in it, and {LEAST_FRACTION:.0%} must be; '
            + (f"it looks like {looks.describe()}; " if looks else "")
            + (f"{others[0]} is {report.details[others[0]]}; " if others else "")
            + (_nearest(source, sought[0]) if sought else "the names are the same, the shapes are not")
        )
    if exact and misfits:
        return (
            f"{source.prefix}: {len(misfits)} variables have another shape than in this model, first {misfits[0]}: "
            f"{report.details[misfits[0]]}; use the config that it was trained with"
        )
    if exact and sought:
        more = f" and {len(sought) - _MOST_TOLD} more" if len(sought) > _MOST_TOLD else ""
        by_name = f": {', '.join(sought[:_MOST_TOLD])}{more}"
        near = "" if isinstance(source, NamedSource) else f"; {_nearest(source, sought[0])}"
        return (
            f"{source.prefix}: {len(sought)} of the model's variables are not in the checkpoint{near or by_name}; "
            "use the config that it was trained with"
        )
    if checkpoint_type == "full" and report.missing and HEAD not in groups:
        return f'{source.prefix}: holds no box predictor; write fine_tune_checkpoint_type: "detection"'
    return None


def _looks_like(source: ObjectCheckpoint | NamedSource) -> Architecture | None:
    return slim_architecture(source) if isinstance(source, NamedSource) else architecture_of(source)


def _nearest(source: ObjectCheckpoint | NamedSource, wanted: str) -> str:
    """Says what was looked for in vain and what is nearest to it in the checkpoint."""
    near = difflib.get_close_matches(wanted, source.names[:5000], n=3, cutoff=0.3) or source.names[:3]
    held = f"the checkpoint holds {', '.join(near)}" if near else "the checkpoint holds no variables"
    return f"no {wanted}; {held}{f' and {len(source.names) - len(near)} more' if len(source.names) > len(near) else ''}"
