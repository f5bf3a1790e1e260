"""Images a second into TFRecords: make_tfrecords against the Object Detection API's `create_oid_tf_record` loop.

    python -m tests.benchmarks.write_records [--images 2000] [--processes N]

The loop is that of the API's `dataset_tools/create_oid_tf_record.py`, for Python 3: one process, pandas groups the
boxes CSV by image, each image's file is read as it is and a tf.Example serialised; no image is ever decoded.
Both are whole commands, from the start of their process to their files, over the same images and boxes, into the same
number of shards, and take turns.

make_tfrecords is run on the road's own images, which validate_images has looked at before (once, and not timed here:
the API has no such step), and, apart, on the same images without that log, so that it reads each to its last
coefficient itself. The loop's time without TensorFlow's import and without its tables is printed too.

Figures of another machine do not compare; the ratio does.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_prep import validate_images
from data_prep.cleaning.validation_log import log_path
from data_prep.formats.label_map import LabelMap, LabelMapItem, read_label_map, write_label_map
from data_prep.formats.points import write_points
from data_prep.runtime.worker_pool import default_num_processes
from data_prep.verify_tfrecords import verify_records
from tests.benchmarks.measured_process import run_process

ROOT = Path(__file__).resolve().parents[2]
LEAST = 3.0
ROUNDS = 2
NUM_SHARDS = 8
NUM_CLASSES = 30
BOXES_AN_IMAGE = 8  # Open Images' boxable training images have 8.4 on average
DISTINCT_IMAGES = 60
COLUMNS = (
    "ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", "IsOccluded", "IsTruncated",
    "IsGroupOf", "IsDepiction", "IsInside",
)  # fmt: skip


def photograph(seed: int) -> bytes:
    """A JPEG of 1024x768 with the detail of a photograph: some 200 kB, as Open Images' are once shrunk."""
    random = np.random.default_rng(seed)
    noisy = random.normal(0, 4, (768, 1024, 1)) + 0.0
    for side, weight in ((8, 0.6), (32, 0.3), (128, 0.15)):
        areas = Image.fromarray(random.integers(0, 256, (side * 3 // 4, side, 3), dtype=np.uint8))
        noisy = noisy + weight * np.asarray(areas.resize((1024, 768), Image.Resampling.BICUBIC), np.float32)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_inputs(folder: Path, num_images: int) -> int:
    """Writes images, a boxes CSV, points.json and a label map; returns the images' bytes."""
    random = np.random.default_rng(0)
    labels = [f"/m/0{number:04d}" for number in range(NUM_CLASSES)]
    write_label_map(folder / "label_map.pbtxt", LabelMap(LabelMapItem(i, label) for i, label in enumerate(labels, 1)))
    images = [photograph(seed) for seed in range(DISTINCT_IMAGES)]
    (folder / "images").mkdir()
    rows, points = [], []
    for number in range(num_images):
        image_id = f"{number:016x}"
        (folder / "images" / f"{image_id}.jpg").write_bytes(images[number % DISTINCT_IMAGES])
        annotations = []
        for _ in range(BOXES_AN_IMAGE):
            label = labels[random.integers(NUM_CLASSES)]
            (x0, x1), (y0, y1) = np.sort(np.round(random.uniform(0, 0.99, (2, 2)), 6)) + np.array([0, 0.001])
            rows.append((image_id, "xclick", label, 1, x0, x1, y0, y1, 0, 0, 0, 0, 0))
            annotations.append({"label": label, "x0": x0, "x1": x1, "y0": y0, "y1": y1})
        points.append({"id": image_id, "annotations": annotations})
    random.shuffle(rows)
    with (folder / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    write_points(folder / "points.json", points)
    return sum(len(images[number % DISTINCT_IMAGES]) for number in range(num_images))


def write_as_the_api_does(folder: Path, table: Any) -> None:
    """`create_oid_tf_record.main` after its tables are read."""
    import tensorflow as tf

    ids = {item.name: item.id for item in read_label_map(folder / "label_map.pbtxt")}
    writers = [
        tf.io.TFRecordWriter(str(folder / f"api.record-{index:05d}-of-{NUM_SHARDS:05d}")) for index in range(NUM_SHARDS)
    ]
    for image_id, of_image in table.groupby("ImageID"):
        with tf.io.gfile.GFile(str(folder / "images" / f"{image_id}.jpg"), "rb") as file:
            encoded = file.read()
        example = _example_of_the_api(of_image, ids, encoded)
        if example is not None:
            writers[int(image_id, 16) % NUM_SHARDS].write(example.SerializeToString())
    for writer in writers:
        writer.close()


def _example_of_the_api(of_image: Any, ids: dict[str, int], encoded: bytes) -> Any:
    """`oid_tfrecord_creation.tf_example_from_annotations_data_frame`."""
    import tensorflow as tf

    def feature_of_bytes(values: list[bytes]) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def feature_of_ints(values: Any) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def feature_of_floats(values: Any) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    known = of_image[of_image.LabelName.isin(ids)]
    boxes = known[~known.YMin.isnull()]
    verified = known[known.YMin.isnull()]
    image_id = of_image.ImageID.iloc[0]
    features = {
        "image/object/bbox/ymin": feature_of_floats(boxes.YMin.to_numpy()),
        "image/object/bbox/xmin": feature_of_floats(boxes.XMin.to_numpy()),
        "image/object/bbox/ymax": feature_of_floats(boxes.YMax.to_numpy()),
        "image/object/bbox/xmax": feature_of_floats(boxes.XMax.to_numpy()),
        "image/object/class/text": feature_of_bytes([label.encode() for label in boxes.LabelName.to_numpy()]),
        "image/object/class/label": feature_of_ints(boxes.LabelName.map(ids.__getitem__).to_numpy()),
        "image/filename": feature_of_bytes([f"{image_id}.jpg".encode()]),
        "image/source_id": feature_of_bytes([image_id.encode()]),
        "image/encoded": feature_of_bytes([encoded]),
    }
    for column, key in (
        ("IsGroupOf", "group_of"),
        ("IsOccluded", "occluded"),
        ("IsTruncated", "truncated"),
        ("IsDepiction", "depiction"),
    ):
        features[f"image/object/{key}"] = feature_of_ints(boxes[column].to_numpy().astype(int))
    features["image/class/label"] = feature_of_ints(verified.LabelName.map(ids.__getitem__).to_numpy())
    features["image/class/text"] = feature_of_bytes([label.encode() for label in verified.LabelName.to_numpy()])
    return tf.train.Example(features=tf.train.Features(feature=features))


def run_as_the_api_does(folder: Path) -> None:
    """`create_oid_tf_record` as a command, but for its flags; prints the seconds that its loop alone took."""
    import pandas as pd

    table = pd.read_csv(folder / "boxes.csv")
    import tensorflow as tf

    tf.io.gfile.exists("")  # what TensorFlow does at its first call is not the loop's
    start = time.perf_counter()
    write_as_the_api_does(folder, table)
    print(time.perf_counter() - start)


def our_words(folder: Path, num_processes: int, images: str, *more: str) -> list[str]:
    """The command line of make_tfrecords."""
    flags = {
        "datapoints_input_path": folder / "points.json", "image_directory": folder / images,
        "label_map_path": folder / "label_map.pbtxt", "record_output_path": folder / "ours.record",
        "num_shards": NUM_SHARDS, "num_processes": num_processes,
    }  # fmt: skip
    words = [str(word) for flag, value in flags.items() for word in (f"--{flag}", value)]
    return [sys.executable, "-m", "data_prep.make_tfrecords", *words, "--rewrite", *more]


def read_all(folder: Path) -> None:
    """Reads the records as bytes: the speed that verifying is measured against."""
    for path in sorted(folder.glob("ours.record-*")):
        with path.open("rb", buffering=0) as file:
            while file.read(1024 * 1024):
                pass


def main() -> int:
    """Measures and prints; returns 1 when make_tfrecords is less than three times as fast."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=default_num_processes())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--api", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    os.environ.update({"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})
    if flags.api:
        run_as_the_api_does(flags.api)
        return 0
    print(f"load at the start {os.getloadavg()[0]:.1f} on {default_num_processes()} cores, {flags.processes} processes")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        num_bytes = make_inputs(folder, flags.images)
        print(f"{flags.images} images of {num_bytes / flags.images / 1000:.0f} kB, {BOXES_AN_IMAGE} boxes each")
        validate(folder)
        base, ours, unseen = "the API's loop", "make_tfrecords", "make_tfrecords, images never validated"
        candidates = {
            base: [sys.executable, "-m", "tests.benchmarks.write_records", "--api", str(folder)],
            ours: our_words(folder, flags.processes, "images"),
            "make_tfrecords, one process": our_words(folder, 1, "images"),
            unseen: our_words(folder, flags.processes, "images"),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        loops: list[float] = []
        log = log_path(folder / "images")
        for _ in range(flags.rounds):
            for name, words in candidates.items():
                if name == unseen:
                    log.rename(folder / "away")
                wall, processor, output = run_process(words)
                if name == unseen:
                    (folder / "away").rename(log)
                found[name].append((wall, processor))
                if name == base:
                    loops.append(float(output))
        best = {name: tuple(map(min, zip(*rounds, strict=True))) for name, rounds in found.items()}
        for name, (wall, processor) in best.items():
            print(
                f"{name:<42}{flags.images / wall:7.0f} images/s, {best[base][0] / wall:5.2f} x;"
                f"{1000 * processor / flags.images:7.2f} ms of CPU each, {best[base][1] / processor:5.2f} x"
            )
        print(f"of the API's {best[base][0]:.1f} s, its loop alone takes {min(loops):.1f} s")
        verify(folder, flags.processes)
    ratio = best[base][0] / best[ours][0]
    print(f"make_tfrecords / the API's loop: {ratio:.2f} (at least {LEAST})")
    return int(ratio < LEAST)


def validate(folder: Path) -> None:
    """Has validate_images look at the images, as on the road to records."""
    words = {
        "image_directory": folder / "images", "datapoints_input_path": folder / "points.json",
        "datapoints_output_path": folder / "clean.json",
    }  # fmt: skip
    assert validate_images.main([str(word) for flag, value in words.items() for word in (f"--{flag}", value)]) == 0


def verify(folder: Path, num_processes: int) -> None:
    """Prints how fast the records are verified, in megabytes a second, beside reading them alone."""
    shards = sorted(map(str, folder.glob("ours.record-*-of-*")))
    megabytes = sum(Path(shard).stat().st_size for shard in shards) / 1e6
    label_map = read_label_map(folder / "label_map.pbtxt")

    def verifier(decode_fraction: float) -> Callable[[], object]:
        def run() -> None:
            summary = verify_records(
                shards,
                label_map,
                num_processes=num_processes,
                max_problems_shown=1,
                decode_fraction=decode_fraction,
            )
            assert not summary.problems

        return run

    candidates: dict[str, Callable[[], object]] = {
        "reading the records' bytes": lambda: read_all(folder),
        "verify_tfrecords": verifier(1.0),
        "verify_tfrecords --decode_fraction 0": verifier(0.0),
    }
    for name, run in candidates.items():
        start = time.perf_counter()
        run()
        print(f"{name:<42}{megabytes / (time.perf_counter() - start):7.0f} MB/s")


if __name__ == "__main__":
    raise SystemExit(main())
