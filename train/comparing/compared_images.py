"""The images that detectors are compared on, with their ground truth, from an evaluation input or a COCO file."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from data_prep.images.image_file import ImageError, read_image_file
from data_prep.runtime.command_line import UsageError, UserError, printable
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from train.evaluation.coco_ground_truth import read_coco_ground_truth
from train.evaluation.detected_image import DetectedImage
from train.evaluation.given_detections import ImageBoxes
from train.evaluation.record_evaluation import GivenDetections, detected_records
from train.evaluation.record_names import read_record_images, read_record_names
from train.metrics.box_collection import BoxCollection
from train.metrics.measured_image import MeasuredImage
from train.pipeline import Pipeline

# Returns the encoded images of some ids; those that there are.
ReadEncoded = Callable[[frozenset[str]], Mapping[str, bytes]]


@dataclasses.dataclass(frozen=True)
class ComparedImages:
    """Images with ground truth and without detections.

    Attributes:
        images: In their order; each id once.
        sizes: Height and width of each in pixels.
        names_by_id: Class names by label map id.
        class_ids: Label map ids by each name that a class has.
        file_names: Of the images, by id; empty where they have none.
        read_encoded: Reads images to draw on.
        skip_unlabeled: As `eval_config.skip_predictions_for_unlabeled_class`.
    """

    images: list[MeasuredImage]
    sizes: list[tuple[int, int]]
    names_by_id: dict[int, str]
    class_ids: dict[str, int]
    file_names: dict[str, str]
    read_encoded: ReadEncoded
    skip_unlabeled: bool = False

    def with_detections(self, detections: Mapping[str, ImageBoxes]) -> BoxCollection:
        """Collects a detector's detections, given by image id, and the ground truth; without any, nothing was found."""
        collected = BoxCollection(self.names_by_id, skip_predictions_for_unlabeled_class=self.skip_unlabeled)
        for image, (height, width) in zip(self.images, self.sizes, strict=True):
            boxes = detections.get(image.source_id, ImageBoxes()).as_arrays(height, width)
            collected.add(
                dataclasses.replace(
                    image,
                    detection_boxes=boxes["boxes"] * np.array([height, width] * 2, np.float32),
                    detection_scores=boxes["scores"],
                    detection_classes=boxes["classes"],
                )
            )
        return collected


def images_of_records(pipeline: Pipeline, reader_index: int) -> ComparedImages:
    """Reads the ground truth of an `eval_input_reader`.

    Raises:
        UsageError: There are no records.
        UserError: Two records have one id, or none has an object.
    """
    reader, where = pipeline.settings.eval_input_reader[reader_index], f"eval_input_reader[{reader_index}]"
    limit = pipeline.settings.eval_config.max_images or None
    detected = itertools.islice(detected_records(pipeline, GivenDetections({}), reader_index), limit)
    images, sizes = _collect(progress(detected, description="reading", unit="image"), where)
    return ComparedImages(
        images,
        sizes,
        pipeline.names_by_id,
        {name: item.id for item in pipeline.label_map for name in (item.name, item.display_name) if name},
        read_record_names(reader, where),
        functools.partial(read_record_images, reader, where),
        pipeline.settings.eval_config.skip_predictions_for_unlabeled_class,
    )


def images_of_coco(path: Path, image_directory: Path | None, ledger: Ledger) -> ComparedImages:
    """Reads the ground truth of a COCO file.

    Args:
        path: The file.
        image_directory: Where its images are, for drawing; None: nowhere.
        ledger: Takes what cannot be used.

    Raises:
        UsageError: It is no such file.
        UserError: It has no objects.
    """
    truth = read_coco_ground_truth(path, ledger.reject)
    images, sizes = _collect(truth.detected_images({}), str(path))

    def read_encoded(wanted: frozenset[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        if image_directory is None:
            return found
        for source_id in wanted:
            try:
                found[source_id] = read_image_file(image_directory / truth.file_names[source_id])
            except ImageError as error:
                ledger.note(source_id, error.reason, error.detail)
        return found

    class_ids = {name: class_id for class_id, name in truth.names_by_id.items()}
    return ComparedImages(images, sizes, truth.names_by_id, class_ids, truth.file_names, read_encoded)


def _collect(detected: Iterable[DetectedImage], where: str) -> tuple[list[MeasuredImage], list[tuple[int, int]]]:
    images: dict[str, MeasuredImage] = {}
    sizes = []
    for one in detected:
        if one.source_id in images:
            raise UserError(
                f"{where}: two images have the id {printable(one.source_id, 80)}, and detections go by it; "
                "data_prep.repair_tfrecords or make_tfrecords gives each its own"
            )
        images[one.source_id] = one.measured()
        sizes.append(one.original_shape)
    if not images:
        raise UsageError(f"{where}: no images to compare on")
    if not any(np.any(~image.groundtruth_is_crowd) for image in images.values()):
        raise UserError(f"{where}: no objects in {len(images)} images, so that nothing can be right or wrong")
    return list(images.values()), sizes
