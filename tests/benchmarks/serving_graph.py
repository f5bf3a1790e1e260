"""What an export adds to its network: a 480x640 JPEG through the SavedModel, against a bare forward pass and a decode.

    python -m tests.benchmarks.serving_graph

Random weights in the MobileNetV2 FPNLite recipe at 80 classes; all candidates take turns in one process, so that the
ratios hold on a busy machine. Figures of another machine do not compare.
"""

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.quiet_tensorflow import quiet_tensorflow

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "configs" / "ssd_mobilenet_v2_fpnlite_320.config"
ROUNDS = 40
MOST = 2.0


def photograph_jpeg() -> bytes:
    """A JPEG of 640x480 with the detail of a photograph: smooth areas, edges, and some noise."""
    random = np.random.default_rng(0)
    areas = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        (640, 480), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(areas, np.int16) + random.normal(0, 6, (480, 640, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def median_milliseconds(candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Runs the candidates in turn and returns each one's median."""
    for run in candidates.values():
        for _ in range(5):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def main() -> int:
    """Measures and prints; returns 1 when an export costs more than twice its network."""
    quiet_tensorflow()
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from configs.schema import merge, read_pipeline_config
    from export.signatures import ServingModule
    from train.models.build import build_detector

    config = merge(read_pipeline_config(RECIPE), "model { ssd { num_classes: 80 } }")
    detector = build_detector(config)
    network = detector.network
    module = ServingModule(detector, config.model.ssd.image_resizer, "encoded_image_string_tensor")
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        start = time.perf_counter()
        signature = tf.saved_model.load(folder).signatures["serving_default"]
        loading = time.perf_counter() - start

    @tf.function(input_signature=[tf.TensorSpec([1, *detector.input_shape, 3], tf.float32)])
    def forward(images: tf.Tensor) -> object:
        return network.head(network.feature_maps(images, training=False), training=False)[:2]

    encoded = photograph_jpeg()
    request, images = tf.constant([encoded]), tf.random.uniform([1, *detector.input_shape, 3])
    eight = tf.constant([encoded] * 8)
    frozen = convert_variables_to_constants_v2(forward.get_concrete_function())
    decode = tf.function(lambda content: tf.io.decode_jpeg(content, channels=3))
    found = median_milliseconds(
        {
            "exported, one picture": lambda: signature(input_tensor=request),
            "bare forward pass": lambda: forward(images),
            "bare forward pass, frozen": lambda: frozen(images),
            "JPEG decode": lambda: decode(request[0]),
            "exported, batch of 8": lambda: signature(input_tensor=eight),
        }
    )
    for name, milliseconds in found.items():
        print(f"{name:<28}{milliseconds:8.1f} ms")
    print(f"{'loading the SavedModel':<28}{1000 * loading:8.0f} ms")
    one = found["exported, one picture"]
    ratio = one / (found["bare forward pass"] + found["JPEG decode"])
    of_frozen = one / (found["bare forward pass, frozen"] + found["JPEG decode"])
    print(f"exported / (forward + decode): {ratio:.2f} (at most {MOST}); with the forward pass frozen: {of_frozen:.2f}")
    print(f"batch of 8 / 8 single pictures: {found['exported, batch of 8'] / (8 * one):.2f}")
    return int(ratio > MOST)


if __name__ == "__main__":
    raise SystemExit(main())
