"""The optimizer and learning rate of a `pipeline.config`, and changes of gradients before they are applied.

The optimizers are tf_keras' legacy ones: on a CPU, one step over EfficientNet-Lite0's 147 variables took 5 ms with
momentum where the newer optimizers took 15 (RMSProp 11 and 30, Adam 12 and 15) and they compile three to five times
faster; they checkpoint slots by variable and not by number; and Model Garden's moving average needs them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from official.modeling.optimization import ema_optimizer

from configs.settings.learning_rates import Schedule
from configs.settings.optimizers import AdamOptimizer, MomentumOptimizer, Optimizer
from data_prep.runtime.command_line import UsageError
from train.checkpoints.object_paths import variables_by_path

# What the Object Detection API called the parts of its models, which is what patterns in configs are written for.
_SSD_PARTS = {
    "backbone": "FeatureExtractor",
    "feature_extractor": "FeatureExtractor",
    "decoder": "FeatureExtractor",
    "head": "WeightSharedConvolutionalBoxPredictor",
}
_FASTER_RCNN_PARTS = {
    "backbone": "FirstStageFeatureExtractor",
    "proposal_features": "FirstStageFeatureExtractor",
    "box_classifier_features": "SecondStageFeatureExtractor",
    "rpn_head": "FirstStageBoxPredictor",
    "detection_head": "SecondStageBoxPredictor",
}


class LearningRate(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of `configs.settings.learning_rates`, computed by TensorFlow.

    It is called with the number of optimizer steps made so far: a scalar, or a tensor of any shape, so that a whole
    curve can be had at once.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate at `step`, float32 of its shape."""
        return self._schedule.rate(tf.cast(step, tf.float32), tf)

    def get_config(self) -> dict[str, Any]:
        """The schedule's kind and numbers."""
        numbers = dataclasses.asdict(self._schedule)
        del numbers["written"]
        return {"kind": type(self._schedule).__name__, **numbers}


def build_optimizer(
    settings: Optimizer,
) -> tuple[tf_keras.optimizers.legacy.Optimizer, tf_keras.optimizers.schedules.LearningRateSchedule]:
    """Makes the optimizer that a config asks for, and its learning rate schedule.

    Two differences from the API, both towards what its messages say: `rms_prop_optimizer.decay` is the decay of the
    average of squared gradients (the API's TensorFlow 2 loop handed it to Keras as a decay of the learning rate), and
    that average starts at 0, as in Keras, where TensorFlow 1 started it at 1.

    Args:
        settings: `train_config.optimizer`.

    Returns:
        The optimizer, which with `use_moving_average` is a `MovingAverage` around it (call
        `start_moving_average` once the model's variables have their first values), and the schedule.
    """
    chosen = settings.optimizer
    schedule = LearningRate(chosen.learning_rate)
    optimizers = tf_keras.optimizers.legacy
    if isinstance(chosen, MomentumOptimizer):
        optimizer = optimizers.SGD(schedule, momentum=chosen.momentum_optimizer_value)
    elif isinstance(chosen, AdamOptimizer):
        optimizer = optimizers.Adam(schedule, epsilon=chosen.epsilon)
    else:
        optimizer = optimizers.RMSprop(
            schedule, rho=chosen.decay, momentum=chosen.momentum_optimizer_value, epsilon=chosen.epsilon
        )
    if settings.use_moving_average:
        optimizer = MovingAverage(optimizer, average_decay=settings.moving_average_decay)
    return optimizer, schedule


class MovingAverage(ema_optimizer.ExponentialMovingAverage):
    """Model Garden's moving average, which a loss-scaling optimizer can hold too.

    Model Garden's `apply_gradients` does not take the argument that `LossScaleOptimizer` hands on, so that with
    `MIXED_FLOAT16` its first step fails.
    """

    def apply_gradients(
        self, grads_and_vars: Any, name: str | None = None, experimental_aggregate_gradients: bool = True
    ) -> Any:
        """Applies gradients by the optimizer inside, then moves the averages."""
        applied = self._optimizer.apply_gradients(
            grads_and_vars, name=name, experimental_aggregate_gradients=experimental_aggregate_gradients
        )
        ema_optimizer.maybe_merge_call(self.update_average, tf.distribute.get_strategy())
        return applied


def create_slots(optimizer: Any, variables: Sequence[tf.Variable]) -> None:
    """Makes the optimizer's variables now and not in the first step, which would trace its graph a second time.

    To be called in the strategy's scope. On MobileNetV2's 230 variables the second trace took four seconds.
    """
    optimizer._create_all_weights(variables)  # what apply_gradients calls; there is no public name


def _averager(optimizer: Any) -> MovingAverage | None:
    if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, MovingAverage) else None


