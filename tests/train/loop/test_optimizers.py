"""The optimizers against the formulas of their papers, and what a learning rate of its own does to a variable."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from configs.settings.extensions import Extensions
from configs.settings.optimizers import Optimizer
from configs.settings.reading import read_settings_text
from tests.train.loop.two_cpus import run_on_two_cpus
from train.loop.moving_average import moving_averages, start_moving_average
from train.loop.optimization import build_optimizer, create_slots

RATE = 0.125
CONSTANT = f"learning_rate {{ constant_learning_rate {{ learning_rate: {RATE} }} }}"
KINDS = {
    "momentum": ("momentum_optimizer", ""),
    "momentum 0": ("momentum_optimizer", ""),
    "adam": ("adam_optimizer", ""),
    "rms_prop": ("rms_prop_optimizer", ""),
    "adamw": ("adam_optimizer", "optimizer { adamw { weight_decay: 0.5 } }"),
    "lamb": ("adam_optimizer", "optimizer { lamb { weight_decay: 0.5 } }"),
}


def build(kind: str, multipliers=None, *, average: bool = False):
    name, more = KINDS[kind]
    extra = "momentum_optimizer_value: 0" if kind == "momentum 0" else ""
    text = f"{name} {{ {CONSTANT} {extra} }} use_moving_average: {str(average).lower()} moving_average_decay: 0.5"
    optimizer, _ = build_optimizer(
        read_settings_text(Optimizer, text), read_settings_text(Extensions, more), multipliers
    )
    return optimizer


def gradients_of(step: int) -> list[np.ndarray]:
    random = np.random.default_rng(step)
    return [random.normal(size=shape).astype(np.float32) for shape in ((3, 2), (2,), (3, 2), (2,))]


def variables_of() -> list[tf.Variable]:
    """A kernel and a bias of a layer that learns as the others, and those of one with a rate of its own."""
    random = np.random.default_rng(7)
    names = ("a/kernel", "a/bias", "b/kernel", "b/bias")
    return [
        tf.Variable(random.normal(size=(3, 2) if "kernel" in name else (2,)).astype(np.float32), name=name)
        for name in names
    ]


def applied(optimizer, variables, steps: int = 4) -> list[np.ndarray]:
    @tf.function(autograph=False)
    def step(gradients):
        optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))

    create_slots(optimizer, variables)
    for number in range(steps):
        step([tf.constant(gradient) for gradient in gradients_of(number)])
    return [variable.numpy() for variable in variables]


def reference(kind: str, value: np.ndarray, index: int, rate: float, steps: int = 4) -> np.ndarray:
    """The update of each paper in 64 bits; `index` says which variable's gradients to take."""
    value = value.astype(np.float64)
    m = v = 0.0
    for t in range(1, steps + 1):
        g = gradients_of(t - 1)[index].astype(np.float64)
        decay = 0.5 if value.ndim > 1 else 0.0
        if kind.startswith("momentum"):
            m = (0.0 if kind == "momentum 0" else 0.9) * m + rate * g
            value = value - m
        elif kind == "rms_prop":
            v = 0.9 * v + 0.1 * g * g
            m = 0.9 * m + rate * g / np.sqrt(v + 1.0)
            value = value - m
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            direction = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + (1e-6 if kind == "lamb" else 1e-8))
            if kind == "adam":
                value = value - rate * direction
            elif kind == "adamw":  # Loshchilov and Hutter, algorithm 2, with the rate as its schedule multiplier
                value = value - rate * (direction + decay * value)
            else:  # You et al., algorithm 2, with the identity for phi
                direction = direction + decay * value
                ratio = np.linalg.norm(value) / np.linalg.norm(direction) if value.ndim > 1 else 1.0
                value = value - rate * ratio * direction
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_follows_its_formula_and_a_multiplier_is_the_rates(kind):
    """Momentum, Adam, RMSProp, AdamW and LAMB alike: the update is multiplied, where gradients would change nothing."""
    variables = variables_of()
    start = [variable.numpy() for variable in variables]
    multipliers = {variables[2].ref(): 0.25, variables[3].ref(): 0.25}
    found = applied(build(kind, multipliers), variables)
    for index, value in enumerate(found):
        rate = RATE * (0.25 if index >= 2 else 1.0)
        expected = reference(kind, start[index], index, rate)
        np.testing.assert_allclose(value, expected, rtol=2e-4, atol=2e-5)
        assert np.abs(value - start[index]).max() > 1e-3


