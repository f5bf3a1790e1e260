"""The inner training loop: Orbit's, with one step of a detector on a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import orbit
import tensorflow as tf
import tf_keras

from train.inputs.input_errors import ensure
from train.inputs.left_out import COUNTS, LeftOut, add_counts, count_batch
from train.loop.optimization import clip_gradients, scale_bias_gradients
from train.loop.processor import garbage_kept
from train.models.detector import Detector

TOTAL_LOSS = "Loss/total_loss"
REGULARIZATION_LOSS = "Loss/regularization_loss"
LEARNING_RATE = "learning_rate"
# Of the images of one loop, for TensorBoard: the counts that a person would want to see change.
_COUNTS_SHOWN = {"Input/boxes": "boxes", "Input/cut_boxes": "cut boxes", "Input/unknown_boxes": "unknown boxes"}


class DetectionTrainer(orbit.StandardTrainer):
    """Trains a detector's network.

    Attributes:
        global_step: int64 variable, counted by the optimizer.
        left_out: Ground truth that the run's batches left out, up to the last loop's end.
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
        left_out: LeftOut,
        add_regularization_loss: bool = True,
        summarize_gradients: bool = False,
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
            left_out: Where to count ground truth that batches left out.
            add_regularization_loss: Whether the network's weight decay is trained on.
            summarize_gradients: Writes a histogram of each variable's gradients where summaries are recorded.
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
        self.left_out = left_out
        self._add_regularization_loss = add_regularization_loss
        self._summarize_gradients = summarize_gradients
        with strategy.scope():
            names = [*detector.loss_names, *([REGULARIZATION_LOSS] if add_regularization_loss else []), TOTAL_LOSS]
            self._means = {name: tf_keras.metrics.Mean(name) for name in names}
            self._counts = tf.Variable(
                tf.zeros([len(COUNTS)], tf.int64),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def train(self, num_steps: tf.Tensor) -> Any:
        """Makes `num_steps` steps; the first time, this traces them.

        Returns:
            What `train_loop_end` does.
        """
        if self._train_loop_fn is not None:
            return super().train(num_steps)
        with garbage_kept():
            return super().train(num_steps)

    def train_loop_begin(self) -> None:
        """Starts the means anew."""
        for mean in self._means.values():
            mean.reset_state()
        self._counts.assign(tf.zeros_like(self._counts))

    def train_step(self, iterator: Any) -> None:
        """One step on every replica."""

        @tf.autograph.experimental.do_not_convert  # nothing to convert; looking through every layer took half the trace
        def step(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> tf.Tensor:
            with tf.GradientTape() as tape:
                losses = self._detector.compute_losses(images, labels, training=True)
                if self._add_regularization_loss:
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
            if self._summarize_gradients:
                _write_histograms(pairs, self.global_step)
            self._optimizer.apply_gradients(pairs)
            for name, value in losses.items():
                self._means[name].update_state(value)
            return count_batch(labels)

        counts = self._strategy.experimental_local_results(self._strategy.run(step, args=next(iterator)))
        self._counts.assign(add_counts(tf.stack([self._counts, *counts])))
        self.global_step.assign_add(1)

    def train_loop_end(self) -> dict[str, Any]:
        """Returns the losses' means over the loop, the learning rate, and how many boxes were left out."""
        results = {name: mean.result() for name, mean in self._means.items()}
        counts = dict(zip(COUNTS, self._counts.numpy().tolist(), strict=True))
        self.left_out.add(list(counts.values()))
        results |= {name: np.float32(counts[shown]) for name, shown in _COUNTS_SHOWN.items()}
        results[LEARNING_RATE] = np.float32(self._learning_rate(self.global_step - 1))
        return results


def _write_histograms(pairs: list[tuple[tf.Tensor, tf.Variable]], step: tf.Tensor) -> None:
    """Writes gradients as TensorBoard histograms: `train_config.summarize_gradients`."""
    for gradient, variable in pairs:
        name = str(variable.name).split(":")[0]
        tf.summary.histogram(f"gradients/{name}", tf.convert_to_tensor(gradient), step=step)


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
