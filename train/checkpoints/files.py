"""Resolution of a checkpoint's path to its files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import tensorflow as tf

from data_prep.runtime.command_line import UserError

CHECKPOINT_NAME = "ckpt"  # of what training and export save, before the step

# What TensorFlow's reader raises, besides its own errors, for files that are cut short or damaged.
READ_ERRORS = (tf.errors.OpError, ValueError, IndexError, KeyError, RuntimeError)

# The last bytes of a table of LevelDB's, which a checkpoint of the first format is.
_TABLE_MARK = bytes.fromhex("57fb808b247547db")


def find_checkpoint(path: str | Path) -> str:
    """Finds the checkpoint that `path` means.

    Args:
        path: A checkpoint's prefix (`M/ckpt-300`), its `.index` file, or a folder: the newest checkpoint in it, or in
            the folder `checkpoint` inside it, as exported models have; or a SavedModel's folder, whose variables are a
            checkpoint too; or TensorFlow 1's first format, a checkpoint in one file.

    Returns:
        The checkpoint's prefix.

    Raises:
        UserError: There is none.
    """
    path = Path(path)
    if path.is_dir():
        prefix = newest_checkpoint(path) or _saved_model_variables(path)
        if prefix is None:
            raise UserError(
                f"{path}: no checkpoint in this folder (no NAME-STEP.index file); train.train writes them into its "
                "--model_dir"
            )
        return prefix
    prefix = str(path).removesuffix(".index")
    if not Path(prefix + ".index").is_file() and not _is_one_file(Path(prefix)):
        others = sorted(other.name.removesuffix(".index") for other in path.parent.glob("*.index"))
        hint = f"the folder has {', '.join(others[-5:])}" if others else "the folder has no checkpoints"
        raise UserError(f"{path}: no such checkpoint ({Path(prefix).name}.index is not there); {hint}")
    return prefix


def _is_one_file(path: Path) -> bool:
    """Whether a file is a checkpoint of TensorFlow 1's first format, by the mark at the end of its table."""
    if not path.is_file() or path.stat().st_size < len(_TABLE_MARK):
        return False
    with path.open("rb") as file:
        file.seek(-len(_TABLE_MARK), os.SEEK_END)
        return file.read() == _TABLE_MARK


def _saved_model_variables(folder: Path) -> str | None:
    """The prefix of a SavedModel's variables, in the folder that an exporter wrote or in the SavedModel's own.

    Raises:
        UserError: There is a SavedModel and it has no variables.
    """
    for place in (folder, folder / "saved_model"):
        if (place / "saved_model.pb").is_file() or (place / "variables").is_dir():
            prefix = place / "variables" / "variables"
            if prefix.with_name("variables.index").is_file():
                return str(prefix)
            raise UserError(
                f"{place}: a SavedModel without variables, whose weights are constants of its graph; take the "
                "checkpoint that it was exported from, which our exporter writes beside it into checkpoint/"
            )
    return None


def newest_checkpoint(folder: str | Path) -> str | None:
    """The newest checkpoint in a folder, or in the folder `checkpoint` inside it, or None where there is none (yet)."""
    for place in (Path(folder), Path(folder) / "checkpoint"):
        if place.is_dir() and (prefix := _newest_of(place)):
            return prefix
    return None


def _newest_of(folder: Path) -> str | None:
    """The newest checkpoint by TensorFlow's own `checkpoint` file, or, where a copy left that behind, by number."""
    state = folder / "checkpoint"
    if state.is_file():
        try:
            named = tf.train.latest_checkpoint(str(folder))
        except READ_ERRORS:  # Unreadable; the numbers below say as much.
            named = None
        if named:  # The file may hold the absolute path of a folder that this one was copied from.
            here = folder / Path(named).name
            return str(here) if here.with_name(here.name + ".index").is_file() else named
    numbered = [
        (int(match[1]), file) for file in folder.glob("*.index") if (match := re.search(r"-(\d+)\.index$", file.name))
    ]
    return str(max(numbered)[1]).removesuffix(".index") if numbered else None