def test_biases_are_spared_by_weight_decay():
    """Without a gradient, a kernel shrinks and what has one dimension stays."""
    for kind in ("adamw", "lamb"):
        variables = variables_of()
        optimizer = build(kind)
        create_slots(optimizer, variables)
        before = [variable.numpy() for variable in variables]
        optimizer.apply_gradients([(tf.zeros_like(variable), variable) for variable in variables])
        for old, variable in zip(before, variables, strict=True):
            if old.ndim == 1:
                np.testing.assert_array_equal(variable, old)
            else:
                assert np.linalg.norm(variable) < 0.95 * np.linalg.norm(old)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_without_multipliers_goes_on_with_them(kind, tmp_path):
    """The slots are those of Keras' own classes; one that Keras' class has saved is read too."""
    variables = variables_of()
    optimizer = build(kind)
    applied(optimizer, variables)
    names = [f"v{index}" for index in range(4)]
    saved = tf.train.Checkpoint(optimizer=optimizer, **dict(zip(names, variables, strict=True)))
    prefix = saved.save(str(tmp_path / "ckpt"))
    others = variables_of()
    resumed = build(kind, {others[2].ref(): 0.5})
    create_slots(resumed, others)
    status = tf.train.Checkpoint(optimizer=resumed, **dict(zip(names, others, strict=True))).restore(prefix)
    status.assert_existing_objects_matched().assert_consumed()
    assert int(resumed.iterations) == 4
    for variable, other in zip(variables, others, strict=True):
        np.testing.assert_array_equal(variable, other)
        for slot in optimizer.get_slot_names():
            np.testing.assert_array_equal(optimizer.get_slot(variable, slot), resumed.get_slot(other, slot))


def test_a_checkpoint_of_keras_own_class_is_read(tmp_path):
    variables = variables_of()
    theirs = tf_keras.optimizers.legacy.Adam(RATE, epsilon=1e-8)
    applied(theirs, variables)
    prefix = tf.train.Checkpoint(optimizer=theirs).save(str(tmp_path / "ckpt"))
    ours = build("adam")
    create_slots(ours, variables)
    tf.train.Checkpoint(optimizer=ours).restore(prefix).assert_existing_objects_matched()
    assert int(ours.iterations) == 4


def check_with_averages_and_scaled_losses(strategy: tf.distribute.Strategy) -> None:
    """As a run puts it together: averages inside loss scaling, on every replica."""
    replicas = strategy.num_replicas_in_sync
    for kind in ("momentum", "adamw", "lamb"):
        with strategy.scope():
            model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,), name="a")])
            variables = model.trainable_variables
            for variable, value in zip(variables, variables_of()[:2], strict=True):
                variable.assign(value)
            optimizer = build(kind, {variable.ref(): 0.25 for variable in variables}, average=True)
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer, dynamic=False, initial_scale=1.0)
            start_moving_average(optimizer, model)
            create_slots(optimizer, variables)
        start = [variable.numpy() for variable in variables]

        @tf.function(autograph=False)
        def run(gradients, optimizer=optimizer, variables=variables):
            def step():
                optimizer.get_scaled_loss(tf.constant(0.0))
                share = optimizer.get_unscaled_gradients([gradient / replicas for gradient in gradients])
                optimizer.apply_gradients(list(zip(share, variables, strict=True)))

            strategy.run(step)

        for number in range(3):
            run([tf.constant(gradient) for gradient in gradients_of(number)[:2]])
        for index, variable in enumerate(variables):
            expected = reference(kind, start[index], index, RATE * 0.25, steps=3)
            for copy in strategy.experimental_local_results(variable):
                np.testing.assert_allclose(copy.numpy(), expected, rtol=2e-4, atol=2e-5)
        last = variables[0].numpy()
        with moving_averages(optimizer, model):
            assert np.abs(variables[0].numpy() - last).max() > 1e-4


def test_multipliers_hold_with_averages_and_scaled_losses():
    check_with_averages_and_scaled_losses(tf.distribute.get_strategy())


def test_multipliers_hold_on_two_devices():
    run_on_two_cpus("tests.train.loop.test_optimizers", "check_with_averages_and_scaled_losses")
