"""Checks inside the input pipeline that stop it with a sentence naming the image, and reading that sentence back.

TensorFlow ops cannot raise a `UserError`: they raise `tf.errors.InvalidArgumentError` with a page of text around what
they were told to say. `ensure` puts the sentence in, `readable_error` takes it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import tensorflow as tf

_MARK = "bad record: "
# Up to the bracket with which TensorFlow closes an assertion's data; the sentence itself has no square brackets.
_SENTENCE = re.compile(re.escape(_MARK) + r"(.*?)\](?:\s|$)", re.DOTALL)


def ensure(condition: tf.Tensor, message: Callable[[], tf.Tensor]) -> tf.Operation | tf.Tensor:
    """Stops the pipeline with a sentence unless `condition` holds.

    The sentence is put together only when it is needed: a record that is right pays for one `tf.cond`.

    Args:
        condition: Bool scalar.
        message: Makes the sentence, a string scalar that names the image. Square brackets in it are written as round.

    Returns:
        Something to put into `tf.control_dependencies` where what follows would fail less clearly.
    """

    def fail() -> tf.Tensor:
        cleaned = tf.strings.regex_replace(tf.strings.regex_replace(message(), r"\[", "("), r"\]", ")")
        with tf.control_dependencies([tf.debugging.Assert(False, [tf.strings.join([_MARK, cleaned])])]):
            return tf.constant(False)

    return tf.cond(condition, lambda: tf.constant(True), fail)


def sentence(source_id: tf.Tensor, *parts: tf.Tensor | str) -> tf.Tensor:
    """Returns a sentence about an image, for `ensure`: its id, then the parts."""
    return tf.strings.join(["image '", source_id, "': ", *parts])


def readable_error(error: BaseException) -> str | None:
    """Returns the sentence that `ensure` put into a TensorFlow error, or None when the error is about something else.

    Args:
        error: What a step or an iterator raised, mostly a `tf.errors.InvalidArgumentError`.
    """
    found = _SENTENCE.search(str(error))
    if found is None:
        return None
    # TensorFlow writes an assertion's data as C would, with backslashes before quotes and for bytes that are not text.
    as_bytes = found.group(1).encode().decode("unicode_escape").encode("latin-1", "replace")
    return " ".join(as_bytes.decode("utf-8", "replace").split())