def start_moving_average(optimizer: Any, model: tf_keras.Model) -> None:
    """Makes the moving averages of `model`'s trainable variables, each beginning at its variable's value.

    Model Garden begins them at 0, so that evaluating before the first step would find an empty network. Call this in
    the strategy's scope, after a fine-tune checkpoint and before resuming. Does nothing for an optimizer without
    averages.
    """
    averager = _averager(optimizer)
    if averager is None:
        return
    averager.shadow_copy(model)
    for variable in model.trainable_variables:
        averager.get_slot(variable, "average").assign(variable)


@contextlib.contextmanager
def moving_averages(optimizer: Any, model: tf_keras.Model) -> Iterator[None]:
    """Inside this context `model` has its moving averages; afterwards it has its own values again, to the last bit.

    Model Garden's `swap_weights` adds and subtracts the two in place, which rounds the values that training goes on
    with. Does nothing for an optimizer without averages.
    """
    averager = _averager(optimizer)
    if averager is None:
        yield
        return
    own = [tf.identity(variable) for variable in model.trainable_variables]
    for variable in model.trainable_variables:
        variable.assign(averager.get_slot(variable, "average"))
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


def clip_gradients(gradients: Sequence[tf.Tensor | None], norm: float) -> list[tf.Tensor | None]:
    """Scales all gradients together so that their joint norm is at most `norm`, as the API's TensorFlow 2 loop does.

    Args:
        gradients: One per variable; None for a variable that the loss does not depend on.
        norm: `train_config.gradient_clipping_by_norm`; 0 or less leaves the gradients alone.

    Returns:
        The gradients, in their order.
    """
    if norm <= 0:
        return list(gradients)
    clipped, _ = tf.clip_by_global_norm(gradients, norm)
    return list(clipped)


def scale_bias_gradients(
    gradients: Sequence[tf.Tensor | None], variables: Sequence[tf.Variable], multiplier: float
) -> list[tf.Tensor | None]:
    """Multiplies the gradients of layers' biases, not of batch norm's beta: `train_config.bias_grad_multiplier`.

    Args:
        gradients: One per variable, or None.
        variables: The variables, in the gradients' order.
        multiplier: 0 (the message's default) leaves the gradients alone, as in the API.

    Returns:
        The gradients, in their order.
    """
    if not multiplier:
        return list(gradients)
    return [
        gradient * multiplier if gradient is not None and _short_name(variable).split("/")[-1] == "bias" else gradient
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def trainable_variables_of(
    model: tf_keras.Model, update: Sequence[str] = (), freeze: Sequence[str] = ()
) -> list[tf.Variable]:
    """Picks the variables to train by `train_config.update_trainable_variables` and `freeze_variables`.

    A pattern is searched, as in the API, anywhere in a variable's name; it may meet the variable under any of its
    names: its path in each part of the model that has it (`backbone/layer_with_weights-3/kernel`), Keras' name
    (`conv2d_3/kernel`), and Keras' name below what the API called such a part (`FeatureExtractor/conv2d_3/kernel`).

    Args:
        model: A detection model with `checkpoint_items`.
        update: Sound regular expressions of which a variable must match one; none: all variables.
        freeze: Sound regular expressions of which a variable must match none.

    Returns:
        The variables in the order of `model.trainable_variables`.

    Raises:
        UsageError: A pattern matches nothing, or no variable is left.
    """
    names = _names_by_variable(model)
    if not update and not freeze:
        return list(model.trainable_variables)
    updated = _matching(names, update, "update_trainable_variables")
    frozen = _matching(names, freeze, "freeze_variables")
    kept = [v for v in model.trainable_variables if (not update or id(v) in updated) and id(v) not in frozen]
    if not kept:
        raise UsageError("train_config.freeze_variables and update_trainable_variables leave no variable to train")
    return kept


def _names_by_variable(model: tf_keras.Model) -> dict[int, tuple[str, ...]]:
    items = model.checkpoint_items
    api_names = _FASTER_RCNN_PARTS if "rpn_head" in items else _SSD_PARTS
    names: dict[int, tuple[str, ...]] = {
        id(variable): (_short_name(variable),) for variable in model.trainable_variables
    }
    for item, part in items.items():
        for path, variable in variables_by_path(part).items():
            if id(variable) in names:
                short = _short_name(variable)
                names[id(variable)] += (f"{item}/{path}", f"{api_names.get(item, item)}/{short}")
    return names


def _short_name(variable: tf.Variable) -> str:
    return str(variable.name).split(":")[0]


def _matching(names: dict[int, tuple[str, ...]], patterns: Sequence[str], field: str) -> set[int]:
    found: set[int] = set()
    for index, pattern in enumerate(patterns):
        expression = re.compile(pattern)
        matching = {key for key, its_names in names.items() if any(expression.search(name) for name in its_names)}
        if not matching:
            examples = ", ".join(its_names[-1] for its_names in list(names.values())[:: max(1, len(names) // 3)][:3])
            raise UsageError(
                f'train_config.{field}[{index}]: "{pattern}" matches none of the {len(names)} variables, '
                f"such as {examples}"
            )
        found |= matching
    return found
