"""Pictures a second into TFRecords: make_tfrecords against the Object Detection API's `create_oid_tf_record` loop.

    python -m tests.benchmarks.write_records [--images 2000] [--processes N]

The loop is that of the API's `dataset_tools/create_oid_tf_record.py`, for Python 3: one process, pandas groups the
boxes CSV by picture, each picture's file is read as it is and a tf.Example serialised. make_tfrecords does more: it
reads every JPEG to its last coefficient, counts, and leaves a manifest. Both write the same pictures and boxes to the
same number of shards and take turns on the same files. Both are timed without their imports and without reading their
tables (the CSV, points.json), which are printed apart; starting our processes is counted.

Figures of another machine do not compare; the ratio does.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_prep.label_map import LabelMap, LabelMapItem, read_label_map, write_label_map
from data_prep.ledger import Ledger
from data_prep.point_index import index_points
from data_prep.points import write_points
from data_prep.record_policies import RecordPolicies
from data_prep.record_writing import write_records
from data_prep.shard_assignment import shuffle_key
from data_prep.verify_tfrecords import verify_records
from data_prep.worker_pool import default_num_processes

LEAST = 3.0
ROUNDS = 3
NUM_SHARDS = 8
NUM_CLASSES = 30
BOXES_AN_IMAGE = 8  # Open Images' boxable training pictures have 8.4 on average
DISTINCT_PICTURES = 60
COLUMNS = (
    "ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", "IsOccluded", "IsTruncated",
    "IsGroupOf", "IsDepiction", "IsInside",
)  # fmt: skip


def photograph(seed: int) -> bytes:
    """A JPEG of 640x480 with the detail of a photograph: some 60 kB, as validate_images leaves them."""
    random = np.random.default_rng(seed)
    areas = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(
        (640, 480), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(areas, np.int16) + random.normal(0, 5, (480, 640, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def make_inputs(folder: Path, num_images: int) -> int:
    """Writes pictures, a boxes CSV, points.json and a label map; returns the pictures' bytes."""
    random = np.random.default_rng(0)
    labels = [f"/m/0{number:04d}" for number in range(NUM_CLASSES)]
    write_label_map(folder / "label_map.pbtxt", LabelMap(LabelMapItem(i, label) for i, label in enumerate(labels, 1)))
    pictures = [photograph(seed) for seed in range(DISTINCT_PICTURES)]
    (folder / "images").mkdir()
    rows, points = [], []
    for number in range(num_images):
        image_id = f"{number:016x}"
        (folder / "images" / f"{image_id}.jpg").write_bytes(pictures[number % DISTINCT_PICTURES])
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
    return sum(len(pictures[number % DISTINCT_PICTURES]) for number in range(num_images))


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


def write_ours(folder: Path, points: Any, num_processes: int, image_check: Any = "whole") -> None:
    """What `make_tfrecords` does after it has read points.json."""
    with Ledger(None) as ledger:
        written = write_records(
            points,
            image_directory=folder / "images",
            label_map=read_label_map(folder / "label_map.pbtxt"),
            label_map_path=folder / "label_map.pbtxt",
            output_path=folder / "ours.record",
            num_shards=NUM_SHARDS,
            num_processes=num_processes,
            policies=RecordPolicies(image_check=image_check),
            settings={},
            command="",
            rewrite=True,
            ledger=ledger,
        )
    assert written.manifest.total().num_images == len(points), "every picture is sound"


def seconds_of(run: Callable[[], object]) -> tuple[float, float]:
    """Returns the wall-clock and the CPU seconds (of this process and of its children) that `run` takes."""

    def cpu() -> float:
        spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in spent)

    wall, before = time.perf_counter(), cpu()
    run()
    return time.perf_counter() - wall, cpu() - before


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
    flags = parser.parse_args()
    os.environ.update({"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})
    print(f"load at the start {os.getloadavg()[0]:.1f} on {default_num_processes()} cores, {flags.processes} processes")
    start = time.perf_counter()
    import pandas as pd
    import tensorflow as tf

    print(f"importing TensorFlow and pandas, as the API's loop must: {time.perf_counter() - start:.1f} s")
    tf.io.gfile.exists("")  # what TensorFlow does at its first call is not the loop's
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        num_bytes = make_inputs(folder, flags.images)
        print(f"{flags.images} pictures of {num_bytes / flags.images / 1000:.0f} kB, {BOXES_AN_IMAGE} boxes each")
        start = time.perf_counter()
        table = pd.read_csv(folder / "boxes.csv")
        read_csv = time.perf_counter() - start
        start = time.perf_counter()
        points = index_points(folder / "points.json", lambda image_id, number: shuffle_key(image_id, 0))
        print(f"reading the CSV {read_csv:.2f} s; checking points.json {time.perf_counter() - start:.2f} s")
        candidates: dict[str, Callable[[], object]] = {
            "the API's loop": lambda: write_as_the_api_does(folder, table),
            "make_tfrecords": lambda: write_ours(folder, points, flags.processes),
            "make_tfrecords, one process": lambda: write_ours(folder, points, 1),
            "make_tfrecords, --image_check header": lambda: write_ours(folder, points, flags.processes, "header"),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for _ in range(ROUNDS):
            for name, run in candidates.items():
                seconds[name].append(seconds_of(run))
        wall = {name: statistics.median(wall for wall, _ in found) for name, found in seconds.items()}
        cpu = {name: statistics.median(cpu for _, cpu in found) for name, found in seconds.items()}
        base = "the API's loop"
        for name in candidates:
            print(
                f"{name:<38}{flags.images / wall[name]:8.0f} pictures/s, {wall[base] / wall[name]:5.2f} x;"
                f"{1000 * cpu[name] / flags.images:7.2f} ms of CPU each, {cpu[base] / cpu[name]:5.2f} x"
            )
        verify(folder, flags.processes)
    ratio = wall[base] / wall["make_tfrecords"]
    print(f"make_tfrecords / the API's loop: {ratio:.2f} (at least {LEAST})")
    return int(ratio < LEAST)


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
        print(f"{name:<38}{megabytes / min(seconds_of(run)[0] for _ in range(ROUNDS)):8.0f} MB/s")


if __name__ == "__main__":
    raise SystemExit(main())
