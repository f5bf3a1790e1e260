"""Batch norms that came back from convolutions with which they had been folded, and the mark of it in a checkpoint.

Such a batch norm knows a bias and no statistics. In inference that is exact. In training, statistics of the batch would
take their place, and the network would be another.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from data_prep.runtime.command_line import UserError
from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.models.batch_norm import FreezableBatchNorm

# The child of a checkpoint's root that says so.
CHILD_NAME = "folded_batch_norm"


class FoldedBatchNorm(tf.train.experimental.PythonState):
    """Marks a checkpoint whose batch norms have no statistics."""

    def serialize(self) -> str:
        """Something that is there."""
        return "{}"

    def deserialize(self, string_value: str) -> None:
        """Does nothing: whoever trains asks."""


def has_folded_norms(source: ObjectCheckpoint) -> bool:
    """Whether a checkpoint is marked."""
    return source.follow([CHILD_NAME]) is not None


def require_frozen_norms(network: Any, checkpoint: str) -> None:
    """Checks that training keeps a network's statistics, since a checkpoint has none that are of any data.

    Raises:
        UserError: A batch norm of the network takes a batch's statistics.
    """
    if any(isinstance(layer, FreezableBatchNorm) and not layer.frozen for layer in network._flatten_layers()):
        raise UserError(
            f"{checkpoint}: its batch norms were folded (TensorFlow Lite) and have no statistics to train with; write "
            "model.ssd.freeze_batchnorm: true, or import it again with --calibration_images"
        )
