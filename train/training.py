"""A training run: restore, loop, checkpoint, evaluate, and go on from where an earlier run was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orbit
import tensorflow as tf
import tf_keras
from tqdm import tqdm

from configs import effective, schema
from data_prep.atomic_files import write_json
from data_prep.command_line import UserError
from data_prep.label_map import write_label_map
from train.devices import describe_strategy, pick_strategy, set_precision
from train.evaluation import CheckpointEvaluator, EvaluationResult
from train.inputs.input_errors import readable_error
from train.inputs.reader import build_training_dataset
from train.models.build import build_detector
from train.models.detector import Detector
from train.models.restore import restore
from train.optimization import build_optimizer, moving_averages, start_moving_average, trainable_variables_of
from train.pipeline import Pipeline
from train.summaries import input_pictures, write_pictures
from train.trainer import DetectionTrainer

PICTURES_SHOWN = 4
CHECKPOINT_NAME = "ckpt"
CONFIG_NAME = "pipeline.config"
LABEL_MAP_NAME = "label_map.pbtxt"
RESTORE_REPORT_NAME = "restore_report.json"
ORBIT_LOG_NAME = "orbit.log"


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What a run is told beside its config.

    Attributes:
        model_dir: Where checkpoints, summaries and reports go.
        num_train_steps: The step to train up to; None takes `train_config.num_steps`.
        checkpoint_every_n: Steps between checkpoints.
        evaluate_every_n: Steps between evaluations; 0 evaluates at every checkpoint.
        checkpoint_max_to_keep: How many of the last checkpoints stay.
        log_every_n: Steps between TensorBoard scalars.
        evaluate: Whether to evaluate while training, where the config has an evaluation input.
        seed: Makes batches and initial weights repeatable; None draws new ones.
    """

    model_dir: Path
    num_train_steps: int | None = None
    checkpoint_every_n: int = 1000
    evaluate_every_n: int = 0
    checkpoint_max_to_keep: int = 7
    log_every_n: int = 20
    evaluate: bool = True
    seed: int | None = None


def train(pipeline: Pipeline, options: TrainingOptions) -> EvaluationResult | None:
    """Trains, or goes on training, until the last step.

    Args:
        pipeline: What to train, and on what.
        options: Where to and how far.

    Returns:
        The last evaluation, if there was one.

    Raises:
        UserError: A checkpoint does not fit, a record is broken, or a loss became infinite; what was saved stays.
    """
    if options.seed is not None:
        tf_keras.utils.set_random_seed(options.seed)
    train_config = pipeline.config.train_config
    num_steps = options.num_train_steps or train_config.num_steps
    if not num_steps:
        raise UserError("how far to train? set train_config.num_steps, or give --num_train_steps")
    strategy = pick_strategy()
    set_precision(pipeline.config)
    with strategy.scope():
        detector = build_or_explain(pipeline)
        optimizer, learning_rate = build_optimizer(train_config.optimizer)
        if effective.precision_policy(pipeline.config) == "mixed_float16":
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        global_step = orbit.utils.create_global_step()
        variables = trainable_variables_of(
            detector.network, train_config.update_trainable_variables, train_config.freeze_variables
        )
    checkpoint = tf.train.Checkpoint(model=detector.network, optimizer=optimizer, global_step=global_step)
    manager = tf.train.CheckpointManager(
        checkpoint,
        str(options.model_dir),
        max_to_keep=options.checkpoint_max_to_keep,
        checkpoint_name=CHECKPOINT_NAME,
    )
    with strategy.scope():
        start = _start(pipeline, options, detector, manager, optimizer, global_step, strategy)
    if start >= num_steps:
        print(f"already trained to step {start}; give a larger --num_train_steps than {num_steps} to go on")
        return None
    dataset = _distribute(pipeline, options, strategy, start)
    with _explained_failures():
        _write_input_pictures(pipeline, options, dataset, start)
    trainer = DetectionTrainer(
        detector=detector,
        dataset=dataset,
        optimizer=optimizer,
        learning_rate=learning_rate,
        clip_norm=train_config.gradient_clipping_by_norm,
        bias_multiplier=train_config.bias_grad_multiplier,
        variables=variables,
        strategy=strategy,
        global_step=global_step,
    )
    run = _Run(pipeline, options, detector, trainer, optimizer, manager, global_step, num_steps)
    return run.to_the_end()


