"""The stamp of a step's last run, so that running it again over the same files with the same flags does no work.

The stamp is a small JSON file beside a step's first output. It holds the flags, size, time and CRC-32C of each input,
size and time of each output, and what the step said of its work.

The checksum is what object stores give a file to tell whether it came whole, in a seventh of SHA-256's time. It guards
against chance and not against malice: who can write an input can also set its time back.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from data_prep.runtime.atomic_files import write_json

SUFFIX = ".stamp.json"
_FORMAT = 2
_CHUNK_BYTES = 4 * 1024 * 1024  # large, so that a thread goes on while another imports, which leaves it few turns
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class InputState:
    """State of an input before it was read.

    Attributes:
        size_and_time: As the stamp holds them; empty for a file that is not there.
        crc32c: Of its content; a thread sees to it.
    """

    size_and_time: Mapping[str, int]
    crc32c: Future[int | None]


@dataclass(frozen=True)
class Step:
    """A step about to be run.

    Attributes:
        name: The command, and the number of its rules: raise it when the same input would give another output.
        flags: All that its output depends on, as JSON holds it; the paths of files aside.
        inputs: The files that it reads, by flag.
        outputs: The files that it writes; the stamp stands beside the first.
    """

    name: str
    flags: Mapping[str, Any]
    inputs: Mapping[str, str | os.PathLike[str]]
    outputs: Sequence[str | os.PathLike[str]]

    @property
    def stamp_path(self) -> Path:
        """Where the stamp stands."""
        first = Path(self.outputs[0])
        return first.with_name(first.stem + SUFFIX)

    def earlier_notes(self) -> dict[str, Any] | None:
        """Returns the notes of an earlier run that left what this one would; None where the step has to be run.

        An input with another time but the same size is read through: a file fetched or copied again has not changed.
        """
        stamp = _read(self.stamp_path)
        if stamp is None or stamp.get("step") != self._identity():
            return None
        inputs, outputs = stamp.get("inputs"), stamp.get("outputs")
        if not isinstance(inputs, dict) or inputs.keys() != self.inputs.keys():
            return None
        if outputs != [_size_and_time(path) for path in self.outputs] or None in outputs:
            return None
        if not all(_is_unchanged(path, inputs[flag]) for flag, path in self.inputs.items()):
            return None
        notes = stamp.get("notes")
        return notes if isinstance(notes, dict) else None

    def inputs_now(self) -> dict[str, InputState]:
        """Returns what the stamp will say of the inputs; to be called before they are read.

        A file that changes while the step reads it then has another time than its stamp, so that the step is run again.
        A thread reads them through for their checksums, beside what the step itself does.
        """
        states = {flag: InputState(_size_and_time(path) or {}, Future()) for flag, path in self.inputs.items()}
        files = [(Path(path), states[flag].crc32c) for flag, path in self.inputs.items()]
        # As a daemon it keeps no command waiting that ends with a mistake.
        threading.Thread(target=_read_through, args=(files,), daemon=True).start()
        return states

    def write(self, inputs: Mapping[str, InputState], notes: Mapping[str, Any]) -> None:
        """Writes the stamp, once the outputs are there.

        Args:
            inputs: What `inputs_now` returned before the work began.
            notes: What a later run that has nothing to do is to say.
        """
        if not all(Path(path).is_file() for path in self.inputs.values()):
            return  # a pipe gives its content once
        states = {flag: {**state.size_and_time, "crc32c": state.crc32c.result()} for flag, state in inputs.items()}
        outputs = [_size_and_time(path) for path in self.outputs]
        write_json(
            self.stamp_path,
            {"step": self._identity(), "inputs": states, "outputs": outputs, "notes": dict(notes)},
            indent=1,
        )

    def _identity(self) -> dict[str, Any]:
        names = [Path(path).name for path in self.outputs]
        return {"format": _FORMAT, "name": self.name, "flags": dict(self.flags), "outputs": names}


def _read(path: Path) -> dict[str, Any] | None:
    """Returns a stamp; None for one that is not there or was damaged, which only means that the step is run again."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _size_and_time(path: str | os.PathLike[str]) -> dict[str, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _is_unchanged(path: str | os.PathLike[str], stamped: Any) -> bool:
    now = _size_and_time(path)
    if now is None or not isinstance(stamped, dict) or stamped.get("size") != now["size"]:
        return False
    return stamped.get("mtime_ns") == now["mtime_ns"] or stamped.get("crc32c") == _crc32c(Path(path))


def _read_through(files: Sequence[tuple[Path, Future[int | None]]]) -> None:
    for path, future in files:
        try:
            future.set_result(_crc32c(path) if path.is_file() else None)
        except OSError as error:
            future.set_exception(error)


def _crc32c(path: Path) -> int:
    checksum = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = google_crc32c.extend(checksum, chunk)
    return checksum
