"""Writing points and their pictures as one shard of TFRecords, and putting a finished set of shards in its place."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_prep import boxes as box_geometry
from data_prep.atomic_files import TEMPORARY_PREFIX
from data_prep.command_line import UserError
from data_prep.images import ImageError, find_image, prepare_image, read_image_file
from data_prep.tf_example import make_example, shard_path

_WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class ShardTask:
    """What one shard is made of.

    Attributes:
        path: The file to write.
        points: Images and their annotations, as in points.json, in the order in which they are written.
        image_directory: Holds ID.jpg or the like.
        label_ids: The label map: ids by label. Annotations of other labels are left out.
    """

    path: Path
    points: Sequence[Mapping[str, Any]]
    image_directory: Path
    label_ids: Mapping[str, int]


@dataclass
class ShardReport:
    """What became of one shard's points.

    Attributes:
        num_images: Records written.
        num_images_without_boxes: Of these.
        num_bytes: The shard's size.
        boxes_by_label: Boxes written.
        rejected: (item, reason, detail) of each image or box that was left out, for the ledger.
    """

    num_images: int = 0
    num_images_without_boxes: int = 0
    num_bytes: int = 0
    boxes_by_label: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[str, str, str]] = field(default_factory=list)


def write_shard(task: ShardTask) -> Generator[None, None, ShardReport]:
    """Writes one shard; yields once an image, and returns the report.

    Raises:
        UserError: The file cannot be written.
    """
    import tensorflow as tf

    report = ShardReport()
    try:
        with tf.io.TFRecordWriter(str(task.path)) as writer:
            for point in task.points:
                try:
                    writer.write(example_of_point(point, task.image_directory, task.label_ids, report))
                except ImageError as error:
                    report.rejected.append((point["id"], error.reason, error.detail))
                else:
                    report.num_images += 1
                yield
    except tf.errors.OpError as error:
        raise UserError(f"cannot write records to {task.path.parent.parent}: {error.message.strip()}") from error
    report.num_bytes = task.path.stat().st_size
    return report


def example_of_point(
    point: Mapping[str, Any], image_directory: Path, label_ids: Mapping[str, int], report: ShardReport
) -> bytes:
    """Makes the record of one image.

    JPEGs and PNGs of 8-bit RGB or grey go in as they are; any other picture is encoded anew. Boxes are cut to the image
    (Open Images prints six digits, so a 1 may come as a hair more). A box around a group keeps its `group_of` and is no
    crowd, as in the Object Detection API's own Open Images records.

    Args:
        point: The image, as in points.json.
        image_directory: Holds its picture.
        label_ids: Ids by label.
        report: Its boxes are counted there, and those without area at float32 rejected.

    Returns:
        A serialised `tf.train.Example`.

    Raises:
        ImageError: The picture is missing or does not decode.
    """
    image_id = point["id"]
    path = find_image(image_directory, image_id)
    if path is None:
        raise ImageError("missing", f"no {image_id}.jpg (.png, ...) in {image_directory}")
    image = prepare_image(read_image_file(path), keep_formats=("JPEG", "PNG"))
    annotations = [annotation for annotation in point["annotations"] if annotation["label"] in label_ids]
    boxes = box_geometry.clip(
        np.array([[a["y0"], a["x0"], a["y1"], a["x1"]] for a in annotations], np.float32).reshape(-1, 4), _WHOLE_IMAGE
    )
    valid = box_geometry.is_valid(boxes)
    for index in np.flatnonzero(~valid):
        annotation = annotations[index]
        coordinates = ", ".join(f"{key} {annotation[key]}" for key in ("x0", "x1", "y0", "y1"))
        report.rejected.append((f"{image_id} {annotation['label']}", "box without area", coordinates))
    kept = [annotations[index] for index in np.flatnonzero(valid)]
    report.boxes_by_label.update(annotation["label"] for annotation in kept)
    report.num_images_without_boxes += not kept
    return make_example(
        encoded_image=image.content,
        image_format=image.format.lower(),
        source_id=image_id,
        filename=f"{image_id}.{'png' if image.format == 'PNG' else 'jpg'}",
        height=image.height,
        width=image.width,
        boxes_ymin_xmin_ymax_xmax=boxes[valid],
        class_labels=[label_ids[annotation["label"]] for annotation in kept],
        class_texts=[annotation["label"] for annotation in kept],
        truncated=[annotation["is_truncated"] for annotation in kept],
        occluded=[annotation["is_occluded"] for annotation in kept],
        group_of=[annotation["is_group_of"] for annotation in kept],
        depiction=[annotation["is_depiction"] for annotation in kept],
    )


@contextlib.contextmanager
def shards_in_the_making(output_path: Path, num_shards: int) -> Iterator[list[Path]]:
    """Yields temporary paths for the shards of `output_path`, and at the end puts them all in their place.

    An exception leaves what was there before and removes the temporary files; so does the next run after a process was
    killed.
    """
    output_path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{TEMPORARY_PREFIX}{output_path.name}-"
    for leftover in output_path.parent.iterdir():
        # The random part is that of mkdtemp.
        if leftover.is_dir() and re.fullmatch(re.escape(prefix) + r"[a-z0-9_]{8}", leftover.name):
            print(f"removing {leftover}, which an interrupted run left")
            shutil.rmtree(leftover)
    folder = Path(tempfile.mkdtemp(dir=output_path.parent, prefix=prefix))
    try:
        paths = [folder / shard_path(output_path, index, num_shards).name for index in range(num_shards)]
        yield paths
        for path in paths:
            path.replace(output_path.parent / path.name)
    finally:
        shutil.rmtree(folder)


def remove_shards_of_other_counts(output_path: Path, num_shards: int) -> list[Path]:
    """Removes the shards of `output_path` that belong to a set of another number; returns them.

    Left beside the new ones, a glob would read both.
    """
    pattern = re.compile(re.escape(output_path.name) + r"-\d{5}-of-(?P<count>\d{5})")
    stale = [
        path
        for path in sorted(output_path.parent.iterdir())
        if (match := pattern.fullmatch(path.name)) and int(match["count"]) != num_shards
    ]
    for path in stale:
        path.unlink()
    return stale
