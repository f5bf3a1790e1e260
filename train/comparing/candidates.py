"""What is compared, told by its path: a checkpoint, a SavedModel, a TensorFlow Lite file or a file of detections."""

from __future__ import annotations

from pathlib import Path

from data_prep.runtime.command_line import UsageError
from train.comparing.candidate import Candidate, Kind
from train.evaluation.given_detections import is_detections_file
from train.evaluation.saved_model_folder import find_saved_model

TFLITE_SUFFIX = ".tflite"


def find_candidates(paths: list[str]) -> list[Candidate]:
    """Finds out what paths are.

    A folder with a SavedModel (its own, the exporter's, or a base folder of versions, of which the newest counts) is
    that; any other folder, and a checkpoint's prefix, is the newest checkpoint in it. A file is told by its name.

    Args:
        paths: As they were given, two or more.

    Raises:
        UsageError: There are fewer, or more than letters; or one is nothing that can be compared.
        UserError: One is no such file, or a folder with nothing to compare in it.
    """
    if not 2 <= len(paths) <= 26:
        raise UsageError(f"{len(paths)} to compare; give two or more, the one to be better than first")
    return [_find(chr(ord("A") + number), path) for number, path in enumerate(paths)]


def _find(letter: str, name: str) -> Candidate:
    path = Path(name)
    if path.is_file() and path.suffix.lower() == TFLITE_SUFFIX:
        return Candidate(letter, name, path, Kind.TFLITE)
    if path.is_file() and is_detections_file(path):
        return Candidate(letter, name, path, Kind.DETECTIONS)
    if path.suffix.lower() == TFLITE_SUFFIX or is_detections_file(path):
        raise UsageError(f"{name}: no such file")
    saved_model = find_saved_model(path)
    if saved_model is not None:
        return Candidate(letter, name, saved_model, Kind.SAVED_MODEL)
    from train.checkpoints.files import find_checkpoint

    return Candidate(letter, name, Path(find_checkpoint(path)), Kind.CHECKPOINT)
