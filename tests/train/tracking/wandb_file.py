"""The records of a Weights & Biases run's file, read as what it is: LevelDB's log format, of protocol buffers."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HEADER, _BLOCK, _RECORD = 7, 32768, 7
_WHOLE, _LAST = 1, 4


def records(path: Path) -> Iterator[Any]:
    """The records of a file, as wandb's `Record`."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] in (b"", b":W&B")
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
                # A later one tells only what has changed.
                self.id, self.project = record.run.run_id or self.id, record.run.project or self.project
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


def wandb_runs(model_dir: Path, timeout_seconds: float = 120.0) -> list[WandbRun]:
    """The runs of a model's folder that has some, in the order of their beginning, all of them ended.

    wandb writes by a process of its own, which ends some moments after the run does.
    """
    end = time.monotonic() + timeout_seconds
    while True:
        runs = [WandbRun(path) for path in sorted(model_dir.glob("wandb/*run-*/*.wandb"))]
        if runs and all(run.exit_code is not None for run in runs):
            return runs
        assert time.monotonic() < end, f"{model_dir}/wandb: runs that do not end"
        time.sleep(0.1)
