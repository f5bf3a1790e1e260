"""What each stage of an answer costs: of the exported graph, of its options, and of the client.

    python -m tests.benchmarks.answer_stages [--rounds 10] [--models demo resnet]
        [--pipeline_config_path build/demo/pipeline.config --trained_checkpoint_dir build/demo/model]

`demo` is ssd_efficientnet-lite0_fpn_320 at 8 classes: with the weights of a checkpoint, where one is given. `resnet` is
ssd_resnet50_v1_fpn_640 at 80. Random weights score all anchors alike, which no trained network does and which makes NMS
look at all of them: the last kernel is made larger, so that scores spread as a trained network's do.

All that is compared takes turns in one process. Figures are medians of CPU time, in milliseconds, and ratios of them:
they hold on a busy machine. "Rest" is what the answer costs beyond its stages measured alone: calls, the transfer of
the outputs, and what grows or shrinks as the stages are optimised together. "With NMS of all anchors" is what it costs
where all anchors go through NMS at once, as they did before the strongest were looked at first.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from tests.benchmarks.download import photograph_jpeg
from tests.benchmarks.serving_graph import MOST_OF_FORWARD, ROOT, measure, spread_scores

MODELS = {"demo": ("ssd_efficientnet-lite0_fpn_320", 8), "resnet": ("ssd_resnet50_v1_fpn_640", 80)}
INPUT_TYPES = ["encoded_image_string_tensor"]
PHOTO = (4000, 3000)
Run = Callable[[], object]


def build(name: str, arguments: argparse.Namespace) -> Any:
    """Builds a model's detector."""
    from configs.schema.pipeline_file import merge, read_pipeline_config
    from tests.small_models import build_detector
    from train.checkpoints.files import find_checkpoint
    from train.loop.checkpoint_files import restore_trained

    if name == "demo" and arguments.trained_checkpoint_dir:
        detector = build_detector(read_pipeline_config(arguments.pipeline_config_path))
        restore_trained(detector, find_checkpoint(arguments.trained_checkpoint_dir), moving_averages=False)
        return detector
    recipe, num_classes = MODELS[name]
    config = read_pipeline_config(ROOT / "configs" / f"{recipe}.config")
    detector = build_detector(merge(config, f"model {{ ssd {{ num_classes: {num_classes} }} }}"))
    spread_scores(detector)
    return detector


def loader(detector: Any, **options: Any) -> tuple[Callable[[], Any], float]:
    """Writes a SavedModel; returns what loads it, and its size in megabytes."""
    import tensorflow as tf

    from export.signatures import SAVE_OPTIONS, ServingModule
    from export.weights_dtype import rounded_weights

    folder = tempfile.mkdtemp(prefix="answer_stages")
    with rounded_weights(detector, options.get("weights_dtype", "float32")):
        module = ServingModule(detector, INPUT_TYPES, **options)
        tf.saved_model.save(module, folder, signatures=module.signatures, options=SAVE_OPTIONS)
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return lambda: tf.saved_model.load(folder), size / 1e6


def asked(model: Any, encoded: Any) -> Run:
    """What asks a loaded SavedModel and takes the answer over."""
    signature = model.signatures["serving_default"]

    def run(kept: Any = model) -> Any:
        return {name: value.numpy() for name, value in signature(input_tensor=encoded).items()}

    return run


