"""Plain messages for TensorFlow's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from configs.settings.inputs import InputReader
from data_prep.runtime.command_line import UserError
from train.inputs.record_errors import FAILURES, sentence_about

NOT_FINITE = "a loss is not finite"  # how the sentence of the step that found one begins


class NonFiniteLossError(UserError):
    """A loss became infinite, or no number; the message names the images."""


@contextlib.contextmanager
def explained_failures(*readers: InputReader | None) -> Iterator[None]:
    """Turns what TensorFlow says of a broken record, an infinite loss or too little memory into one line.

    Args:
        readers: Whose records are read inside; None is none.
    """
    try:
        yield
    except FAILURES as error:
        sentence = sentence_about(error, [reader for reader in readers if reader is not None])
        if sentence is not None and sentence.startswith(NOT_FINITE):
            raise NonFiniteLossError(sentence) from error
        if sentence is not None:
            raise UserError(sentence) from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise UserError(
                "out of memory; make train_config.batch_size or the image_resizer's size smaller "
                f"({error.message.splitlines()[0]})"
            ) from error
        raise
