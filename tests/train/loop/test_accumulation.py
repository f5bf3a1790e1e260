"""Gradient accumulation: a batch in parts moves the weights as the whole does, with the memory of a part."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import orbit
import pytest
import tensorflow as tf
import tf_keras

from configs.check import main as check
from configs.schema.pipeline_file import format_pipeline_config, merge, read_pipeline_config
from data_prep.runtime.command_line import UsageError
from tests.small_models import build_detector
from tests.train.loop.two_cpus import run_on_two_cpus
from train.inputs.left_out import LeftOut
from train.inputs.reader import build_training_dataset
from train.loop.accumulation import accumulate, require_parts
from train.loop.failures import explained_failures
from train.loop.learning_rate_multipliers import rate_multipliers
from train.loop.optimization import build_optimizer, create_slots
from train.loop.step import TOTAL_LOSS, DetectionTrainer
from train.loop.stopping import StopRequests
from train.loop.workers import Workers
from train.models.detector import Detector
from train.models.replicas import divisor_of_batch
from train.pipeline import Pipeline, load_pipeline

BATCHES = """train_config { batch_size: 4 optimizer { use_moving_average: false } }
             train_input_reader { shuffle: false }"""
# Nothing is drawn: anchors and proposals all count, and no unit is dropped.
FROZEN = {
    "ssd": "model { ssd { freeze_batchnorm: true } }",
    "faster_rcnn": """model { faster_rcnn {
        feature_extractor { batch_norm_trainable: false }
        first_stage_minibatch_size: 200 first_stage_positive_balance_fraction: 1.0
        second_stage_batch_size: 12 second_stage_balance_fraction: 1.0
        second_stage_box_predictor { mask_rcnn_box_predictor { use_dropout: false } }
    } }""",
}


class Small(Detector):
    """Three layers, batch norm among them, that learn where an image's first box is; its loss is a mean over boxes."""

    input_shape = (None, None)
    num_classes = 2
    loss_names = ("Loss/localization_loss",)

    def __init__(self) -> None:
        self.network = tf_keras.Sequential(
            [
                tf_keras.layers.Conv2D(8, 5, strides=4, input_shape=(None, None, 3)),
                tf_keras.layers.BatchNormalization(momentum=0.5, name="norm"),
                tf_keras.layers.GlobalAveragePooling2D(),
                tf_keras.layers.Dense(4, dtype="float32", kernel_regularizer=tf_keras.regularizers.L2(0.01)),
            ]
        )

    def preprocess(self, images, true_image_shape):
        return images / 255.0

    def compute_losses(self, images, labels, *, training):
        total, count = self._sum(images, labels, training)
        return {"Loss/localization_loss": total / divisor_of_batch(count)}

    def compute_losses_of_part(self, images, labels, *, training):
        total, count = self._sum(images, labels, training)
        return {"Loss/localization_loss": total / tf.maximum(count, 1.0)}, count

    def _sum(self, images, labels, training):
        boxes = self.network(self.preprocess(images, labels["true_image_shape"]), training=training)
        errors = tf.reduce_sum((boxes - labels["groundtruth_boxes"][:, 0]) ** 2, axis=1)
        counts = tf.math.count_nonzero(labels["groundtruth_classes"], axis=1, dtype=tf.float32)
        return tf.reduce_sum(errors * counts), tf.reduce_sum(counts)

    def detect(self, images, true_image_shape):
        raise NotImplementedError


def pipeline_of(block_config: Any, family: str, *texts: str) -> Pipeline:
    """The config of a family with texts merged over it, one after the other."""
    path = block_config(family)
    config = read_pipeline_config(path)
    for text in texts:
        config = merge(config, text)
    path.write_text(format_pipeline_config(config))
    return load_pipeline(str(path))


def trainer_of(
    pipeline: Pipeline,
    detector: Detector,
    dataset: Any,
    parts: int,
    strategy: tf.distribute.Strategy | None = None,
) -> DetectionTrainer:
    """A trainer as train.loop.run makes it, which looks at `parts` parts of a batch."""
    train_config = pipeline.train_config
    variables = detector.network.trainable_variables
    optimizer, rate = build_optimizer(
        train_config.optimizer,
        pipeline.settings.extensions,
        rate_multipliers(pipeline.settings.extensions, detector.network),
    )
    if tf_keras.mixed_precision.global_policy().name == "mixed_float16":
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
    create_slots(optimizer, variables)
    return DetectionTrainer(
        detector=detector,
        dataset=dataset,
        optimizer=optimizer,
        learning_rate=rate,
        clip_norm=train_config.gradient_clipping_by_norm,
        bias_multiplier=train_config.bias_grad_multiplier,
        variables=variables,
        workers=Workers(strategy or tf.distribute.get_strategy()),
        stop=StopRequests(),
        global_step=orbit.utils.create_global_step(),
        left_out=LeftOut.of_training(pipeline.settings),
        add_regularization_loss=train_config.add_regularization_loss,
        micro_batches=parts,
    )


