"""Plain messages for TensorFlow's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from data_prep.runtime.command_line import UserError
from train.inputs.input_errors import readable_error

NOT_FINITE = "a loss is not finite"  # how the sentence of the step that found one begins


class NonFiniteLossError(UserError):
    """A loss became infinite, or no number; the message names the images."""


@contextlib.contextmanager
def explained_failures() -> Iterator[None]:
    """Turns what TensorFlow says of a broken record, an infinite loss or too little memory into one line."""
    try:
        yield
    except tf.errors.OpError as error:
        sentence = readable_error(error)
        if sentence is not None and sentence.startswith(NOT_FINITE):
            raise NonFiniteLossError(sentence) from error
        if sentence is not None:
            raise UserError(sentence) from error
        if isinstance(error, tf.errors.DataLossError):
            raise UserError(f"a record file is damaged: {error.message.splitlines()[0]}") from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise UserError(
                "out of memory; make train_config.batch_size or the image_resizer's size smaller "
                f"({error.message.splitlines()[0]})"
            ) from error
        raise
