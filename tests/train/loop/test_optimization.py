from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from configs.settings.declaration import SettingsError
from configs.settings.extensions import Extensions
from configs.settings.optimizers import Optimizer
from configs.settings.reading import read_settings_text
from configs.settings.training import TrainConfig
from data_prep.runtime.command_line import UsageError
from tests.train.loop.tiny_detector import TinyDetector
from train.loop.gradients import clip_gradients, scale_bias_gradients
from train.loop.moving_average import moving_averages, start_moving_average
from train.loop.optimization import build_optimizer
from train.loop.variable_patterns import trainable_variables_of

CONSTANT = "learning_rate { constant_learning_rate { learning_rate: 0.5 } }"


def optimizer_of(text: str):
    return build_optimizer(read_settings_text(Optimizer, text, "train_config.optimizer"))


def values_after(text: str, gradients: list[float], start: float = 1.0) -> list[float]:
    optimizer, _ = optimizer_of(text)
    variable = tf.Variable(start)
    values = []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        values.append(float(variable))
    return values


def test_momentum_is_not_nesterovs():
    text = f"momentum_optimizer {{ {CONSTANT} momentum_optimizer_value: 0.5 }} use_moving_average: false"
    # accumulator: 1, then 0.5 * 1 + 2 = 2.5; each step takes 0.5 of it.
    assert values_after(text, [1.0, 2.0]) == pytest.approx([0.5, -0.75])


def test_rms_prop_reads_decay_as_that_of_the_average():
    text = f"""rms_prop_optimizer {{ {CONSTANT} decay: 0.75 momentum_optimizer_value: 0.5 epsilon: 1 }}
               use_moving_average: false"""
    # average of squares: 0.25 * 4 = 1, then 0.75 * 1 + 0.25 * 4 = 1.75; epsilon is added below the root.
    first = 0.5 * 2 / 2**0.5
    second = 0.5 * first + 0.5 * 2 / 2.75**0.5
    assert values_after(text, [2.0, 2.0]) == pytest.approx([1 - first, 1 - first - second], rel=1e-6)


def test_adam_with_the_configs_epsilon():
    text = f"adam_optimizer {{ {CONSTANT} epsilon: 1e-8 }} use_moving_average: false"
    assert values_after(text, [3.0]) == pytest.approx([0.5], abs=1e-5)  # the first step has the size of the rate
    text = f"adam_optimizer {{ {CONSTANT} epsilon: 1 }} use_moving_average: false"
    # epsilon is added to the root of the uncorrected average: 0.1 * 3 * sqrt(0.001) / 0.1 / (sqrt(0.001 * 9) + 1)
    step = 0.5 * 3 * 0.001**0.5 / ((0.001 * 9) ** 0.5 + 1)
    assert values_after(text, [3.0]) == pytest.approx([1 - step], rel=1e-4)


def test_the_optimizer_follows_the_schedule():
    text = """momentum_optimizer { momentum_optimizer_value: 0 learning_rate { manual_step_learning_rate {
              initial_learning_rate: 1 schedule { step: 2 learning_rate: 0.25 } } } } use_moving_average: false"""
    assert values_after(text, [1.0] * 4, start=0.0) == pytest.approx([-1, -2, -2.25, -2.5])
    _, schedule = optimizer_of(text)
    assert schedule(np.arange(4)).numpy().tolist() == [1, 1, 0.25, 0.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train_config.optimizer: is not set"),
        ("adam_optimizer { }", "train_config.optimizer.adam_optimizer.learning_rate: is not set"),
        (f"adam_optimizer {{ {CONSTANT} epsilon: 0 }}", "adam_optimizer.epsilon: 0 must be greater than 0"),
        (f"momentum_optimizer {{ {CONSTANT} momentum_optimizer_value: 1 }}", "momentum_optimizer_value: 1 must be"),
        (f"rms_prop_optimizer {{ {CONSTANT} decay: 1.5 }}", "rms_prop_optimizer.decay: 1.5 must be"),
        (f"adam_optimizer {{ {CONSTANT} }} moving_average_decay: -1", "optimizer.moving_average_decay: -1 must be"),
    ],
)
def test_what_cannot_be_is_refused_by_path(text, message):
    with pytest.raises(SettingsError, match=message):
        optimizer_of(text)


