"""What an export adds to its network, and what Model Garden's own export of such a network costs.

    python -m tests.benchmarks.serving_graph [--rounds 20]

A 480x640 JPEG through the SavedModel, against the bare forward pass (frozen) and a decode; against the SavedModel that
`official.vision.serving.export_saved_model_lib` writes of a RetinaNet of the same shape: MobileNetV2, a pyramid and
heads of 128 separable channels, the same 12,804 anchors and NMS thresholds; a batch of 8 against 8 single images; and
loading. Random weights, spread as trained ones are, in the MobileNetV2 FPNLite recipe at 80 classes. All candidates
take turns in one process, so that the ratios hold on a busy machine; those of CPU time hold better. Figures of another
machine do not compare.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from tests.benchmarks.download import photograph_jpeg

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "configs" / "ssd_mobilenet_v2_fpnlite_320.config"
SIDE = 320
NUM_CLASSES = 80
MOST_OF_FORWARD = 1.15
LOGITS_DEVIATION = 0.9  # of the demo's detector on its rooms
LEAST_OF_MODEL_GARDEN = 4.0
MOST_OF_LOADING = 0.5
LOADS = 3


@dataclasses.dataclass(frozen=True)
class Cost:
    """Medians of one candidate, in milliseconds."""

    wall: float
    cpu: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def over(self, other: Cost) -> Cost:
        """The ratios."""
        return Cost(self.wall / other.wall, self.cpu / other.cpu)


def measure(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, Cost]:
    """Runs the candidates in turn and returns each one's medians."""
    spent: dict[str, list[Cost]] = {name: [] for name in candidates}
    for number in range(rounds + 2):
        for name, run in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            cost = Cost(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu))
            if number >= 2:  # the first two trace and warm up
                spent[name].append(cost)
    return {
        name: Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))
        for name, costs in spent.items()
    }


def build_ours() -> Any:
    """Builds the recipe's detector."""
    from configs.schema.pipeline_file import merge, read_pipeline_config
    from tests.small_models import build_detector

    config = merge(read_pipeline_config(RECIPE), f"model {{ ssd {{ num_classes: {NUM_CLASSES} }} }}")
    detector = build_detector(config)
    spread_scores(detector)
    return detector


def spread_scores(detector: Any) -> None:
    """Makes the class logits of an SSD with random weights differ as much from anchor to anchor as trained ones do.

    Random weights score all anchors alike, so that NMS has to look at all of them, which it has not with any others: a
    recipe's initial kernels, with batch norms that have seen nothing, leave nothing of an image. They get He's.
    """
    import tensorflow as tf

    for variable in detector.network.variables:
        if variable.shape.rank == 4:
            fan_in = math.prod(variable.shape[: 2 if "depthwise" in variable.name else 3])
            variable.assign(variable * math.sqrt(2.0 / fan_in) / tf.maximum(tf.math.reduce_std(variable), 1e-9))

    height, width = detector.input_shape
    photograph = tf.io.decode_jpeg(photograph_jpeg(width, height, quality=90))[tf.newaxis]
    normalized = detector.preprocess(tf.cast(photograph, tf.float32), tf.constant([[height, width, 3]]))
    logits = detector.predict(tf.cast(photograph, tf.float32), normalized, training=False)[0]
    kernels = [v for v in detector.network.head.variables if "class_predictor" in v.name and "kernel" in v.name]
    kernels[-1].assign(kernels[-1] * LOGITS_DEVIATION / tf.math.reduce_std(logits))


def export_model_garden(folder: str) -> None:
    """Writes Model Garden's SavedModel of a RetinaNet of the same shape, as its own exporter does."""
    from official.core import exp_factory
    from official.vision.serving import export_saved_model_lib

    params = exp_factory.get_exp_config("retinanet_mobile_coco")
    params.override(
        {
            "task": {
                "model": {
                    "num_classes": NUM_CLASSES + 1,
                    "input_size": [SIDE, SIDE, 3],
                    "anchor": {"num_scales": 2, "aspect_ratios": [0.5, 1.0, 2.0], "anchor_size": 4.0},
                    "backbone": {"type": "mobilenet", "mobilenet": {"model_id": "MobileNetV2"}},
                    "decoder": {"type": "fpn", "fpn": {"num_filters": 128, "use_separable_conv": True}},
                    "head": {"num_convs": 4, "num_filters": 128, "use_separable_conv": True},
                    "norm_activation": {"activation": "relu6", "use_sync_bn": False},
                    "detection_generator": {
                        "pre_nms_score_threshold": 1e-8,
                        "nms_iou_threshold": 0.6,
                        "max_num_detections": 100,
                    },
                }
            }
        },
        is_strict=False,
    )
    export_saved_model_lib.export_inference_graph(
        input_type="image_bytes",
        batch_size=None,
        input_image_size=[SIDE, SIDE],
        params=params,
        checkpoint_path=None,
        export_dir=folder,
    )


