"""The inner training loop: Orbit's, with one step of a detector on a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import orbit
import tensorflow as tf
import tf_keras

from train.inputs.input_errors import ensure
from train.inputs.left_out import COUNTS, LeftOut, add_counts, count_batch, first_unusable
from train.loop.accumulation import Part, accumulate
from train.loop.failures import NOT_FINITE
from train.loop.gradients import add_gradients, clip_gradients, scale_bias_gradients
from train.loop.input_wait import InputWait
from train.loop.processor import garbage_kept
from train.loop.stopping import StopRequests
from train.loop.workers import Workers
from train.models.detector import Detector

TOTAL_LOSS = "Loss/total_loss"
REGULARIZATION_LOSS = "Loss/regularization_loss"
LEARNING_RATE = "learning_rate"
# Of the images of one loop, for TensorBoard: the counts that a person would want to see change.
_COUNTS_SHOWN = {
    "Input/boxes": "boxes",
    "Input/cut_boxes": "cut boxes",
    "Input/unknown_boxes": "unknown boxes",
    "Input/unusable_boxes": "unusable boxes",
}


def step_of(global_step: tf.Variable) -> int:
    """Returns the number in a step counter, which replicas may each have a copy of."""
    return int(global_step.numpy())


class DetectionTrainer(orbit.StandardTrainer):
    """Trains a detector's network.

    Attributes:
        global_step: int64 variable, counted by the optimizer.
        left_out: Ground truth that the run's batches left out, up to the last loop's end.
        input_wait: How long the last loop took, and how long it waited for batches.
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
        workers: Workers,
        stop: StopRequests,
        global_step: tf.Variable,
        left_out: LeftOut,
        add_regularization_loss: bool = True,
        summarize_gradients: bool = False,
        micro_batches: int = 1,
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
            workers: Where.
            stop: Asked after each step.
            global_step: Counts steps.
            left_out: Where to count ground truth that batches left out.
            add_regularization_loss: Whether the network's weight decay is trained on.
            summarize_gradients: Writes a histogram of each variable's gradients where summaries are recorded.
            micro_batches: In how many parts a replica looks at its share of a batch.
        """
        super().__init__(dataset)
        self._detector = detector
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._clip_norm = clip_norm
        self._bias_multiplier = bias_multiplier
        self._variables = variables
        self._workers = workers
        self._strategy = workers.strategy
        self._stop = stop
        self.global_step = global_step
        self.left_out = left_out
        self._add_regularization_loss = add_regularization_loss
        self._summarize_gradients = summarize_gradients
        self._micro_batches = micro_batches
        self.input_wait = InputWait()
        self._first_step = 0
        with self._strategy.scope():
            names = [*detector.loss_names, *([REGULARIZATION_LOSS] if add_regularization_loss else []), TOTAL_LOSS]
            self._means = {name: tf_keras.metrics.Mean(name) for name in names}
        self._counts = tf.Variable(tf.zeros([len(COUNTS)], tf.int64), trainable=False)
        with tf.device("CPU:0"):  # where texts are
            self._unusable_box = tf.Variable("", trainable=False)

    def create_train_loop_fn(self) -> Callable[[Any, tf.Tensor], None]:
        """The loop is Python's, so that a signal is heard between two steps; Orbit's own would hear it at the end."""
        train_step = tf.function(self.train_step)

        def loop(iterator: Any, num_steps: tf.Tensor) -> None:
            for _ in range(int(num_steps)):
                train_step(iterator)
                self._workers.agree_to_stop(self._stop)

        return loop

    def train(self, num_steps: tf.Tensor) -> dict[str, Any]:
        """Makes steps; see `orbit.StandardTrainer`. Losses are means over all replicas, for which the scope is needed.

        Raises:
            TrainingStopped: The process, or another worker's, was asked to stop; the last step is whole.
        """
        is_traced = self._train_loop_fn is not None
        with self._strategy.scope(), contextlib.nullcontext() if is_traced else garbage_kept():
            return super().train(num_steps)

    def train_loop_begin(self) -> None:
        """Starts the means anew."""
        for mean in self._means.values():
            mean.reset_state()
        self._counts.assign(tf.zeros_like(self._counts))
        self._unusable_box.assign("")
        self._first_step = step_of(self.global_step)
        self.input_wait.begin_loop()

    def train_step(self, iterator: Any) -> None:
        """One step on every replica."""
        num_replicas = self._strategy.num_replicas_in_sync

        @tf.autograph.experimental.do_not_convert  # nothing to convert; looking through every layer took half the trace
        def step(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            look = self._look_at_whole if self._micro_batches == 1 else self._look_at_parts
            losses, of_all = look(images, labels)
            of_all = scale_bias_gradients(of_all, self._variables, self._bias_multiplier)
            pairs = [(g, v) for g, v in zip(of_all, self._variables, strict=True) if g is not None]
            gradients, variables = zip(*pairs, strict=True)
            if num_replicas > 1:
                # Here and not in the optimizer, so that what is clipped is the whole batch's gradient.
                context = tf.distribute.get_replica_context()
                gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            pairs = list(zip(clip_gradients(gradients, self._clip_norm), variables, strict=True))
            if self._summarize_gradients:
                _write_histograms(pairs, self.global_step)
            self._optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)
            for name, value in losses.items():
                self._means[name].update_state(value)
            return count_batch(labels), first_unusable(labels)

        batch = self.input_wait.take(iterator)
        of_replicas = self._strategy.run(step, args=batch)
        counts, unusable_boxes = (self._strategy.experimental_local_results(each) for each in of_replicas)
        self._counts.assign(add_counts(tf.stack([self._counts, *counts])))
        with tf.device("CPU:0"):
            of_loop = tf.stack([self._unusable_box, *unusable_boxes])
            self._unusable_box.assign(of_loop[tf.argmax(tf.not_equal(of_loop, ""))])
        self.global_step.assign_add(1)

    def _look_at_whole(
        self, images: tf.Tensor, labels: dict[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor | None]]:
        """The losses of a batch, and the gradients of this replica's share in them."""
        with tf.GradientTape() as tape:
            losses = self._detector.compute_losses(images, labels, training=True)
            if self._add_regularization_loss:
                losses[REGULARIZATION_LOSS] = self._detector.regularization_loss()
            losses[TOTAL_LOSS] = tf.add_n(list(losses.values()))
            share = self._share(losses[TOTAL_LOSS])
        self._require_finite(losses, labels)
        return losses, self._gradients(tape, share)

    def _look_at_parts(
        self, images: tf.Tensor, labels: dict[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor | None]]:
        """The same, with the memory that a part of the batch takes."""

        @tf.autograph.experimental.do_not_convert
        def look_at_part(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> Part:
            with tf.GradientTape() as tape:
                losses, divisor = self._detector.compute_losses_of_part(images, labels, training=True)
                total = tf.add_n(list(losses.values()))
                share = self._share(total)
            if not self._workers.are_several:  # They meet after the last part, and not before.
                self._require_finite({**losses, TOTAL_LOSS: total}, labels)
            return losses, divisor, self._gradients(tape, share)

        losses, gradients = accumulate(
            look_at_part,
            images,
            labels,
            parts=self._micro_batches,
            loss_names=self._detector.loss_names,
            variables=self._variables,
        )
        if self._add_regularization_loss:
            with tf.GradientTape() as tape:
                losses[REGULARIZATION_LOSS] = self._detector.regularization_loss()
                share = self._share(losses[REGULARIZATION_LOSS])
            gradients = add_gradients(gradients, self._gradients(tape, share))
        losses[TOTAL_LOSS] = tf.add_n(list(losses.values()))
        self._require_finite(losses, labels)
        return losses, gradients

    def _share(self, loss: tf.Tensor) -> tf.Tensor:
        """What to differentiate: replicas' gradients are summed, so each one's loss is its share of the mean."""
        share = loss / self._strategy.num_replicas_in_sync
        if isinstance(self._optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
            return self._optimizer.get_scaled_loss(share)
        return share

    def _gradients(self, tape: tf.GradientTape, share: tf.Tensor) -> list[tf.Tensor | None]:
        gradients: list[tf.Tensor | None] = tape.gradient(share, self._variables)
        if isinstance(self._optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
            return list(self._optimizer.get_unscaled_gradients(gradients))
        return gradients

    def _require_finite(self, losses: dict[str, tf.Tensor], labels: dict[str, tf.Tensor]) -> None:
        """Stops at the first loss that is not finite, and says which images it came from."""
        is_finite = tf.math.is_finite(losses[TOTAL_LOSS])

        def message() -> tf.Tensor:
            values = [f"{name} " + tf.strings.as_string(value, precision=4) for name, value in losses.items()]
            ours = tf.strings.join(
                [
                    tf.strings.join(values, ", "),
                    "; the images were ",
                    tf.strings.reduce_join(labels["source_id"], separator=" "),
                    "; a lower learning rate or gradient_clipping_by_norm helps where they are sound",
                ]
            )
            step = tf.strings.as_string(self.global_step)
            at = tf.strings.join([f"{NOT_FINITE} at step ", step, ": "])
            return at + tf.where(is_finite, "that of another worker, which names its images", ours)

        if self._workers.are_several:
            # All must stop at the same step: one that went on would wait for the others forever.
            context = tf.distribute.get_replica_context()
            bad = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~is_finite, tf.int32))
            ensure(bad == 0, message)
        else:
            ensure(is_finite, message)

    def train_loop_end(self) -> dict[str, Any]:
        """Returns the losses' means over the loop, the learning rate, the boxes left out, and the time of a step."""
        results = {name: mean.result() for name, mean in self._means.items()}
        gathered = self._workers.gather(self._counts.numpy().tolist())
        counts = dict(zip(COUNTS, add_counts(gathered).numpy().tolist(), strict=True))
        self.left_out.add(list(counts.values()), self._unusable_box.numpy())
        results |= {name: np.float32(counts[shown]) for name, shown in _COUNTS_SHOWN.items()}
        results[LEARNING_RATE] = np.float32(self._learning_rate(step_of(self.global_step) - 1))
        results |= self.input_wait.end_loop(step_of(self.global_step) - self._first_step)
        return results


def _write_histograms(pairs: list[tuple[tf.Tensor, tf.Variable]], step: tf.Tensor) -> None:
    """Writes gradients as TensorBoard histograms: `train_config.summarize_gradients`."""
    for gradient, variable in pairs:
        name = str(variable.name).split(":")[0]
        tf.summary.histogram(f"gradients/{name}", tf.convert_to_tensor(gradient), step=step)
