"""History of the labels of a `models.config`, so that a move can be taken back: one JSON object a line."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.runtime import atomic_files
from data_prep.runtime.command_line import UserError

PROMOTE = "promote"
ROLLBACK = "rollback"
MAX_ENTRIES = 1000  # older ones go when a new one comes
_MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class LabelChange:
    """A move of labels that servers have taken.

    Attributes:
        model_name: Whose labels.
        action: `promote` or `rollback`.
        before: Label -> version.
        after: Label -> version.
        servers: Who took it.
        time: When, ISO 8601 in UTC.
    """

    model_name: str
    action: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    servers: Sequence[str] = ()
    time: str = ""


def history_path(model_config_file: Path) -> Path:
    """Returns where the history of a `models.config` is kept: beside it."""
    return model_config_file.with_name(model_config_file.name + ".history.jsonl")


def read_history(path: Path) -> list[LabelChange]:
    """Returns the changes, oldest first; none if there is no file.

    Raises:
        UserError: A line is no change.
    """
    if not path.exists():
        return []
    with path.open("rb") as file:
        lines = file.read(_MAX_BYTES).splitlines()
    return [_change(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def append_change(path: Path, change: LabelChange) -> None:
    """Adds a change, with the time of now.

    Raises:
        UserError: The file that is there is no history.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    lines = [_line(entry) for entry in [*read_history(path), change]][-MAX_ENTRIES:]
    lines[-1] = _line(LabelChange(change.model_name, change.action, change.before, change.after, change.servers, now))
    atomic_files.write_text(path, "\n".join(lines) + "\n")


def change_to_undo(changes: Sequence[LabelChange], model_name: str) -> LabelChange | None:
    """Returns the last promotion of a model that has not been taken back; None where there is none."""
    standing: list[LabelChange] = []
    for change in changes:
        if change.model_name != model_name:
            continue
        if change.action == PROMOTE:
            standing.append(change)
        elif standing:
            standing.pop()
    return standing[-1] if standing else None


def _line(change: LabelChange) -> str:
    return json.dumps(
        {
            "time": change.time,
            "model_name": change.model_name,
            "action": change.action,
            "before": dict(change.before),
            "after": dict(change.after),
            "servers": list(change.servers),
        }
    )


def _change(line: bytes, where: str) -> LabelChange:
    try:
        entry = json.loads(line)
        before, after = ({str(k): int(v) for k, v in entry[key].items()} for key in ("before", "after"))
        action = entry["action"]
        if action not in (PROMOTE, ROLLBACK):
            raise ValueError(f"action {action!r}")
        servers = [str(server) for server in entry["servers"]]
        return LabelChange(str(entry["model_name"]), action, before, after, servers, str(entry["time"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is no change of labels ({error}); mend it, or move the file away") from error
