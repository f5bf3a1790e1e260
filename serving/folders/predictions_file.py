"""predictions.jsonl: one line an image, added as the answers come, so that a run that was killed goes on.

Each line is what `ImageDetections.as_json` gives. It reaches the file in one write, and a line that a kill or a full
disk tore stands last and without its line break: the next run cuts it off and asks about that image again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from data_prep.formats.earlier_names import value_of
from data_prep.runtime.atomic_files import naming_full_disk, write_json
from data_prep.runtime.command_line import UsageError, UserError
from serving.client_library.detections import Box, Detection, ImageDetections

PREDICTIONS_NAME = "predictions.jsonl"
RUN_NAME = "run.json"
MAX_LINE_BYTES = 64 << 20


class PredictionsFile:
    """The predictions of one model for one folder; `with PredictionsFile(...) as file:` holds it for one process.

    Attributes:
        path: The file.
        answered: The images that it has a line of, by name.
    """

    def __init__(self, directory: Path, run: dict[str, Any]) -> None:
        """Names the file; nothing is opened before `with`.

        Args:
            directory: The folder of the results; it is made.
            run: What the predictions depend on; an earlier run's must have been the same.
        """
        self.path = directory / PREDICTIONS_NAME
        self.answered: set[str] = set()
        self._run = run
        self._run_path = directory / RUN_NAME
        self._file: IO[bytes] | None = None

    def __enter__(self) -> PredictionsFile:
        """Opens the file for more lines, after a look at those that are there.

        Raises:
            UsageError: They are another model's, or of other settings.
            UserError: Another process is at work on it, or a line in the middle is broken.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+b")
        try:
            _lock(file, self.path)
            self._check_run()
            _cut_torn_line(file)
            self.answered = {result.image for result in read_predictions(self.path)}
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file, which lets another process have it."""
        if self._file is not None:
            with naming_full_disk(self.path):  # it tries once more to write what did not fit
                self._file.close()
            self._file = None

    def add(self, result: ImageDetections) -> None:
        """Writes the line of an image that was answered.

        Raises:
            ValueError: It was not answered, or the file is not open.
        """
        if result.failure is not None or self._file is None:
            raise ValueError("only answers are written, and only to an open file")
        with naming_full_disk(self.path):
            self._file.write(json.dumps(result.as_json()).encode("ascii") + b"\n")
            self._file.flush()
        self.answered.add(result.image)

    def _check_run(self) -> None:
        if not self._run_path.exists():
            if self.path.stat().st_size:
                raise UsageError(
                    f"{self.path} has no {RUN_NAME} beside it, so whose it is cannot be told; move it away"
                )
            write_json(self._run_path, self._run, indent=2)
            return
        earlier = read_run(self.path.parent)
        for name in sorted(set(earlier) | set(self._run)):
            if earlier.get(name) != self._run.get(name):
                raise UsageError(
                    f"{self.path} was made with {name} {earlier.get(name)!r}, this run has {self._run.get(name)!r}; "
                    "give another --output_directory"
                )


def has_run(directory: Path) -> bool:
    """Whether an earlier run has said there what its predictions were made with."""
    return (directory / RUN_NAME).exists()


def read_run(directory: Path) -> dict[str, Any]:
    """Returns what the predictions in `directory` were made with.

    Raises:
        UsageError: There is no such file, or it is broken.
    """
    path = directory / RUN_NAME
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{directory} holds no predictions ({RUN_NAME} is missing); give a model to ask") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(run, dict):
        raise UsageError(f"{path} must be an object")
    return run


def read_predictions(path: Path) -> Iterator[ImageDetections]:
    """Yields the images of a predictions.jsonl in its order, one in memory at a time; a torn last line is left out.

    Raises:
        UserError: A line is not of this format, with its number.
    """
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield prediction_of_json(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{path}, line {number}: not a prediction ({type(error).__name__}: {error}); remove the line, and "
                    "its image is asked about again"
                ) from error


def prediction_of_json(entry: dict[str, Any]) -> ImageDetections:
    """Returns what a line's object holds; the inverse of `ImageDetections.as_json` of an answer.

    Raises:
        ValueError, KeyError, TypeError: It is not of that form.
    """
    image = value_of(entry, "image")
    if not isinstance(image, str):
        raise ValueError("'image' is no text")
    detections = tuple(
        Detection(
            int(found["class_id"]),
            str(found["name"]),
            float(found["score"]),
            Box(**found["box_normalized"]),
            Box(**found["box_pixels"]),
        )
        for found in entry["detections"]
    )
    return ImageDetections(image, int(entry["width"]), int(entry["height"]), detections)


def fingerprint(saved_model_dir: Path) -> str:
    """Returns what tells a SavedModel from another: SHA-256 of its graph and its variables' checksums.

    `variables.index` holds a checksum of each variable, so that the weights themselves need not be read.

    Raises:
        UsageError: There is no SavedModel.
    """
    digest = hashlib.sha256()
    for name in ("saved_model.pb", "variables/variables.index"):
        path = saved_model_dir / name
        try:
            digest.update(path.read_bytes())
        except FileNotFoundError:
            if name == "saved_model.pb":
                raise UsageError(f"{saved_model_dir} holds no SavedModel ({name} is missing)") from None
    return digest.hexdigest()


def _cut_torn_line(file: IO[bytes]) -> None:
    """Shortens the file to its last line break."""
    end = file.seek(0, os.SEEK_END)
    position = end
    while position > 0:
        start = max(0, position - 65536)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            position = start + found + 1
            break
        position = start
    if position < end:
        file.truncate(position)
    file.seek(0, os.SEEK_END)


def _lock(file: IO[bytes], path: Path) -> None:
    """Takes the file for this process; the system gives it free when the process ends, however it does."""
    with contextlib.suppress(ImportError):  # Windows has no fcntl; there two runs at once are not refused
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is writing {path}; wait for it, or give another folder") from None
