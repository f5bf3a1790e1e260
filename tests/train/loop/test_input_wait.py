"""The time that steps wait for their input is what it is, in the graph that trains, and much of it is said."""

from __future__ import annotations

import math
import os
import time

import numpy as np
import orbit
import pytest
import tensorflow as tf

from configs.settings.pipeline import PipelineSettings
from data_prep.runtime.worker_pool import default_num_processes
from train.loop.core_use import CoreMeter, CoreUse
from train.loop.input_wait import SECONDS_PER_STEP, WAIT_PER_STEP, InputBottleneck, InputWait, LoopTime
from train.pipeline import load_pipeline

STEPS = 4


class Sleeper(orbit.StandardTrainer):
    """Steps that take as long as they are told, on batches that take as long as they are told."""

    def __init__(self, step_seconds: float, batch_seconds: float, strategy: tf.distribute.Strategy) -> None:
        def wait(number: np.ndarray) -> np.ndarray:
            time.sleep(batch_seconds)
            return number

        def batches(context: object) -> tf.data.Dataset:
            dataset = tf.data.Dataset.range(100).map(
                lambda x: tf.ensure_shape(tf.numpy_function(wait, [x], x.dtype), [])
            )
            return dataset.prefetch(1)

        super().__init__(strategy.distribute_datasets_from_function(batches))
        self.strategy = strategy
        self.step_seconds = step_seconds
        self.wait = InputWait()
        with strategy.scope():
            self.sum = tf.Variable(0, dtype=tf.int64, aggregation=tf.VariableAggregation.SUM)

    def train_loop_begin(self) -> None:
        self.wait.begin_loop()

    def train_step(self, iterator) -> None:
        def work(number: tf.Tensor) -> None:
            def sleep(x: np.ndarray) -> np.ndarray:
                time.sleep(self.step_seconds)
                return x

            self.sum.assign_add(tf.numpy_function(sleep, [number], number.dtype))

        self.strategy.run(work, args=(self.wait.take(iterator),))

    def train_loop_end(self) -> dict[str, float]:
        return self.wait.end_loop(STEPS)


# Times are those at least; how much more a machine takes that does other things besides is left open.
SLACK = 0.07


@pytest.mark.parametrize("kind", ["one device", "mirrored"])
@pytest.mark.parametrize(
    ("step_seconds", "batch_seconds", "waited"),
    [(0.0, 0.2, 0.2), (0.1, 0.3, 0.2), (0.3, 0.1, 0.0)],
)
def test_the_wait_is_what_a_batch_takes_longer_than_a_step(kind, step_seconds, batch_seconds, waited):
    strategy = {
        "one device": lambda: tf.distribute.OneDeviceStrategy("/cpu:0"),
        "mirrored": lambda: tf.distribute.MirroredStrategy(["/cpu:0"]),
    }[kind]()
    trainer = Sleeper(step_seconds, batch_seconds, strategy)
    steps = tf.constant(STEPS)
    trainer.train(steps)
    results = trainer.train(steps)
    longer = max(step_seconds, batch_seconds)
    assert longer - 0.01 <= results[SECONDS_PER_STEP] <= longer + SLACK
    assert waited - SLACK <= results[WAIT_PER_STEP] <= waited + SLACK


@pytest.fixture
def settings(block_config) -> PipelineSettings:
    return load_pipeline(str(block_config("ssd"))).settings


ALONE = CoreUse(own=default_num_processes(), idle=0.0)


def sentences(bottleneck: InputBottleneck, *loops: tuple[int, float, float], cores: CoreUse = ALONE) -> list[str]:
    return [sentence for loop in loops if (sentence := bottleneck.sentence(LoopTime(*loop, cores)))]


def test_a_wait_is_said_once_with_what_to_change_and_again_when_it_is_over(settings):
    slow, fast = (20, 0.5, 0.2), (20, 0.3, 0.0)
    said = sentences(InputBottleneck(settings), *[slow] * 9)
    assert len(said) == 1
    assert said[0] == (
        "the input is the bottleneck: of 0.50 s a step 0.20 s (40%) went by waiting for it in the last 20 steps; what "
        "helps: smaller images in the records (data_prep.validate_images --max_dimension); fewer augmentations (there "
        f"are 1); more CPU cores (there are {os.cpu_count()}); extensions {{ cache {{ }} }} where the records lie on a "
        "slow disk"
    )
    said = sentences(InputBottleneck(settings), *[slow] * 4, *[fast] * 4, *[slow] * 4)
    assert [sentence.split(":")[0] for sentence in said] == [
        "the input is the bottleneck",
        "the input keeps up again",
        "the input is the bottleneck",
    ]


def test_what_is_done_already_is_not_advised(block_config):
    more = "extensions { cache { } } train_input_reader { num_readers: 2 }"
    settings = load_pipeline(str(block_config("ssd")), more).settings
    (said,) = sentences(InputBottleneck(settings), *[(20, 0.5, 0.2)] * 2)
    assert said.endswith("; train_input_reader.num_readers: 8 (it is 2)")


def test_a_wait_around_the_bound_is_not_said_again_and_again(settings):
    above, below = (20, 1.0, 0.22), (20, 1.0, 0.15)
    assert len(sentences(InputBottleneck(settings), *[above, below] * 5)) == 1


def test_the_first_loop_and_a_handful_of_quick_steps_say_nothing(settings):
    first = (1, 30.0, 25.0)
    assert sentences(InputBottleneck(settings), first, *[(20, 0.3, 0.0)] * 5) == []
    assert sentences(InputBottleneck(settings), first, *[(5, 0.5, 0.4)] * 3) == []
    assert sentences(InputBottleneck(settings), first, *[(20, 0.01, 0.008)] * 20) == []


def test_a_wait_for_cores_that_other_processes_have_is_told_as_that(settings):
    slow, num_cores = (20, 0.5, 0.2), default_num_processes()
    crowded = CoreUse(own=0.4 * num_cores, idle=0.0)
    bottleneck = InputBottleneck(settings)
    assert sentences(bottleneck, *[slow] * 6, cores=crowded) == [
        f"the machine is busy with other processes: this one had {0.4 * num_cores:.1f} of {num_cores} cores, and "
        "waited for its input for 40% of the last 20 steps; whether the input is slow, an idle machine tells"
    ]
    (said,) = sentences(bottleneck, *[slow] * 6)  # once it has the cores
    assert said.startswith("the input is the bottleneck")
    # A slow disk, or one thread that the others wait for, leaves cores idle; where nothing tells, it is as before.
    for idle in (0.5 * (os.cpu_count() or 1), math.inf):
        (said,) = sentences(InputBottleneck(settings), *[slow] * 3, cores=CoreUse(0.1 * num_cores, idle))
        assert said.startswith("the input is the bottleneck")


def test_cores_are_measured():
    meter = CoreMeter()
    while time.process_time() - meter._own < 0.3:
        pass
    worked = meter.end()
    meter.begin()
    time.sleep(0.3)
    slept = meter.end()
    assert 0.05 < worked.own < 1.5 and slept.own < worked.own
    assert 0.0 <= slept.idle <= (os.cpu_count() or 1) + 0.2
