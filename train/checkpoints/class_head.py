"""The rows of a model's heads that belong to classes, and how to carry them over to another list of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_prep.formats.label_map import LabelMap
from data_prep.runtime.command_line import UserError

CLASS_SCORES, CLASS_BOXES = "scores", "boxes"

# The API's class predictors, of SSD and of Faster R-CNN's second stage, whose last layer has the classes; and ours and
# Model Garden's, but for the region proposal network's, which tells object from background.
_SCORE_HEAD = re.compile(
    r"(?P<head>(_box_predictor/_prediction_heads/class_predictions_with_background|"
    r"_mask_rcnn_box_predictor/_class_prediction_head)/(\d+/)?_class_predictor_layers)/(?P<layer>\d+)/\w+"
    r"|(?P<ours>(?!rpn_head/)(.*/)?_(classifier|class_predictor))/\w+"
)
_BOX_HEAD = re.compile(
    r"_mask_rcnn_box_predictor/_box_prediction_head/_box_encoder_layers/\d+/(kernel|bias)"
    r"|detection_head/(.*/)?_(box_regressor|box_predictor)/(kernel|bias)"
)
_ROW_VARIABLES = ("kernel", "pointwise_kernel", "bias")
_CODE_SIZE = 4


def class_rows(names: Iterable[str]) -> dict[str, str]:
    """Finds the variables of which a part belongs to each class.

    Args:
        names: Of all of a model's variables, as in reports.

    Returns:
        By name `scores` (the last axis is anchors times classes) or `boxes` (classes times 4, of a second stage that
        may have a box a class).
    """
    names = list(names)
    last: dict[str, int] = {}
    matches = {name: match for name in names if (match := _SCORE_HEAD.fullmatch(name))}
    for match in matches.values():
        if match["head"]:
            last[match["head"]] = max(last.get(match["head"], 0), int(match["layer"]))
    kinds = {}
    for name, match in matches.items():
        is_last = not match["head"] or int(match["layer"]) == last[match["head"]]
        if is_last and name.rsplit("/", 1)[1] in _ROW_VARIABLES:
            kinds[name] = CLASS_SCORES
    return kinds | {name: CLASS_BOXES for name in names if _BOX_HEAD.fullmatch(name)}


@dataclass(frozen=True)
class ClassMapping:
    """Mapping of a checkpoint's classes to a model's.

    Attributes:
        pairs: The model's and the checkpoint's ids of the classes that both have, from 1.
        num_classes: The model's, without background.
        has_background: Whether scores begin with one for background, in both.
        kept: Names of the classes in `pairs`.
        fresh: Names of the model's classes that the checkpoint does not have.
    """

    pairs: tuple[tuple[int, int], ...]
    num_classes: int
    has_background: bool
    kept: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    @classmethod
    def between(cls, model: LabelMap, checkpoint: LabelMap, num_classes: int, *, has_background: bool) -> ClassMapping:
        """Finds the classes that two label maps name, by `name`, or else by `display_name`, whatever their case.

        Args:
            model: The model's label map.
            checkpoint: The one that the checkpoint was trained with.
            num_classes: The model's.
            has_background: Whether scores begin with one for background.

        Raises:
            UserError: They have no class in common.
        """
        by_name = {item.name.casefold(): item.id for item in checkpoint}
        by_display = {item.display_name.casefold(): item.id for item in checkpoint if item.display_name}
        pairs: list[tuple[int, int]] = []
        kept: list[str] = []
        fresh: list[str] = []
        for item in model:
            shown = item.display_name or item.name
            names = [item.name.casefold(), shown.casefold()]
            found = [ids[name] for name in names for ids in (by_name, by_display) if name in ids]
            if found:
                pairs.append((item.id, found[0]))
            (kept if found else fresh).append(shown)
        if not pairs:
            raise UserError(
                f"--map_classes: the two label maps name no class in common; the model's are {_some(fresh)}; the "
                f"checkpoint's {_some([item.display_name or item.name for item in checkpoint])}"
            )
        return cls(tuple(pairs), num_classes, has_background, tuple(kept), tuple(fresh))

    def carried_over(self, kind: str, fresh: np.ndarray, saved: np.ndarray, name: str) -> np.ndarray:
        """A variable's values with the rows of the classes that both have from the checkpoint.

        Args:
            kind: As `class_rows` gives it.
            fresh: The model's own values.
            saved: The checkpoint's.
            name: Of the variable, for errors.

        Returns:
            As `fresh`, with new classes' values as they were.

        Raises:
            UserError: The checkpoint has other anchors, or fewer classes than its label map.
        """
        if kind == CLASS_BOXES:
            if fresh.shape[-1] == saved.shape[-1] == _CODE_SIZE:
                return saved  # one box for all classes
            rows, background = self.num_classes, 0
            count = _CODE_SIZE
            new, old = (_rows(values, -1, count, name) for values in (fresh, saved))
            taken = [(theirs - 1, ours - 1) for ours, theirs in self.pairs]
            axis = -2
        else:
            background = int(self.has_background)
            rows = self.num_classes + background
            count = fresh.shape[-1] // rows
            new, old = (_rows(values, count, -1, name) for values in (fresh, saved))
            taken = [(theirs - 1 + background, ours - 1 + background) for ours, theirs in self.pairs]
            taken += [(0, 0)] * background
            axis = -1
        if new.shape[axis] != rows or new.shape[:-2] != old.shape[:-2]:
            raise UserError(f"--map_classes: {name} is {list(saved.shape)} in the checkpoint, {list(fresh.shape)} here")
        most = max(theirs for theirs, _ in taken)
        if most >= old.shape[axis]:
            raise UserError(
                f"--map_classes: the label map has ids up to {most + 1 - background} or more, and {name} in the "
                f"checkpoint has {old.shape[axis] - background} classes; give the label map that it was trained with"
            )
        result = new.copy()
        for theirs, ours in taken:
            if axis == -1:
                result[..., ours] = old[..., theirs]
            else:
                result[..., ours, :] = old[..., theirs, :]
        return result.reshape(fresh.shape)

    def sentence(self) -> str:
        """The classes that were kept, for people."""
        text = f"class head: {len(self.kept)} classes keep their rows ({_some(self.kept)})"
        return text + (f", {len(self.fresh)} start afresh ({_some(self.fresh)})" if self.fresh else "")


def _rows(values: np.ndarray, outer: int, inner: int, name: str) -> np.ndarray:
    """Splits the last axis in two."""
    known = outer if inner == -1 else inner
    if known < 1 or values.shape[-1] % known:
        raise UserError(f"--map_classes: the last axis of {name}, {values.shape[-1]}, is no multiple of {known}")
    return values.reshape(*values.shape[:-1], outer, inner)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