def build_or_explain(pipeline: Pipeline) -> Detector:
    """Builds the detector; a config that cannot be built is the user's to mend.

    Raises:
        UserError: In the words of the part that could not be built.
    """
    try:
        return build_detector(pipeline.config)
    except ValueError as error:
        raise UserError(f"the model cannot be built: {error}") from error


def write_config_and_label_map(folder: Path, pipeline: Pipeline) -> None:
    """Writes what a folder's weights were trained with: `pipeline.config` and `label_map.pbtxt`."""
    schema.write_pipeline_config(folder / CONFIG_NAME, pipeline.config)
    write_label_map(folder / LABEL_MAP_NAME, pipeline.label_map)


def _start(
    pipeline: Pipeline,
    options: TrainingOptions,
    detector: Detector,
    manager: tf.train.CheckpointManager,
    optimizer: Any,
    global_step: tf.Variable,
    strategy: tf.distribute.Strategy,
) -> int:
    """Restores what there is to restore, writes down what is trained, and returns the step to start from."""
    train_config = pipeline.config.train_config
    where = f"on {describe_strategy(strategy)}, batches of {train_config.batch_size}"
    if not manager.latest_checkpoint and train_config.fine_tune_checkpoint:
        report = restore(
            detector.network, train_config.fine_tune_checkpoint, effective.fine_tune_checkpoint_type(train_config)
        )
        write_json(options.model_dir / RESTORE_REPORT_NAME, report.to_json(), indent=1)
        print(report.summary())
    start_moving_average(optimizer, detector.network)
    if manager.latest_checkpoint:
        try:
            manager.checkpoint.restore(manager.latest_checkpoint).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{manager.latest_checkpoint} is not of the model that the config describes "
                f"({str(error).splitlines()[0]}); train into another --model_dir, or with the config of that one"
            ) from error
        print(f"going on from {manager.latest_checkpoint}, step {int(global_step)}, {where}", flush=True)
    elif train_config.fine_tune_checkpoint:
        print(f"training from step 0, {where}", flush=True)
    else:
        print(f"training from scratch, {where}: no train_config.fine_tune_checkpoint is set", flush=True)
    write_config_and_label_map(options.model_dir, pipeline)
    return int(global_step)


def _distribute(pipeline: Pipeline, options: TrainingOptions, strategy: tf.distribute.Strategy, start: int) -> Any:
    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return build_training_dataset(pipeline.config, input_context=context, seed=options.seed, resume_step=start)

    # Batches stay in host memory until a step takes them: `source_id` is text, which no GPU holds.
    return strategy.distribute_datasets_from_function(
        make, tf.distribute.InputOptions(experimental_fetch_to_device=False)
    )


def _write_input_pictures(pipeline: Pipeline, options: TrainingOptions, dataset: Any, step: int) -> None:
    """Writes the first batch's pictures as the model is given them."""
    images, labels = next(iter(dataset))
    first = [tf.nest.map_structure(_first_replica, x) for x in (images, labels)]
    writer = tf.summary.create_file_writer(str(options.model_dir / "train"))
    with writer.as_default():
        write_pictures("inputs", input_pictures(first[0], first[1], pipeline.names_by_id, PICTURES_SHOWN), step=step)
    writer.close()


def _first_replica(value: Any) -> Any:
    return value.values[0] if isinstance(value, tf.distribute.DistributedValues) else value


