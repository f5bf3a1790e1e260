"""Open Images' CSVs to points.json: process_metadata against the tutorial's own way, on the same files in one run.

    python -m tests.benchmarks.read_metadata [--rows 2000000]

The tutorial's `format_annotations`, `format_image_index`, `filter_image_index`, `points_maker` and `save_data` are
rewritten for Python 3; its filter, which looked every image up in a list, has a set. Each way runs in a process of its
own, from its start to its files. 30 of 600 classes are kept, 8 boxes an image.
"""

import argparse
import csv
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measured_process import run_process

ROOT = Path(__file__).resolve().parents[2]
LEAST = 3.0
CLASSES, CLASSES_KEPT, BOXES_AN_IMAGE = 600, 30, 8
BOX_HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside,"
    "XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y\n"
)
INDEX_HEADER = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation\n"
)


def write_files(folder: Path, rows: int, *, with_clicks: bool = False) -> None:
    """Writes a boxes CSV as Open Images has them (with the XClick columns of V6, if asked), and its image index."""
    header = BOX_HEADER if with_clicks else BOX_HEADER.partition(",XClick1X")[0] + "\n"
    clicks = ",0.012500,0.148750,0.272500,0.122500,0.578125,0.148437,0.351562,0.587891" * with_clicks
    generator = random.Random(0)
    labels = [f"/m/0{number:04x}" for number in range(CLASSES)]
    (folder / "classes.txt").write_text("\n".join(labels[:: CLASSES // CLASSES_KEPT]))
    # Two hundred thousand different ends of rows, drawn again and again: writing the file is not what is measured.
    ends = []
    for _ in range(min(rows, 200_000)):
        x0, y0 = generator.random() * 0.6, generator.random() * 0.6
        x1, y1 = x0 + 0.01 + generator.random() * 0.38, y0 + 0.01 + generator.random() * 0.38
        flags = ",".join(str(int(generator.random() < 0.2)) for _ in range(5))
        ends.append(f",xclick,{generator.choice(labels)},1,{x0:.6f},{x1:.6f},{y0:.6f},{y1:.6f},{flags}{clicks}\n")
    with (folder / "boxes.csv").open("w") as boxes, (folder / "images.csv").open("w") as images:
        boxes.write(header)
        images.write(INDEX_HEADER)
        for number in range(rows // BOXES_AN_IMAGE):
            image_id = f"{number * 2654435761 % 2**64:016x}"
            boxes.writelines(image_id + end for end in generator.choices(ends, k=BOXES_AN_IMAGE))
            title = f'"Morning, number {number}"' if number % 10 == 0 else f"Evening {number}"
            images.write(
                f"{image_id},train,https://farm4.staticflickr.com/3200/{image_id}_o.jpg,"
                f"https://www.flickr.com/photos/someone/{number},https://creativecommons.org/licenses/by/2.0/,"
                f"https://www.flickr.com/people/someone/,Some One,{title},{number + 100000},"
                f"hM7cXGwoTwQdZq0G8iQxKA==,https://c2.staticflickr.com/{image_id}_z.jpg,0.0\n"
            )


def the_tutorials_way(folder: Path) -> None:
    """Reads, filters, groups and saves as the tutorial does."""
    trainable = (folder / "classes.txt").read_text().split("\n")
    annotations, ids = [], []
    with (folder / "boxes.csv").open(newline="") as file:
        for row in csv.reader(file):
            annotation = {
                "id": row[0], "label": row[2], "confidence": row[3],
                "x0": row[4], "x1": row[5], "y0": row[6], "y1": row[7],
            }  # fmt: skip
            if annotation["label"] in trainable:
                annotations.append(annotation)
                ids.append(row[0])
    wanted = set(ids)
    with (folder / "images.csv").open(newline="") as file:
        images = [{"id": row[0], "url": row[2]} for row in list(csv.reader(file))]
    images = [image for image in images if image["id"] in wanted]
    by_id: dict[str, list[dict[str, str]]] = {}
    for annotation in annotations:
        if annotation["id"] in by_id:
            by_id[annotation["id"]].append(annotation)
        else:
            by_id[annotation["id"]] = [annotation]
    points = []
    while by_id:
        key, value = by_id.popitem()
        points.append({"id": key, "annotations": value})
    for name, data in (("images", images), ("points", points)):
        with (folder / f"tutorial-{name}.json").open("w") as file:
            json.dump(data, file)


def our_words(folder: Path) -> list[str]:
    """The command line of process_metadata."""
    paths = {
        "annotations_input_path": "boxes.csv", "image_index_input_path": "images.csv",
        "trainable_classes_path": "classes.txt", "point_output_path": "points.json",
        "image_index_output_path": "wanted.json",
    }  # fmt: skip
    flags = [word for flag, name in paths.items() for word in (f"--{flag}", str(folder / name))]
    return [sys.executable, "-m", "data_prep.process_metadata", *flags, "--force"]


def check_same(folder: Path) -> int:
    """Checks that both ways found the same boxes; returns how many."""
    found = []
    for name in ("tutorial-points.json", "points.json"):
        points = json.loads((folder / name).read_text())
        keys = ("x0", "x1", "y0", "y1")
        found.append(
            {
                point["id"]: [(box["label"], *(float(box[key]) for key in keys)) for box in point["annotations"]]
                for point in points
            }
        )
    assert found[0] == found[1], "the two ways differ"
    return sum(map(len, found[0].values()))


def main() -> int:
    """Measures and prints; returns 1 when the tutorial's way takes less than three times as long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tutorial", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.tutorial:
        the_tutorials_way(flags.tutorial)
        return 0
    print(f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, flags.rows)
        ways = {
            "the tutorial's way": [
                sys.executable, "-m", "tests.benchmarks.read_metadata", "--tutorial", str(folder)
            ],
            "process_metadata": our_words(folder),
        }  # fmt: skip
        seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(flags.rounds):
            for way, words in ways.items():
                seconds[way].append(run_process(words)[:2])
        boxes = check_same(folder)
    print(f"{flags.rows} rows, {boxes} boxes of {CLASSES_KEPT} of {CLASSES} classes kept, the same by both ways")
    for way, rounds in seconds.items():
        wall, processor = map(statistics.median, zip(*rounds, strict=True))
        print(f"{way:<20}{wall:7.2f} s by the clock {processor:7.2f} s of processors (medians)")
    # Round by round, for a machine that others use too is faster at one time than at another.
    wall_ratios, processor_ratios = (
        sorted(theirs[kind] / ours[kind] for theirs, ours in zip(*seconds.values(), strict=True)) for kind in (0, 1)
    )
    ratio = statistics.median(wall_ratios)
    print(
        f"ratio, median of {flags.rounds} rounds: {ratio:.1f} by the clock (at least {LEAST:g}; "
        f"{wall_ratios[0]:.1f} to {wall_ratios[-1]:.1f}), {statistics.median(processor_ratios):.1f} of processors"
    )
    return int(ratio < LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
