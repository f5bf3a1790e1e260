"""Going on with a training from its last checkpoint."""

from __future__ import annotations

import tensorflow as tf

from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.checkpoints.object_paths import children_of
from train.checkpoints.trunk_check import CHILD_NAME


def resume(checkpoint: tf.train.Checkpoint, prefix: str) -> None:
    """Gives everything that a training saves the values that it saved.

    Checkpoints that were written before they held what their trunk makes of a test image are resumed too.

    Args:
        checkpoint: What the training saves.
        prefix: The checkpoint to go on from.

    Raises:
        UserError: It cannot be read.
        AssertionError: It is of another model.
        ValueError: A variable has another shape.
    """
    if ObjectCheckpoint(prefix).follow([CHILD_NAME]) is None:
        children = children_of(checkpoint)
        checkpoint = tf.train.Checkpoint(
            **{name: child for name, child in children.items() if name not in (CHILD_NAME, "save_counter")}
        )
    checkpoint.restore(prefix).assert_existing_objects_matched()