class _Run:
    """The outer loop around Orbit's controller: checkpoints, evaluations, and a word on how it goes."""

    def __init__(
        self,
        pipeline: Pipeline,
        options: TrainingOptions,
        detector: Detector,
        trainer: DetectionTrainer,
        optimizer: Any,
        manager: tf.train.CheckpointManager,
        global_step: tf.Variable,
        num_steps: int,
    ) -> None:
        self._options = options
        self._manager = manager
        self._global_step = global_step
        self._num_steps = num_steps
        self._start_step = int(global_step)
        self._progress = _Progress(self._start_step, num_steps)
        self._network = detector.network
        self._optimizer = optimizer
        self._use_moving_averages = pipeline.config.eval_config.use_moving_averages
        self._evaluator = None
        if options.evaluate and pipeline.config.eval_input_reader:
            self._evaluator = CheckpointEvaluator(pipeline, detector)
        self._controller = orbit.Controller(
            global_step=global_step,
            trainer=trainer,
            train_actions=[lambda results: self._progress.report(int(global_step), results)],
            steps_per_loop=self._steps_in_loop,
            summary_dir=str(options.model_dir / "train"),
        )

    def _steps_in_loop(self, step: int) -> int:
        """Loops end where scalars are due; the first is a single step, to show early that all is well."""
        every = self._options.log_every_n
        return 1 if step == self._start_step else every - step % every

    def to_the_end(self) -> EvaluationResult | None:
        """Trains on, saving and evaluating at their intervals and at the end."""
        options = self._options
        evaluate_every = options.evaluate_every_n or options.checkpoint_every_n
        result = None
        while (step := int(self._global_step)) < self._num_steps:
            target = min(_next_multiple(step, options.checkpoint_every_n), self._num_steps)
            if self._evaluator is not None:
                target = min(target, _next_multiple(step, evaluate_every))
            with _explained_failures(), _orbit_log(options.model_dir):
                self._controller.train(target)
            is_last = target == self._num_steps
            path = "a network that is not saved"
            if is_last or target % options.checkpoint_every_n == 0:
                path = self._manager.save(checkpoint_number=self._global_step, check_interval=False)
                self._progress.say(f"step {target}: saved {path}")
            if self._evaluator is not None and (is_last or target % evaluate_every == 0):
                with _explained_failures(), self._evaluated_weights():
                    result = self._evaluator.evaluate()
                result.write(options.model_dir / "eval", step=target, source=str(path))
                self._progress.say(
                    f"step {target}: evaluated on {result.num_images} images\n{result.table(max_classes=12)}"
                )
        self._progress.close()
        print(f"watch the run with: tensorboard --logdir {options.model_dir}")
        return result

    def _evaluated_weights(self) -> contextlib.AbstractContextManager[None]:
        """The moving averages in the variables' place, where `eval_config` asks for them."""
        if not self._use_moving_averages:
            return contextlib.nullcontext()
        return moving_averages(self._optimizer, self._network)


class _Progress:
    """What a person sees of a run: a bar on a terminal, lines elsewhere, and a summary at the end."""

    def __init__(self, start_step: int, num_steps: int) -> None:
        self._start_step = start_step
        self._num_steps = num_steps
        self._started = time.monotonic()
        self._losses: list[float] = []
        self._is_terminal = sys.stderr.isatty()
        # Kept, since standard output is Orbit's log while its controller runs.
        self._out = sys.stdout
        self._bar = tqdm(
            total=num_steps, initial=start_step, desc="training", unit="step", disable=not self._is_terminal
        )

    def report(self, step: int, results: dict[str, Any]) -> None:
        """Shows the losses of a loop that ended at `step`."""
        losses = {
            name.removeprefix("Loss/"): float(orbit.utils.get_value(value))
            for name, value in results.items()
            if name.startswith("Loss/")
        }
        self._losses.append(losses["total_loss"])
        if self._is_terminal:
            self._bar.set_postfix(loss=f"{losses['total_loss']:.3f}")
            self._bar.update(step - self._bar.n)
            return
        rate = (step - self._start_step) / (time.monotonic() - self._started)
        minutes_left = (self._num_steps - step) / rate / 60
        words = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.say(f"step {step}/{self._num_steps}: {words}; {rate:.2f} steps/s, {minutes_left:.1f} min left")

    def say(self, text: str) -> None:
        """Prints without tearing the bar."""
        tqdm.write(text, file=self._out)
        self._out.flush()

    def close(self) -> None:
        """Ends the bar and sums up."""
        self._bar.close()
        seconds = time.monotonic() - self._started
        steps = self._num_steps - self._start_step
        self.say(
            f"trained {steps} steps in {seconds:.0f} s ({steps / seconds:.2f} steps/s, all included); "
            f"total loss {self._losses[0]:.3f} at first, {self._losses[-1]:.3f} at last"
        )


def _next_multiple(step: int, every: int) -> int:
    return step - step % every + every


@contextlib.contextmanager
def _orbit_log(model_dir: Path) -> Iterator[None]:
    """Sends what Orbit prints, a line a loop in its own form, to a file beside the checkpoints."""
    with (model_dir / ORBIT_LOG_NAME).open("a") as log, contextlib.redirect_stdout(log):
        yield


@contextlib.contextmanager
def _explained_failures() -> Iterator[None]:
    """Turns what TensorFlow says of a broken record or an infinite loss into one line."""
    try:
        yield
    except tf.errors.OpError as error:
        sentence = readable_error(error)
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
