"""The part of the input that is one worker's, where several processes (or several inputs in one) train together.

TensorFlow gives each worker an input pipeline of its own, and expects batches for one replica from it: consecutive
ones go to the worker's replicas in turn.

With a seed, every worker goes over the same records in the same order and decodes of each batch the rows that are its
own. So the batches are what one device would get, in images and in augmentation, for the price that each worker reads
all records, still encoded. Without a seed the files are divided among the workers, each of which shuffles its own.
That needs as many files as workers, no end (workers would come to theirs at different steps), and no class-aware
sampling, which counts over all records; else rows are divided too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from train.inputs.records import RecordFiles, RecordSet


@dataclasses.dataclass(frozen=True)
class InputShard:
    """One pipeline's part.

    Attributes:
        index: Of the pipeline, from 0.
        count: How many pipelines there are.
        by_file: Whether files are divided; else the rows of each batch are.
    """

    index: int
    count: int
    by_file: bool

    def sets(self, sets: Sequence[RecordSet]) -> list[RecordSet]:
        """Returns the files that this pipeline reads."""
        if not self.by_file:
            return list(sets)
        return [RecordSet(RecordFiles(files.paths[self.index :: self.count]), weight) for files, weight in sets]

    def owns(self, numbers: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Tells which records are in this pipeline's rows of the batches.

        Args:
            numbers: Of the records, int64 of any shape; the first batch begins at 0.
            batch_size: Over all replicas; a multiple of the number of pipelines.

        Returns:
            bool of the same shape.
        """
        if self.by_file or self.count == 1:
            return tf.ones_like(numbers, tf.bool)
        return tf.equal((numbers % batch_size) // (batch_size // self.count), self.index)


def shard_input(
    context: tf.distribute.InputContext | None,
    smallest_number_of_files: int,
    *,
    is_seeded: bool,
    is_endless: bool,
    is_sampled: bool,
) -> InputShard:
    """Decides how the input is divided, and says so once, from the first worker.

    Args:
        context: From `tf.distribute`; None: nothing is divided.
        smallest_number_of_files: Of the sets of records that are drawn from.
        is_seeded: Whether the batches are to be those of one device.
        is_endless: Whether the records are gone over without end.
        is_sampled: Whether sampling is class-aware.
    """
    index, count = (context.input_pipeline_id, context.num_input_pipelines) if context is not None else (0, 1)
    reasons = {
        "with a seed, batches are those of one device": is_seeded,
        "with num_epochs, all come to the end together": not is_endless,
        "class-aware sampling counts over all records": is_sampled,
        f"there are {smallest_number_of_files} files for {count} workers": smallest_number_of_files < count,
    }
    given = [reason for reason, holds in reasons.items() if holds]
    if count > 1 and index == 0:
        if given:
            print(f"note: every worker reads all records and decodes its rows of each batch: {given[-1]}", flush=True)
        else:
            print(f"note: the files of records are divided among {count} workers", flush=True)
    return InputShard(index, count, by_file=count > 1 and not given)