def frozen_stages(detector: Any) -> tuple[Any, Any]:
    """The network from normalised images to its maps of logits and codes, and the post-processing of these, frozen."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from train.models.detector import flatten_levels

    height, width = detector.input_shape
    levels, depths = detector._levels, (detector._slots.num_slots, detector.box_coder.code_size)

    @tf.autograph.experimental.do_not_convert
    def forward(images: tf.Tensor) -> Any:
        maps = detector.network.head(detector.network.feature_maps(images, training=False), training=False)[:2]
        return [values[level] for values in maps for level in levels]

    @tf.autograph.experimental.do_not_convert
    def post_process(*maps: tf.Tensor) -> Any:
        count = tf.shape(maps[0])[0]
        halves = (maps[: len(levels)], maps[len(levels) :])
        predictions = [
            flatten_levels(dict(zip(levels, half, strict=True)), levels, depth)
            for half, depth in zip(halves, depths, strict=True)
        ]
        shapes = tf.tile([[height, width, 3]], [count, 1])
        anchors = tf.constant(detector.normalized_anchors)
        found = detector.detections_of((*predictions, anchors), tf.zeros([count, height, width, 3]), shapes)
        return {name: value for name, value in found.items() if not name.startswith("raw_")}

    spec = tf.TensorSpec([None, height, width, 3], tf.float32)
    network = convert_variables_to_constants_v2(tf.function(forward, input_signature=[spec]).get_concrete_function())
    specs = [tf.TensorSpec([None, *given.shape[1:]], tf.float32) for given in network(tf.zeros([1, height, width, 3]))]
    return network, tf.function(post_process, input_signature=specs)


@contextlib.contextmanager
def nms_of_all_anchors() -> Iterator[None]:
    """Lets NMS look at all anchors at once."""
    from train.models import post_processing

    own = post_processing._ANCHORS_A_DETECTION
    post_processing._ANCHORS_A_DETECTION = sys.maxsize
    try:
        yield
    finally:
        post_processing._ANCHORS_A_DETECTION = own


def print_graph(detector: Any, loaded: Any, rounds: int, batches: Sequence[int]) -> bool:
    """Prints the stages of the graph; returns whether the answer keeps its bound."""
    import tensorflow as tf

    from export.image_inputs import batch_reader, decode_image

    network, post_process = frozen_stages(detector)
    with nms_of_all_anchors():
        loaded_before = loader(detector)[0]()
    resizer = detector.settings.image_resizer
    reader = batch_reader(INPUT_TYPES[0], resizer)
    read = tf.function(
        lambda encoded: detector.preprocess(*reader(encoded)), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    decode = tf.function(
        lambda encoded: tf.map_fn(lambda one: tf.shape(decode_image(one)), encoded, fn_output_signature=tf.int32),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    photograph = photograph_jpeg(640, 480, quality=90)
    columns = {}
    for batch in batches:
        encoded = tf.constant([photograph] * batch)
        images = read(encoded)
        maps = network(images)
        found = measure(
            {
                "JPEG decode": lambda given=encoded: decode(given),
                "decode and resize": lambda given=encoded: read(given),
                "forward pass, frozen": lambda given=images: network(given),
                "post-processing": lambda given=maps: post_process(*given),
                "answer": asked(loaded, encoded),
                "before": asked(loaded_before, encoded),
            },
            rounds,
        )
        base = found["JPEG decode"].cpu + found["forward pass, frozen"].cpu
        stages = {
            "JPEG decode": found["JPEG decode"].cpu,
            "resize and normalise": found["decode and resize"].cpu - found["JPEG decode"].cpu,
            "forward pass, frozen": found["forward pass, frozen"].cpu,
            "post-processing with NMS": found["post-processing"].cpu,
        }
        stages |= {"rest": found["answer"].cpu - sum(stages.values()), "answer": found["answer"].cpu}
        stages["with NMS of all anchors"] = found["before"].cpu
        columns[batch] = {name: (value, value / base) for name, value in stages.items()}
    print(f"{'':<34}" + "".join(f"{f'batch of {batch}':>14}{'':>8}" for batch in batches))
    for name in columns[batches[0]]:
        cells = (columns[batch][name] for batch in batches)
        print(f"  {name:<32}" + "".join(f"{value:11.1f} ms{ratio:8.2f}" for value, ratio in cells))
    print(f"  {'':<32}(ratios: to forward + decode; the answer at most {MOST_OF_FORWARD})", flush=True)
    return all(columns[batch]["answer"][1] <= MOST_OF_FORWARD for batch in batches)


def print_options(detector: Any, rounds: int) -> None:
    """Prints what the exporter's options cost or spare: answers, loading with the first answer, megabytes."""
    import tensorflow as tf

    one, photo = (
        tf.constant([photograph_jpeg(640, 480, quality=90)]),
        tf.constant([photograph_jpeg(*PHOTO, quality=90)]),
    )
    options = {name: {"weights_dtype": name} for name in ("float32", "float16", "bfloat16")}
    written = {name: loader(detector, **given) for name, given in options.items()}
    models = {name: load() for name, (load, _) in written.items()}
    answers = measure({name: asked(model, one) for name, model in models.items()}, rounds)
    loading = measure({name: (lambda load=load: asked(load(), one)()) for name, (load, _) in written.items()}, 2)
    for name, (_, size) in written.items():
        first = loading[name]
        print(
            f"  {name + ' weights':<32}{answers[name].cpu:11.1f} ms{answers[name].over(answers['float32']).cpu:8.2f}   "
            f"loaded and first answer {first.cpu:7.0f} ms{first.over(loading['float32']).cpu:6.2f}   {size:6.1f} MB"
        )
    scaled = loader(detector, scaled_jpeg=True)[0]()
    found = measure({"whole": asked(models["float32"], photo), "scaled": asked(scaled, photo)}, max(rounds // 2, 2))
    for name, cost in found.items():
        words = f"{PHOTO[0]}x{PHOTO[1]} JPEG, decoded {name}"
        print(f"  {words:<32}{cost.cpu:11.1f} ms{cost.over(found['whole']).cpu:8.2f}", flush=True)


def print_client(detector: Any, loaded: Any, rounds: int) -> None:
    """Prints the stages of the client, of a 640x480 JPEG and of a photo that is shrunk."""
    import tensorflow as tf

    from export.scaled_jpeg import least_sides
    from serving.client_library.detections import OUTPUT_NAMES, read_detections
    from serving.client_library.image_requests import encoded_array, predict_request, read_image
    from serving.client_library.shrinking import DEFAULT_QUALITY, shrink_image
    from serving.wire.messages import PredictResponse
    from serving.wire.tensors import array_of, fill_tensor

    sides = least_sides(detector.settings.image_resizer)
    with tempfile.TemporaryDirectory() as folder:
        for size in ((640, 480), PHOTO):
            path = Path(folder) / "image.jpg"
            path.write_bytes(photograph_jpeg(*size, quality=90))
            image = read_image(path, 2**26)
            shrunk = shrink_image(image, sides, DEFAULT_QUALITY)
            answer = asked(loaded, tf.constant([image.encoded]))()
            response = PredictResponse()
            for name in OUTPUT_NAMES:
                fill_tensor(response.outputs[name], np.asarray(answer[name]))
            wire = response.SerializeToString()

            def serialize(given: Any) -> bytes:
                request: bytes = predict_request(
                    "m", "serving_default", None, encoded_array([given])
                ).SerializeToString()
                return request

            def parse(wire: bytes = wire, size: tuple[int, int] = size) -> Any:
                got = PredictResponse.FromString(wire)
                arrays = {name: array_of(got.outputs[name], max_bytes=2**26) for name in OUTPUT_NAMES}
                return read_detections(arrays, 0, size, label_map=None, min_score=0.0)

            found = measure(
                {
                    "read, header": lambda path=path: read_image(path, 2**26),
                    "shrink": lambda image=image: shrink_image(image, sides, DEFAULT_QUALITY),
                    "request as bytes": lambda image=image: serialize(image),
                    "request as bytes, shrunk": lambda shrunk=shrunk: serialize(shrunk),
                    "answer from bytes": parse,
                },
                rounds,
            )
            print(
                f"  client, a {size[0]}x{size[1]} JPEG of {len(image.encoded):,} bytes, shrunk {len(shrunk.encoded):,}"
            )
            for name, cost in found.items():
                print(f"  {name:<32}{cost.cpu:11.2f} ms", flush=True)


def main() -> int:
    """Measures and prints; returns 1 where an answer costs more than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="how often each takes its turn")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--parts", nargs="+", choices=("graph", "options", "client"), default=["graph", "options", "client"]
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--pipeline_config_path", type=Path)
    parser.add_argument("--trained_checkpoint_dir", help="weights of the demo's model")
    arguments = parser.parse_args()
    quiet_tensorflow()
    is_good = True
    for name in arguments.models:
        detector = build(name, arguments)
        load, _ = loader(detector)
        loaded = load()
        print(f"{name}: {MODELS[name][0]}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        if "graph" in arguments.parts:
            is_good &= print_graph(detector, loaded, arguments.rounds, arguments.batches)
        if "options" in arguments.parts:
            print_options(detector, arguments.rounds)
        if "client" in arguments.parts and name == "demo":
            print_client(detector, loaded, arguments.rounds)
    return int(not is_good)


if __name__ == "__main__":
    raise SystemExit(main())
