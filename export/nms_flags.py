"""Flags that change, for an export alone, how detections are chosen: the last NMS, and thresholds of the classes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.schema.descriptors import message_class
from configs.schema.pipeline_file import format_pipeline_config, merge, read_pipeline_config
from configs.schema.problem import ConfigError
from data_prep.runtime.command_line import UsageError, positive_int

_NUMBERS = {
    "score_threshold": "what a detection's score must exceed, such as 0.3: what clients would drop is not sent",
    "iou_threshold": "of two boxes of a class that overlap more, the NMS keeps the better",
}
_COUNTS = {
    "max_detections_per_class": "the most detections of a class in an image",
    "max_total_detections": "the most detections in an image, which is also the size of the outputs",
}
_PLACES = {"ssd": "post_processing", "faster_rcnn": "second_stage_post_processing"}


def add_nms_arguments(parser: argparse.ArgumentParser, *, leave_out: Sequence[str] = ()) -> None:
    """Adds `--score_threshold` and the like, but for some; what is not given stays as the config has it."""
    group = parser.add_argument_group("detections, as batch_non_max_suppression has them unless told otherwise")
    numbers, counts = ({k: v for k, v in flags.items() if k not in leave_out} for flags in (_NUMBERS, _COUNTS))
    for name, words in numbers.items():
        group.add_argument(f"--{name}", type=float, metavar="X", help=words)
    for name, words in counts.items():
        group.add_argument(f"--{name}", type=positive_int, metavar="N", help=words)


def add_thresholds_argument(parser: argparse.ArgumentParser, where: str) -> argparse._ArgumentGroup:
    """Adds `--thresholds`, and returns its group, for more of the kind; `where` says when they are applied."""
    group = parser.add_argument_group("a threshold for each class")
    group.add_argument(
        "--thresholds",
        type=Path,
        metavar="T.json",
        help="a file of train.evaluate --thresholds_path: what scores less than its class's threshold there is left "
        f"out by the model itself, {where}; of a class whose threshold is null, everything",
    )
    return group


def with_nms_flags(arguments: argparse.Namespace) -> str:
    """Returns a config override that says what `--config_override` and the flags say; flags win.

    `max_detections_per_class` follows a `--max_total_detections` below it, for no class can have more than all.

    Args:
        arguments: Of a parser with `--pipeline_config_path`, `--config_override` and these flags.

    Raises:
        UsageError: A threshold beyond 0..1, or a config or an override that cannot be read.
    """
    flags = vars(arguments)
    given = {name: flags[name] for name in (*_NUMBERS, *_COUNTS) if flags.get(name) is not None}
    if not given:
        return str(arguments.config_override)
    for name in _NUMBERS:
        if not 0.0 <= given.get(name, 0.0) <= 1.0:
            raise UsageError(f"--{name} {given[name]:g} does not lie between 0 and 1")
    try:
        config = merge(read_pipeline_config(arguments.pipeline_config_path), arguments.config_override)
        family = config.model.WhichOneof("model")
        if family not in _PLACES:
            raise UsageError(f"{arguments.pipeline_config_path}: model is not set; write model {{ ssd {{ ... }} }}")
        model = getattr(config.model, family)
        total = given.get("max_total_detections")
        kept = getattr(model, _PLACES[family]).batch_non_max_suppression
        if total is not None and kept.max_detections_per_class > total:
            given.setdefault("max_detections_per_class", total)
        override = merge(message_class(config.DESCRIPTOR.name)(), arguments.config_override)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    nms = getattr(getattr(override.model, family), _PLACES[family]).batch_non_max_suppression
    for name, value in given.items():
        setattr(nms, name, value)
    return format_pipeline_config(override)