def batches_of(pipeline: Pipeline, count: int) -> tf.data.Dataset:
    """The first batches of the training input, the same whenever they are read."""
    first, *others = build_training_dataset(pipeline.settings, seed=0).take(count)
    dataset = tf.data.Dataset.from_tensors(first)
    for batch in others:
        dataset = dataset.concatenate(tf.data.Dataset.from_tensors(batch))
    return dataset


@pytest.fixture
def float16() -> Iterator[None]:
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("case", ["ssd", pytest.param("faster_rcnn", marks=pytest.mark.slow)])
def test_three_steps_in_parts_give_the_weights_of_three_whole_ones(block_config, case):
    changed = """train_config { gradient_clipping_by_norm: 0.5 bias_grad_multiplier: 2.0
        optimizer { momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.05 } } } } }"""
    pipeline = pipeline_of(block_config, case, FROZEN[case], BATCHES, changed)
    detector = build_detector(pipeline.config)
    start = detector.network.get_weights()
    # The first image has no ground truth: the parts of a batch have matches in different numbers.
    dataset = batches_of(pipeline, 3).map(without_the_first_images_boxes)
    weights, losses = {}, {}
    for parts in (1, 2, 4):
        detector.network.set_weights(start)
        trainer = trainer_of(pipeline, detector, dataset, parts)
        found = trainer.train(tf.constant(3))
        losses[parts] = {name: float(value) for name, value in found.items() if name.startswith("Loss/")}
        weights[parts] = detector.network.get_weights()
        assert int(trainer.global_step) == 3
    assert max(np.abs(a - b).max() for a, b in zip(start, weights[1], strict=True)) > 1e-3
    for parts in (2, 4):
        assert losses[parts] == pytest.approx(losses[1], rel=1e-4)
        for whole, accumulated in zip(weights[1], weights[parts], strict=True):
            np.testing.assert_allclose(accumulated, whole, atol=1e-5)


