"""Gradients and steps of training beside the stored ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tests.reference.folder import ReferenceFolder
from tests.reference.verdict import TRAINING, Comparison, of_range, of_values, worst
from train.models.detector import Detector, Labels

Variables = Mapping[str, tf.Variable]
# With batch norm over two images, gradients are at the mercy of rounding: changing each pixel by a millionth of
# itself moves the joint norm of the third step by 4%, and one variable's norm in the first by 15%. The losses stay.
_JOINT_NORM = 0.1
_ONE_NORM = 0.2
# A gradient's norm below this share of all gradients' joint norm is rounding: a bias before batch norm has none.
_NO_GRADIENT = 1e-4


def compare_regularization(detector: Detector, folder: ReferenceFolder) -> Comparison:
    """Compares the sum of the weight decay's terms."""
    expected = folder.report["regularization_losses"]["sum"]
    return of_values("regularisation", [float(detector.regularization_loss())], [expected], 1e-5, floor=1e-6)


def compare_steps(
    detector: Detector, folder: ReferenceFolder, variables: Variables, images: tf.Tensor, labels: Labels
) -> Iterator[Comparison]:
    """Takes three steps as the report says, and compares losses, gradients and moving statistics.

    The detector's variables have other values afterwards.
    """
    stored = folder.report["train_3_steps"]
    for layer in detector.network._flatten_layers():
        if isinstance(layer, tf_keras.layers.Dropout):
            layer.rate = 0.0
    optimizer = tf_keras.optimizers.legacy.SGD(stored["learning_rate"], stored["momentum"])
    rows, norms = [], []
    for number, expected in enumerate(stored["steps"], start=1):

        def losses() -> dict[str, tf.Tensor]:
            found = detector.compute_losses(images, labels, training=True)
            return {**found, "regularization": detector.regularization_loss()}

        found, gradients = _gradients(losses, variables)
        if number == 1:
            yield _compare_norms("first step's gradients", gradients, stored["first_step_gradient_norms"], folder)
        found["gradient_global_norm"] = tf.linalg.global_norm([tf.convert_to_tensor(g) for g in gradients.values()])
        joint = "gradient_global_norm"
        names = [name for name in expected if name != joint]
        losses_row = of_values("", [found[name] for name in names], [expected[name] for name in names], TRAINING)
        rows.append(losses_row)
        norms.append(of_values("", [found[joint]], [expected[joint]], _JOINT_NORM))
        optimizer.apply_gradients((gradient, variables[path]) for path, gradient in gradients.items())
    yield worst("three steps of SGD, losses", rows)
    yield worst("three steps of SGD, gradients' norms", norms)
    statistics = [
        of_range(name, variables[path].numpy()[: len(values)], values, TRAINING)
        for name, values in stored["first_4_batchnorm_values_after_3_steps"].items()
        if (path := folder.path_of_variable(name)) is not None
    ]
    yield worst("moving statistics after them", statistics, f"{len(statistics)} vectors")


def compare_gradients(
    losses: Callable[[], dict[str, tf.Tensor]], folder: ReferenceFolder, variables: Variables
) -> Iterator[Comparison]:
    """Compares the gradients of a sum of losses in inference mode."""
    stored = folder.report["gradients_inference_mode_without_objectness_loss"]
    found, gradients = _gradients(losses, variables)
    joint = tf.linalg.global_norm([tf.convert_to_tensor(g) for g in gradients.values()])
    expected = [stored["total"], stored["global_norm"]]
    yield of_values("sum of three losses, and its gradient", [found["total"], joint], expected, TRAINING)
    yield _compare_norms("gradients", gradients, stored["norms"], folder)


def _gradients(
    losses: Callable[[], dict[str, tf.Tensor]], variables: Variables
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """The losses, their `total`, and its gradient by variable, for variables that it depends on."""
    with tf.GradientTape() as tape:
        found = losses()
        found["total"] = tf.add_n(list(found.values()))
    trained = {path: variable for path, variable in variables.items() if variable.trainable}
    gradients = tape.gradient(found["total"], trained)
    return found, {path: gradient for path, gradient in gradients.items() if gradient is not None}


def _compare_norms(
    stage: str, gradients: Mapping[str, tf.Tensor], stored: Mapping[str, Any], folder: ReferenceFolder
) -> Comparison:
    expected = {
        path: norm for name, norm in stored.items() if norm is not None and (path := folder.path_of_variable(name))
    }
    found = {
        path: float(tf.norm(tf.convert_to_tensor(gradients[path]))) if path in gradients else 0.0 for path in expected
    }
    floor = _NO_GRADIENT * float(np.linalg.norm(list(expected.values())))
    note = f"{len(expected)} of {len(stored)} variables"
    extra = [path for path in gradients if path not in expected and float(tf.norm(gradients[path])) > floor]
    if extra:
        return Comparison(stage, np.inf, np.inf, False, f"{note}; {extra[0]} has a gradient, and {len(extra) - 1} more")
    differences = {path: abs(found[path] - norm) / max(norm, floor) for path, norm in expected.items()}
    most, median = max(differences, key=differences.__getitem__), float(np.median(list(differences.values())))
    largest = of_values(stage, [found[most]], [expected[most]], _ONE_NORM, floor=floor)
    return dataclasses.replace(
        largest,
        passed=largest.passed and median <= TRAINING,
        note=f"{note}, {median:.1g} in half of them; most in {most}",
    )
