"""A training step of the Object Detection API itself, for `tests.benchmarks.train_step --baseline_python`.

    python object_detection_api_step.py PIPELINE_CONFIG BATCH_SIZE SIDE CLASSES BOXES STEPS

Runs in an environment of its own, with the API's last published package, the TensorFlow that it ran on, and the
protobuf that its generated files still load under:

    pip install tensorflow-cpu==2.15.1 tf-models-research-object-detection==2.8.0.post1 'protobuf<3.21'

So it imports nothing of this project. The step is `eager_train_step` of its model_lib_v2.py without summaries.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from object_detection.builders import model_builder  # type: ignore[import-not-found]
from object_detection.utils import config_util  # type: ignore[import-not-found]


def started_seconds_ago() -> float:
    """How long this process has been there, its interpreter's start included."""
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measures, and prints JSON."""
    config_path = sys.argv[1]
    batch_size, side, classes, boxes, num_steps = map(int, sys.argv[2:])
    model = config_util.get_configs_from_pipeline_file(config_path)["model"]
    detector = model_builder.build(model, is_training=True)
    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(0, 1, (batch_size, boxes, 2, 2)), axis=2).reshape(batch_size, boxes, 4)
    one_hot = np.eye(classes, dtype=np.float32)[random.integers(0, classes, (batch_size, boxes))]
    images = tf.constant(random.uniform(0, 255, (batch_size, side, side, 3)), tf.float32)
    boxes_of_images = [tf.constant(each, tf.float32) for each in corners]
    classes_of_images = [tf.constant(each) for each in one_hot]
    optimizer = tf.keras.optimizers.legacy.SGD(0.001, momentum=0.9)
    tf.keras.backend.set_learning_phase(True)

    @tf.function
    def step(images, boxes, classes):  # type: ignore[no-untyped-def]
        detector.provide_groundtruth(
            groundtruth_boxes_list=boxes,
            groundtruth_classes_list=classes,
            groundtruth_weights_list=[tf.ones(tf.shape(each)[:1]) for each in boxes],
        )
        with tf.GradientTape() as tape:
            preprocessed, true_shapes = detector.preprocess(images)
            losses = detector.loss(detector.predict(preprocessed, true_shapes), true_shapes)
            total = tf.add_n([*losses.values(), *detector.regularization_losses()])
        gradients = tape.gradient(total, detector.trainable_variables)
        optimizer.apply_gradients(zip(gradients, detector.trainable_variables))  # noqa: B905 - as old as its Python
        return total

    step(images, boxes_of_images, classes_of_images).numpy()
    first, first_processor = started_seconds_ago(), time.process_time()
    wall, processor = [], []
    for _ in range(num_steps):
        before, before_processor = time.perf_counter(), time.process_time()
        step(images, boxes_of_images, classes_of_images).numpy()
        wall.append(time.perf_counter() - before)
        processor.append(time.process_time() - before_processor)
    found = {
        "seconds a step": statistics.median(wall[1:]),
        "CPU seconds a step": statistics.median(processor[1:]),
        "seconds to the first step": first,
        "CPU seconds to the first step": first_processor,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