def test_moving_average_is_kept_used_and_put_back(tmp_path):
    text = f"momentum_optimizer {{ {CONSTANT} momentum_optimizer_value: 0 }} moving_average_decay: 0.75"
    optimizer, _ = optimizer_of(text)
    model = TinyDetector()
    start_moving_average(optimizer, model)
    bias = model.head.bias
    bias.assign([0.1, 0.7])  # numbers that adding and subtracting would round
    optimizer.get_slot(bias, "average").assign(bias)

    for _ in range(2):
        gradients = [tf.ones_like(v) if v is bias else tf.zeros_like(v) for v in model.trainable_variables]
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    own = bias.numpy()
    # Model Garden's decay at step t is min(0.75, (1 + t) / (10 + t)): 2/11, then 3/12.
    average = np.array([0.1, 0.7]) * (2 / 11) + np.array([-0.4, 0.2]) * (9 / 11)
    average = average * 0.25 + np.array([-0.9, -0.3]) * 0.75
    with moving_averages(optimizer, model):
        np.testing.assert_allclose(bias.numpy(), average, rtol=1e-5)
    np.testing.assert_array_equal(bias.numpy(), own)
    with pytest.raises(RuntimeError), moving_averages(optimizer, model):
        raise RuntimeError("evaluation failed")
    np.testing.assert_array_equal(bias.numpy(), own)

    prefix = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "ckpt"))
    resumed_optimizer, _ = optimizer_of(text)
    resumed = TinyDetector()
    start_moving_average(resumed_optimizer, resumed)
    tf.train.Checkpoint(model=resumed, optimizer=resumed_optimizer).restore(prefix).assert_existing_objects_matched()
    assert int(resumed_optimizer.iterations) == 2
    with moving_averages(resumed_optimizer, resumed):
        np.testing.assert_allclose(resumed.head.bias.numpy(), average, rtol=1e-5)


def test_moving_average_before_the_first_step_is_the_model_itself():
    optimizer, _ = optimizer_of(f"adam_optimizer {{ {CONSTANT} }}")  # use_moving_average defaults to true
    model = TinyDetector()
    start_moving_average(optimizer, model)
    before = [variable.numpy() for variable in model.variables]
    with moving_averages(optimizer, model):
        for value, variable in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)


def test_moving_average_with_a_share_of_the_first_weights(tmp_path):
    """It is that share of them, and for the rest the average that there is without a share; resumed, it still is."""
    text = f"momentum_optimizer {{ {CONSTANT} momentum_optimizer_value: 0 }} moving_average_decay: 0.75"
    settings = read_settings_text(Optimizer, text, "train_config.optimizer")
    extensions = read_settings_text(Extensions, "moving_average_share_of_start: 0.25", "extensions")

    def step(model, optimizer):
        optimizer.apply_gradients([(tf.ones_like(v), v) for v in model.trainable_variables])

    def averaged(model, optimizer):
        with moving_averages(optimizer, model):
            return model.head.bias.numpy()

    start = np.array([0.5, -2.0], np.float32)
    plain, between = TinyDetector(), TinyDetector()
    optimizers = {plain: build_optimizer(settings)[0], between: build_optimizer(settings, extensions)[0]}
    for model, optimizer in optimizers.items():
        model.head.bias.assign(start)
        start_moving_average(optimizer, model)
        step(model, optimizer)
    np.testing.assert_allclose(
        averaged(between, optimizers[between]), 0.25 * start + 0.75 * averaged(plain, optimizers[plain]), rtol=1e-6
    )

    prefix = tf.train.Checkpoint(model=between, optimizer=optimizers[between]).save(str(tmp_path / "ckpt"))
    resumed, resumed_optimizer = TinyDetector(), build_optimizer(settings, extensions)[0]
    start_moving_average(resumed_optimizer, resumed)
    tf.train.Checkpoint(model=resumed, optimizer=resumed_optimizer).restore(prefix).assert_existing_objects_matched()
    step(resumed, resumed_optimizer)
    step(plain, optimizers[plain])
    np.testing.assert_allclose(
        averaged(resumed, resumed_optimizer), 0.25 * start + 0.75 * averaged(plain, optimizers[plain]), rtol=1e-6
    )