def main() -> int:
    """Measures and prints; returns 1 when a ratio misses what is asked of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often each candidate runs")
    rounds = parser.parse_args().rounds
    print(f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    quiet_tensorflow()
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from export.signatures import ServingModule

    detector = build_ours()
    network = detector.network
    module = ServingModule(detector, ["encoded_image_string_tensor"])

    @tf.function(input_signature=[tf.TensorSpec([None, *detector.input_shape, 3], tf.float32)])
    @tf.autograph.experimental.do_not_convert
    def forward(images: tf.Tensor) -> object:
        return network.head(network.feature_maps(images, training=False), training=False)[:2]

    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as theirs:
        tf.saved_model.save(module, ours, signatures=module.signatures)
        export_model_garden(theirs)
        loading = measure(
            {"ours": lambda: tf.saved_model.load(ours), "Model Garden's": lambda: tf.saved_model.load(theirs)}, LOADS
        )
        loaded, other = tf.saved_model.load(ours), tf.saved_model.load(theirs)
    signature, other_signature = loaded.signatures["serving_default"], other.signatures["serving_default"]
    (other_input,) = other_signature.structured_input_signature[1]

    encoded = photograph_jpeg(640, 480, quality=90)
    one, eight = tf.constant([encoded]), tf.constant([encoded] * 8)
    images = tf.random.uniform([8, *detector.input_shape, 3])
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())
    decode = tf.function(lambda content: tf.io.decode_jpeg(content, channels=3))
    found = measure(
        {
            "exported, one image": lambda: signature(input_tensor=one),
            "bare forward pass, frozen": lambda: frozen(images[:1]),
            "forward pass of 8, frozen": lambda: frozen(images),
            "JPEG decode": lambda: decode(one[0]),
            "Model Garden's, one image": lambda: other_signature(**{other_input: one}),
            "exported, batch of 8": lambda: signature(input_tensor=eight),
            "exported, 8 single images": lambda: [signature(input_tensor=one) for _ in range(8)],
        },
        rounds,
    )
    print(f"{'':<40}{'wall':>10} {'CPU':>13}")
    for name, cost in [*found.items(), *((f"loading, {name}", cost) for name, cost in loading.items())]:
        print(f"{name:<40}{cost.wall:10.1f} {cost.cpu:10.1f} ms")
    exported = found["exported, one image"]
    of_forward = exported.over(found["bare forward pass, frozen"] + found["JPEG decode"])
    eight_decodes = Cost(8 * found["JPEG decode"].wall, 8 * found["JPEG decode"].cpu)
    of_forward_of_8 = found["exported, batch of 8"].over(found["forward pass of 8, frozen"] + eight_decodes)
    faster = found["Model Garden's, one image"].over(exported)
    of_singles = found["exported, batch of 8"].over(found["exported, 8 single images"])
    of_loading = loading["ours"].over(loading["Model Garden's"])
    for name, ratio, wanted in (
        ("exported / (forward frozen + decode)", of_forward, f"at most {MOST_OF_FORWARD}"),
        ("batch of 8 / (forward frozen + decodes)", of_forward_of_8, f"at most {MOST_OF_FORWARD}"),
        ("Model Garden's / exported", faster, f"at least {LEAST_OF_MODEL_GARDEN}"),
        ("batch of 8 / 8 single images", of_singles, "below 1"),
        ("loading / loading Model Garden's", of_loading, f"below {MOST_OF_LOADING}"),
    ):
        print(f"{name:<40}{ratio.wall:10.2f} {ratio.cpu:10.2f}    {wanted}")
    good = (
        of_forward.cpu <= MOST_OF_FORWARD
        and of_forward_of_8.cpu <= MOST_OF_FORWARD
        and faster.cpu >= LEAST_OF_MODEL_GARDEN
        and of_singles.cpu < 1.0
        and of_loading.cpu < MOST_OF_LOADING
    )
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
