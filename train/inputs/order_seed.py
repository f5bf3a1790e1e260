"""`input_order.json` in the model folder: the seed of the input's order, of a run that nobody gave a seed.

A run that goes on takes the seed that its first start drew, so that it goes on in the same order. Whoever comes first
draws it, of several workers that share the folder; the others find it.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from data_prep.runtime.atomic_files import new_temporary_path
from data_prep.runtime.command_line import UserError

ORDER_SEED_NAME = "input_order.json"
LARGEST_SEED = 2**31 - 1


def keep_order_seed(model_dir: Path) -> int:
    """Returns the seed of a model folder, for `build_training_dataset(drawn_seed=...)`; draws one where there is none.

    Args:
        model_dir: Is made if missing.

    Raises:
        UserError: What is there is no seed of ours.
    """
    path = model_dir / ORDER_SEED_NAME
    if not path.exists():
        _write_new(path, secrets.randbelow(LARGEST_SEED))
    try:
        content = json.loads(path.read_bytes())
        seed = content["seed"]
        if type(seed) is not int or not 0 <= seed < LARGEST_SEED:
            raise ValueError(f"{seed!r} is no seed")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{path} holds no seed ({type(error).__name__}: {reason}); delete it, and the input takes a new order"
        ) from error
    return seed


def _write_new(path: Path, seed: int) -> None:
    """Writes a seed, whole, unless another process has written one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_temporary_path(path)
    try:
        temporary.write_text(json.dumps({"seed": seed}) + "\n", encoding="utf-8")
        try:
            os.link(temporary, path)  # unlike renaming, it replaces nothing
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
