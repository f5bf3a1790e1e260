"""Values of a checkpoint as TensorFlow's reader gives them; what is damaged or not finite is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_prep.runtime.command_line import UserError
from train.checkpoints.files import READ_ERRORS


def read_values(reader: Any, keys: Sequence[str], prefix: str, name_of: Callable[[str], str] = str) -> list[Any]:
    """Returns the values at `keys`: arrays, or bytes where a text was saved; of the file's dtypes.

    Args:
        reader: Of `tf.train.load_checkpoint`.
        keys: Of values that are there.
        prefix: What errors call the checkpoint.
        name_of: Returns what they call the variable of a key.

    Raises:
        UserError: One cannot be read (a file is cut short or damaged), or holds a number that is not finite.
    """
    values = []
    for key in keys:
        try:
            value = reader.get_tensor(key)
        except READ_ERRORS as error:
            raise unreadable(prefix, error) from error
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(
                f"{prefix}: {name_of(key)} holds numbers that are not finite: its training diverged; take another"
            )
        values.append(value)
    return values


def unreadable(prefix: str, error: Exception) -> UserError:
    """Returns the error for a checkpoint that TensorFlow's reader raised `error` for."""
    detail = str(getattr(error, "message", error)).splitlines()
    return UserError(f"{prefix}: the checkpoint cannot be read: {detail[0][:200] if detail else type(error).__name__}")
