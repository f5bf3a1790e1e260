"""The inner training loop: Orbit's, with one step of a detector on a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import orbit
import tensorflow as tf
import tf_keras

from train.inputs.input_errors import ensure
from train.models.detector import Detector
from train.optimization import clip_gradients, scale_bias_gradients

TOTAL_LOSS = "Loss/total_loss"
REGULARIZATION_LOSS = "Loss/regularization_loss"
LEARNING_RATE = "learning_rate"


class DetectionTrainer(orbit.StandardTrainer):
    """Trains a detector's network.

    Attributes:
        global_step: int64 variable, counted by the optimizer.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        dataset: Any,
        optimizer: tf_keras.optimizers.Optimizer,
        learning_rate: Any,
        clip_norm: float,
        bias_multiplier: float,
        variables: list[tf.Variable],
        strategy: tf.distribute.Strategy,
        global_step: tf.Variable,
    ) -> None:
        """Creates a trainer.

        Args:
            detector: What to train.
            dataset: Distributed batches of (images, labels); `source_id` in labels names each image.
            optimizer: Applies gradients.
            learning_rate: Schedule, a function of the step.
            clip_norm: Joint norm to clip gradients at; 0 for none.
            bias_multiplier: What biases' gradients are multiplied by; 0 leaves them alone.
            variables: Those to train.
            strategy: Where.
            global_step: Counts steps.
        """
        super().__init__(dataset)
        self._detector = detector
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._clip_norm = clip_norm
        self._bias_multiplier = bias_multiplier
        self._variables = variables
        self._strategy = strategy
        self.global_step = global_step
        with strategy.scope():
            names = [*detector.loss_names, REGULARIZATION_LOSS, TOTAL_LOSS]
            self._means = {name: tf_keras.metrics.Mean(name) for name in names}

    def train_loop_begin(self) -> None:
        """Starts the means anew."""
        for mean in self._means.values():
            mean.reset_state()

    def train_step(self, iterator: Any) -> None:
        """One step on every replica."""

        def step(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> None:
            with tf.GradientTape() as tape:
                losses = self._detector.compute_losses(images, labels, training=True)
                losses[REGULARIZATION_LOSS] = self._detector.regularization_loss()
                total = tf.add_n(list(losses.values()))
                losses[TOTAL_LOSS] = total
                # Replicas' gradients are summed, so each replica's loss is its share of the mean.
                share = total / self._strategy.num_replicas_in_sync
                if isinstance(self._optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
                    share = self._optimizer.get_scaled_loss(share)
            _require_finite(losses, labels, self.global_step)
            gradients = tape.gradient(share, self._variables)
            if isinstance(self._optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
                gradients = self._optimizer.get_unscaled_gradients(gradients)
            gradients = scale_bias_gradients(gradients, self._variables, self._bias_multiplier)
            gradients = clip_gradients(gradients, self._clip_norm)
            pairs = [(g, v) for g, v in zip(gradients, self._variables, strict=True) if g is not None]
            self._optimizer.apply_gradients(pairs)
            for name, value in losses.items():
                self._means[name].update_state(value)

        self._strategy.run(step, args=next(iterator))
        self.global_step.assign_add(1)

    def train_loop_end(self) -> dict[str, Any]:
        """Returns the losses' means over the loop, and the learning rate."""
        results = {name: mean.result() for name, mean in self._means.items()}
        results[LEARNING_RATE] = np.float32(self._learning_rate(self.global_step - 1))
        return results


def _require_finite(losses: dict[str, tf.Tensor], labels: dict[str, tf.Tensor], step: tf.Tensor) -> None:
    """Stops at the first loss that is not finite, and says which images it came from."""

    def message() -> tf.Tensor:
        values = [f"{name} " + tf.strings.as_string(value, precision=4) for name, value in losses.items()]
        return tf.strings.join(
            [
                "a loss is not finite at step ",
                tf.strings.as_string(step),
                ": ",
                tf.strings.join(values, ", "),
                "; the images were ",
                tf.strings.reduce_join(labels["source_id"], separator=" "),
                "; a lower learning rate or gradient_clipping_by_norm helps where they are sound",
            ]
        )

    ensure(tf.math.is_finite(losses[TOTAL_LOSS]), message)