def test_moving_average_inside_a_loss_scaling_optimizer():
    """As mixed precision in float16 wraps it: averages move, and a step whose gradients overflow moves nothing."""
    text = f"momentum_optimizer {{ {CONSTANT} momentum_optimizer_value: 0 }} moving_average_decay: 0.75"
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer_of(text)[0])
    model = TinyDetector()
    start_moving_average(optimizer, model)
    bias = model.head.bias

    @tf.function
    def step(gradient):
        gradients = [tf.fill(v.shape, gradient) for v in model.trainable_variables]
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    step(tf.constant(1.0))
    own = bias.numpy()
    np.testing.assert_allclose(own, [-0.5, -0.5])
    with moving_averages(optimizer, model):
        np.testing.assert_allclose(bias.numpy(), [-0.5 * 9 / 11] * 2, rtol=1e-6)
    step(tf.constant(np.inf))
    np.testing.assert_array_equal(bias.numpy(), own)


def test_without_moving_average_nothing_is_swapped():
    optimizer, _ = optimizer_of(f"adam_optimizer {{ {CONSTANT} }} use_moving_average: false")
    model = TinyDetector()
    start_moving_average(optimizer, model)
    with moving_averages(optimizer, model):
        assert optimizer.variables() == [] or len(optimizer.variables()) == 1  # no slots were made


def test_gradients_are_clipped_together():
    gradients = [tf.constant([3.0, 0.0]), None, tf.constant([[4.0]])]  # joint norm 5
    first, none, last = clip_gradients(gradients, 2.5)
    assert none is None
    np.testing.assert_allclose(first, [1.5, 0.0])
    np.testing.assert_allclose(last, [[2.0]])
    for norm in (10.0, 0.0):
        first, _, last = clip_gradients(gradients, norm)
        np.testing.assert_allclose(first, [3.0, 0.0])
        np.testing.assert_allclose(last, [[4.0]])


def test_only_biases_are_multiplied():
    model = TinyDetector()
    variables = model.trainable_variables
    gradients = [None, *(tf.ones_like(variable) for variable in variables[1:])]
    scaled = scale_bias_gradients(gradients, variables, 2.0)
    assert scaled[0] is None
    factors = {
        variable.name: float(tf.reduce_max(g)) for variable, g in zip(variables, scaled, strict=True) if g is not None
    }
    assert {name for name, factor in factors.items() if factor == 2.0} == {
        "stem/bias:0",
        "last/bias:0",
        next(name for name in factors if name.endswith("class_predictor/bias:0")),
    }
    assert scale_bias_gradients(gradients, variables, 0.0) == gradients


def names(variables) -> list[str]:
    return [variable.name.split(":")[0] for variable in variables]


@pytest.mark.parametrize(
    ("update", "freeze", "left"),
    [
        ([], [], 8),
        ([], ["FeatureExtractor"], 2),  # the Object Detection API's name of the backbone
        ([], ["^backbone/"], 2),  # the path in the model
        ([], ["stem/"], 6),  # Keras' name of the layer
        (["BoxPredictor"], [], 2),
        (["FeatureExtractor"], ["norm"], 4),
        ([".*"], ["kernel", "norm"], 3),
    ],
)
def test_patterns_choose_what_trains(update, freeze, left):
    model = TinyDetector()
    chosen = trainable_variables_of(model, update, freeze)
    assert len(chosen) == left
    order = {id(variable): index for index, variable in enumerate(model.trainable_variables)}
    assert [order[id(variable)] for variable in chosen] == sorted(order[id(variable)] for variable in chosen)
    if freeze == ["stem/"]:
        assert not any(name.startswith("stem/") for name in names(chosen))


@pytest.mark.parametrize(
    ("update", "freeze", "message"),
    [
        (
            [],
            ["FeatureExtractor", "Mixed_7b"],
            r'freeze_variables\[1\]: "Mixed_7b" matches none of the 8 variables, such as',
        ),
        ([], [".*"], "leave no variable to train"),
    ],
)
def test_patterns_that_do_nothing_or_everything_are_refused(update, freeze, message):
    with pytest.raises(UsageError, match=message):
        trainable_variables_of(TinyDetector(), update, freeze)


def test_what_is_no_pattern_is_refused_by_path():
    text = f'optimizer {{ adam_optimizer {{ {CONSTANT} }} }} update_trainable_variables: "("'
    with pytest.raises(SettingsError, match=r'update_trainable_variables\[0\]: "\(" is no regular expression'):
        read_settings_text(TrainConfig, text)