def without_the_first_images_boxes(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> Any:
    keep = tf.constant([[0], [1], [1], [1]], tf.int32)
    return images, {**labels, "groundtruth_classes": labels["groundtruth_classes"] * keep}


ADDED_UP = {
    "ssd": ("ssd", "model { ssd { normalize_loss_by_num_matches: true } }", [False, True]),
    "ssd, losses not divided": ("ssd", "model { ssd { normalize_loss_by_num_matches: false } }", [False, False]),
    "faster_rcnn": ("faster_rcnn", "", [True, True]),
}


@pytest.mark.parametrize("case", ADDED_UP)
def test_the_parts_of_a_batch_add_up(block_config, case):
    family, more, (divides_without_boxes, divides) = ADDED_UP[case]
    pipeline = pipeline_of(block_config, family, FROZEN[family], BATCHES, more)
    detector = build_detector(pipeline.config)
    ((images, labels),) = batches_of(pipeline, 1).map(without_the_first_images_boxes)
    whole = detector.compute_losses(images, labels, training=True)
    sums, divisors = dict.fromkeys(whole, 0.0), []
    for index in range(4):
        one = {name: value[index : index + 1] for name, value in labels.items()}
        losses, divisor = detector.compute_losses_of_part(images[index : index + 1], one, training=True)
        divisors.append(float(divisor))
        for name, loss in losses.items():
            sums[name] += max(divisors[-1], 1.0) * float(loss)
    assert [divisor > 0 for divisor in divisors] == [divides_without_boxes, divides, divides, divides]
    for name, loss in whole.items():
        assert sums[name] / max(sum(divisors), 1.0) == pytest.approx(float(loss), rel=1e-4)


def linear_part(weight: tf.Variable, unused: tf.Variable) -> Any:
    """Losses whose divisor is the sum of the labels, as an SSD's is that of its matches."""

    def compute(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> Any:
        with tf.GradientTape() as tape:
            divisor = tf.reduce_sum(labels["matches"])
            loss = tf.reduce_sum(images * weight) / tf.maximum(divisor, 1.0)
        return {"loss": loss}, divisor, tape.gradient(loss, [weight, unused])

    return compute


@pytest.mark.parametrize("matches", [[3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 7.0]])
@pytest.mark.parametrize("size", [4, None])
def test_each_part_counts_as_much_as_what_divides_it(matches, size):
    weight, unused = tf.Variable(2.0), tf.Variable(1.0)

    @tf.function(
        input_signature=[tf.TensorSpec([size], tf.float32), {"matches": tf.TensorSpec([size], tf.float32)}],
        autograph=False,
    )
    def parts(images, labels):
        losses, (gradient, none) = accumulate(
            linear_part(weight, unused), images, labels, parts=4, loss_names=["loss"], variables=[weight, unused]
        )
        assert none is None
        return losses["loss"], gradient

    images = np.float32([1, 2, 3, 4])
    loss, gradient = parts(images, {"matches": np.float32(matches)})
    divisor = max(sum(matches), 1.0)
    assert float(gradient) == pytest.approx(10 / divisor)
    assert float(loss) == pytest.approx(20 / divisor)


def test_images_of_any_size_are_trained_in_parts(block_config):
    resizer = "keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 96 }"
    pipeline = pipeline_of(block_config, "ssd", BATCHES, f"model {{ ssd {{ image_resizer {{ {resizer} }} }} }}")
    dataset = build_training_dataset(pipeline.settings, seed=0)
    assert dataset.element_spec[0].shape[1] is None
    result = trainer_of(pipeline, Small(), dataset, 2).train(tf.constant(1))
    assert np.isfinite(float(result[TOTAL_LOSS]))


def test_batch_norm_moves_with_every_part(block_config):
    pipeline = pipeline_of(block_config, "ssd", BATCHES)
    detector = Small()
    dataset = batches_of(pipeline, 1)
    ((images, labels),) = dataset
    norm = detector.network.get_layer("norm")
    start = detector.network.get_weights()
    for half in (slice(0, 2), slice(2, 4)):
        detector.compute_losses(images[half], {name: value[half] for name, value in labels.items()}, training=True)
    expected = norm.moving_mean.numpy()
    detector.network.set_weights(start)
    trainer_of(pipeline, detector, dataset, 2).train(tf.constant(1))
    np.testing.assert_allclose(norm.moving_mean, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected).max() > 0.01


def test_losses_are_scaled_for_float16_and_an_overflow_moves_nothing(block_config, float16):
    pipeline = pipeline_of(block_config, "ssd", BATCHES)
    detector = Small()
    detector.network.get_layer("norm").trainable = False  # frozen: parts may be compared with the whole
    start = detector.network.get_weights()
    dataset = batches_of(pipeline, 1).repeat()
    moved = {}
    for parts in (1, 2):
        detector.network.set_weights(start)
        trainer = trainer_of(pipeline, detector, dataset, parts)
        optimizer = trainer._optimizer
        optimizer._loss_scale.current_loss_scale.assign(2.0**10)
        trainer.train(tf.constant(1))
        moved[parts] = [new - old for new, old in zip(detector.network.get_weights(), start, strict=True)]
        assert float(optimizer.loss_scale) == 2.0**10
    largest = max(np.abs(change).max() for change in moved[1])
    assert largest > 1e-4
    for whole, accumulated in zip(moved[1], moved[2], strict=True):
        np.testing.assert_allclose(accumulated, whole, atol=0.05 * largest)
    optimizer._loss_scale.current_loss_scale.assign(2.0**60)
    before = detector.network.get_weights()
    trainer.train(tf.constant(1))
    for old, new in zip(before, detector.network.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert float(optimizer.loss_scale) == 2.0**59


def test_a_loss_that_is_not_finite_names_the_images_of_its_part(block_config):
    pipeline = pipeline_of(block_config, "ssd", BATCHES)
    detector = Small()

    def spoiled(images: tf.Tensor, labels: dict[str, tf.Tensor]) -> Any:
        factor = tf.reshape(tf.constant([1.0, 1.0, np.nan, 1.0]), [4, 1, 1, 1])
        return images * factor, labels

    dataset = batches_of(pipeline, 1).map(spoiled)
    ((_, labels),) = dataset
    names = [name.decode() for name in labels["source_id"].numpy()]
    with pytest.raises(Exception, match="not finite at step 0") as caught, explained_failures():
        trainer_of(pipeline, detector, dataset, 2).train(tf.constant(1))
    assert all(name in str(caught.value) for name in names[2:])
    assert not any(name in str(caught.value) for name in names[:2])


def test_replicas_look_at_their_shares_in_parts(block_config):
    path = block_config("ssd")
    path.write_text(format_pipeline_config(merge(read_pipeline_config(path), BATCHES)))
    run_on_two_cpus("tests.train.loop.test_accumulation", "check_replicas", str(path))


def check_replicas(strategy: tf.distribute.Strategy, path: str) -> None:
    """Two steps on one device and on two, of which one has an image without boxes, as a whole and in parts."""
    pipeline = load_pipeline(path)
    dataset = batches_of(pipeline, 2).map(without_the_first_images_boxes)
    weights = {}
    for name, where, parts in (
        ("one device", tf.distribute.get_strategy(), 1),
        ("one device in parts", tf.distribute.get_strategy(), 4),
        ("two", strategy, 1),
        ("two in parts", strategy, 2),
    ):
        with where.scope():
            tf_keras.utils.set_random_seed(0)
            detector = Small()
            detector.network.get_layer("norm").trainable = False
            start = detector.network.get_weights()
            trainer = trainer_of(pipeline, detector, where.experimental_distribute_dataset(dataset), parts, where)
        trainer.train(tf.constant(2))
        weights[name] = detector.network.get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(start, weights["one device"], strict=True)) > 1e-3
    for name, others in weights.items():
        for one, other in zip(weights["one device"], others, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-6, err_msg=name)


MEMORY = '''
import re, sys
import tensorflow as tf
from train.loop.accumulation import accumulate

parts, side = int(sys.argv[1]), 160
kernels = [tf.Variable(tf.random.normal([3, 3, 3 if i == 0 else 16, 16]) / 10) for i in range(8)]

def compute(images, labels):
    with tf.GradientTape() as tape:
        for kernel in kernels:
            images = tf.nn.sigmoid(tf.nn.conv2d(images, kernel, 1, "SAME"))
        loss = tf.reduce_mean(images)
    return {"loss": loss}, tf.cast(tf.shape(images)[0], tf.float32), tape.gradient(loss, kernels)

def peak():
    """MiB at most since it was last asked."""
    text = open("/proc/self/status").read()
    open("/proc/self/clear_refs", "w").write("5")
    return int(re.search(r"VmHWM:\\s+(\\d+)", text)[1]) / 1024

@tf.function(autograph=False)
def step(images):
    return accumulate(compute, images, {}, parts=parts, loss_names=["loss"], variables=kernels)

images = tf.ones([16, side, side, 3])
peak()
loaded = peak()
losses, gradients = step(images)
float(losses["loss"])
print(peak() - loaded)
'''


def peak_mebibytes(parts: int) -> float:
    command = [sys.executable, "-c", MEMORY, str(parts)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def test_activations_take_the_memory_of_a_part():
    # The outputs of 8 layers, 16 images of 160 x 160 x 16 in float32, are 200 MiB.
    whole, in_parts = peak_mebibytes(1), peak_mebibytes(8)
    print(f"{whole:.0f} MiB as a whole, {in_parts:.0f} in 8 parts")
    assert whole > 190
    assert in_parts < whole / 3


def test_parts_that_do_not_divide_are_refused(block_config, capsys):
    path = str(block_config("ssd", "extensions { gradient_accumulation { steps: 3 } }"))
    assert check([path]) == 2
    captured = capsys.readouterr()
    assert (
        "extensions.gradient_accumulation.steps: 3 parts do not divide train_config.batch_size, 2"
        in captured.out + captured.err
    )
    network = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])
    require_parts(16, 4, 2, network)
    with pytest.raises(UsageError, match=r"4 parts on each of 3 replicas do not divide train_config\.batch_size, 16"):
        require_parts(16, 4, 3, network)


def test_batch_norm_over_replicas_is_refused_in_parts():
    norm = tf_keras.layers.BatchNormalization(synchronized=True)
    network = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,)), norm])
    require_parts(8, 2, 1, network)
    require_parts(8, 1, 2, network)
    with pytest.raises(UsageError, match="sync_batch_norm on 2 replicas"):
        require_parts(8, 2, 2, network)
