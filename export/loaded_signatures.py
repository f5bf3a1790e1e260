"""A SavedModel's signatures to ask: as TensorFlow 2 functions, and through a session as a C++ server reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from export.image_inputs import INPUT_NAME

# From a signature's name and what its input takes to what its outputs hold, without the batch's dimension.
Ask = Callable[[str, np.ndarray], dict[str, np.ndarray]]


@contextlib.contextmanager
def as_functions(saved_model_dir: Path) -> Iterator[Ask]:
    """Loads a SavedModel as a Python program does."""
    loaded = tf.saved_model.load(str(saved_model_dir))

    def ask(signature: str, request: np.ndarray) -> dict[str, np.ndarray]:
        answers = loaded.signatures[signature](**{INPUT_NAME: tf.constant(request)})
        return {name: value.numpy()[0] for name, value in answers.items()}

    yield ask


@contextlib.contextmanager
def through_session(saved_model_dir: Path) -> Iterator[Ask]:
    """Loads a SavedModel as TensorFlow Serving and other C++ programs do: by the names of tensors in a graph."""
    graph = tf.Graph()
    with contextlib.closing(tf.compat.v1.Session(graph=graph)) as session:
        with graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(saved_model_dir))

        def ask(signature: str, request: np.ndarray) -> dict[str, np.ndarray]:
            definition = meta_graph.signature_def[signature]
            fetches = {name: tensor.name for name, tensor in definition.outputs.items()}
            answers = session.run(fetches, {definition.inputs[INPUT_NAME].name: request})
            return {name: value[0] for name, value in answers.items()}

        yield ask


LOADERS = {"TF2 function": as_functions, "Session": through_session}
