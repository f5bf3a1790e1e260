"""Rows of a sweep: a pipeline config with something changed in each, read from a file and checked before training."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.filling.changes import place_of
from configs.filling.schedule_steps import steps_of_recipe, stretched
from configs.schema import pipeline_file
from configs.schema.fields import set_fields
from configs.settings.loading import examine
from data_prep.runtime.command_line import UsageError

MAX_ROWS = 200
MAX_FILE_BYTES = 1024 * 1024
_SLUG_LENGTH = 60
_MOST_STEPS = 2**32 - 1
_METRICS = "coco_detection_metrics"


@dataclasses.dataclass(frozen=True)
class Row:
    """What one row of a sweep changes in the config.

    Attributes:
        name: Of the row, as the table has it.
        clear: Paths of fields to take out first, such as `train_config.data_augmentation_options`, which a merge alone
            could only add to.
        override: Protobuf text to merge over the config then.
        num_steps: The number of steps in place of the config's, its schedule stretched with it; None leaves it.
    """

    name: str
    clear: tuple[str, ...] = ()
    override: str = ""
    num_steps: int | None = None


@dataclasses.dataclass(frozen=True)
class ConfiguredRow:
    """A row and the config that it makes.

    Attributes:
        row: What it changes.
        text: The config, in protobuf text format.
        folder: A name for the folder of its trainings, which another config or another start does not share.
    """

    row: Row
    text: str
    folder: str


def read_rows(path: Path) -> tuple[Row, ...]:
    """Reads the rows of a sweep.

    Args:
        path: A JSON array of objects with a `name`, and any of `clear` (a list of field paths), `override` (text) and
            `num_steps`.

    Raises:
        UsageError: It cannot be read, or a row is not as said above, with its place.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path}: larger than {MAX_FILE_BYTES} bytes; this is no file of rows")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_ROWS:
        raise UsageError(f"{path}: must be a JSON array of 1 to {MAX_ROWS} rows")
    rows = tuple(_row(value, f"{path}: row {number}") for number, value in enumerate(values, 1))
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'{path}: two rows are named "{name}"; give each a name of its own')
    return rows


def configured_rows(
    rows: Sequence[Row], config_path: str, *, override: str = "", ignore: Sequence[str] = (), start: str = ""
) -> list[ConfiguredRow]:
    """Makes the config of each row, and checks that training honours it.

    Args:
        rows: What they change.
        config_path: The pipeline config that they change.
        override: Protobuf text to merge over it for all rows.
        ignore: Paths of refused fields to drop.
        start: What the trainings start from beside the config; part of what the folders' names tell apart.

    Raises:
        ConfigError: The config or a row's cannot be honoured.
        UsageError: A row clears what the config does not set, or changes steps that the config does not have.
    """
    config = pipeline_file.read_pipeline_config(config_path)
    if override:
        config = pipeline_file.merge(config, override)
    configured = []
    for row in rows:
        where = f'{config_path}, row "{row.name}"'
        changed = _changed(config, row, where)
        loaded = examine(changed, where, ignore)
        loaded.require_usable()
        if loaded.training_problems:
            raise UsageError("\n".join(f"{where}: {problem}" for problem in loaded.training_problems))
        _require_measured(loaded.config, where)
        text = pipeline_file.format_pipeline_config(changed)
        digest = hashlib.sha256(f"{text}\n{start}".encode()).hexdigest()[:8]
        configured.append(ConfiguredRow(row, text, f"{_slug(row.name)}-{digest}"))
    return configured


def _changed(config: Any, row: Row, where: str) -> Any:
    changed = type(config)()
    changed.CopyFrom(config)
    for path in row.clear:
        if not any(_is_at_or_below(written, path) for written, _, _ in set_fields(changed)):
            raise UsageError(f"{where}: clear: {path} is not set in the config")
        parent, name, index = place_of(changed, path)
        if index is None:
            parent.ClearField(name)
        else:
            del getattr(parent, name)[index]
    if row.override:
        changed = pipeline_file.merge(changed, row.override, f"{where}, override")
    if row.num_steps is not None:
        before = steps_of_recipe(changed)
        if not before:
            raise UsageError(f"{where}: num_steps: the config has neither train_config.num_steps nor total_steps")
        for change in stretched(changed, before, row.num_steps):
            parent, name, _ = place_of(changed, change.path)
            setattr(parent, name, change.value)
        changed.train_config.num_steps = row.num_steps
    return changed


def _require_measured(config: Any, where: str) -> None:
    if not config.eval_input_reader:
        raise UsageError(f"{where}: has no eval_input_reader, and AP is measured on it")
    metrics = list(config.eval_config.metrics_set)
    if metrics and _METRICS not in metrics:
        raise UsageError(f'{where}: eval_config.metrics_set lacks "{_METRICS}", which AP is read from; add it')


def _is_at_or_below(written: str, path: str) -> bool:
    return written == path or written.startswith((f"{path}.", f"{path}["))


def _row(value: Any, where: str) -> Row:
    fields = {field.name for field in dataclasses.fields(Row)}
    if not isinstance(value, dict) or not value.keys() <= fields:
        raise UsageError(f"{where}: must be an object with {', '.join(sorted(fields))} and nothing else")
    name, override = value.get("name"), value.get("override", "")
    clear, num_steps = value.get("clear", []), value.get("num_steps")
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"{where}: name must be a text that is not empty")
    if not isinstance(override, str):
        raise UsageError(f"{where}: override must be a text")
    if not isinstance(clear, list) or not all(isinstance(path, str) and path for path in clear):
        raise UsageError(f"{where}: clear must be a list of field paths")
    is_count = isinstance(num_steps, int) and not isinstance(num_steps, bool) and 1 <= num_steps <= _MOST_STEPS
    if num_steps is not None and not is_count:
        raise UsageError(f"{where}: num_steps must be a whole number from 1")
    return Row(name, tuple(clear), override, num_steps)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", name.lower()).strip("_.")[:_SLUG_LENGTH] or "row"
