"""The records of a Weights & Biases run's file, read as what it is: LevelDB's log format, of protocol buffers."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HEADER, _BLOCK, _RECORD = 7, 32768, 7
_WHOLE, _LAST = 1, 4


def records(path: Path) -> Iterator[Any]:
    """The records of a file, as wandb's `Record`."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, parts = _HEADER, b""
    while at + _RECORD <= len(data):
        if (left := _BLOCK - at % _BLOCK) < _RECORD:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + _RECORD : at + _RECORD + length]
        at += _RECORD + length
        if kind in (_WHOLE, _LAST):
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


class WandbRun:
    """What a run's file says, read back."""

    def __init__(self, path: Path) -> None:
        self.id = self.project = ""
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.files: list[str] = []
        self.exit_code: int | None = None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.id, self.project = record.run.run_id, record.run.project
            elif kind == "config":
                self.config |= {_key(item): json.loads(item.value_json) for item in record.config.update}
            elif kind == "history":
                self.history.append({_key(item): json.loads(item.value_json) for item in record.history.item})
            elif kind == "files":
                self.files += [file.path for file in record.files.files]
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def values(self, name: str) -> list[tuple[int, Any]]:
        """What was logged under a name, with its step."""
        return [(row["global_step"], row[name]) for row in self.history if name in row]


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def wandb_runs(model_dir: Path) -> list[WandbRun]:
    """The runs of a model's folder, in the order of their beginning."""
    return [WandbRun(path) for path in sorted(model_dir.glob("wandb/*run-*/*.wandb"))]
