"""Images with a few objects, and detectors that find some of them by chance."""

from __future__ import annotations

import dataclasses

import numpy as np

from train.metrics.measured_image import MeasuredImage, measured_image


def random_images(count: int, *, classes: int = 2, objects: float = 4.0, seed: int = 0) -> list[MeasuredImage]:
    """Images with objects of classes from 1 on, some of them crowds, and no detections."""
    random = np.random.default_rng(seed)
    images = []
    for number in range(count):
        n = int(random.poisson(objects))
        corners = random.integers(0, 400, (n, 2))
        boxes = np.concatenate([corners, corners + random.integers(30, 200, (n, 2))], axis=1)
        images.append(
            measured_image(
                f"image {number}",
                groundtruth_boxes=boxes,
                groundtruth_classes=random.integers(1, classes + 1, n),
                groundtruth_is_crowd=random.random(n) < 0.1,
                detection_boxes=[],
                detection_scores=[],
                detection_classes=[],
            )
        )
    return images


def detected(
    images: list[MeasuredImage], *, recall: float, wrong: float = 2.0, seed: int = 0, classes: int = 2
) -> list[MeasuredImage]:
    """The images with detections of a share of their objects, a few pixels off, and of some things that are not there.

    Of one seed, whether an object is found depends on the object alone: a higher recall finds all that a lower one did.
    """
    random = np.random.default_rng(seed)
    found = []
    for image in images:
        truth, n = image.groundtruth_boxes, len(image.groundtruth_classes)
        hardness, moved, sure = random.random(n), random.normal(0, 5, (n, 4)), random.beta(5, 2, n)
        is_found, m = hardness < recall, int(random.poisson(wrong))
        corners = random.integers(0, 400, (m, 2))
        others = np.concatenate([corners, corners + random.integers(30, 200, (m, 2))], axis=1)
        found.append(
            dataclasses.replace(
                image,
                detection_boxes=np.concatenate([(truth + moved)[is_found], others]).astype(np.float32),
                # Of two digits, so that many scores are equal.
                detection_scores=np.round(np.concatenate([sure[is_found], random.beta(2, 4, m)]), 2).astype(np.float32),
                detection_classes=np.concatenate(
                    [image.groundtruth_classes[is_found], random.integers(1, classes + 1, m)]
                ).astype(np.int32),
            )
        )
    return found
