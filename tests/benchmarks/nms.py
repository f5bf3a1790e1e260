"""NMS of all anchors at once, and of the strongest first: the same detections, at what cost.

    python -m tests.benchmarks.nms [--rounds 10]

Boxes anywhere in the image, scores spread as a trained network's logits are. Ratios of CPU time hold on a busy machine.
"""

from __future__ import annotations

import argparse
import functools
import os

import numpy as np

from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from tests.benchmarks.answer_stages import nms_of_all_anchors
from tests.benchmarks.serving_graph import measure

ANCHORS_AND_CLASSES = ((12_804, 80), (76_725, 80), (76_725, 8))
LEAST_GAIN = 2.0


def main() -> int:
    """Measures and prints; returns 1 where little is gained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="how often each takes its turn")
    rounds = parser.parse_args().rounds
    quiet_tensorflow()
    import tensorflow as tf

    from configs.settings.post_processing import BatchNonMaxSuppression
    from configs.settings.reading import read_settings_text
    from train.models.post_processing import batch_non_max_suppression

    text = "score_threshold: 1e-8 iou_threshold: 0.6 max_detections_per_class: 100 max_total_detections: 100"
    settings = read_settings_text(BatchNonMaxSuppression, text)

    def suppress(boxes: tf.Tensor, scores: tf.Tensor, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
        return batch_non_max_suppression(boxes, scores, true_image_shape, settings)

    print(f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    gains = []
    for anchors, classes in ANCHORS_AND_CLASSES:
        random = np.random.default_rng(0)
        centres, sides = random.uniform(0, 320, [1, anchors, 1, 2]), random.uniform(10, 100, [1, anchors, 1, 2])
        boxes = tf.constant(np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1), tf.float32)
        scores = tf.sigmoid(tf.constant(random.normal(-5.9, 0.9, [1, anchors, classes]), tf.float32))
        given = (boxes, scores, tf.constant([[320, 320, 3]]))
        with nms_of_all_anchors():
            at_once = tf.function(suppress).get_concrete_function(*given)
        ways = {"all": at_once, "few": tf.function(suppress).get_concrete_function(*given)}
        found = {name: way(*given) for name, way in ways.items()}
        for name, expected in found["all"].items():
            np.testing.assert_array_equal(found["few"][name], expected)
        cost = measure({name: functools.partial(way, *given) for name, way in ways.items()}, rounds)
        gains.append(cost["all"].over(cost["few"]).cpu)
        print(
            f"{anchors:,} anchors, {classes} classes: all at once {cost['all'].cpu:.1f} ms of CPU time, the strongest "
            f"first {cost['few'].cpu:.1f} ms, {gains[-1]:.1f} times as fast, at least {LEAST_GAIN:g}",
            flush=True,
        )
    return int(min(gains) < LEAST_GAIN)


if __name__ == "__main__":
    raise SystemExit(main())
