"""The Open Images metrics of the API's `utils/object_detection_evaluation.py`.

Average precision at an IoU of 0.5, where some boxes go around groups of objects, and where not every class was looked
for in every image. Difficult boxes and crowds are boxes like others.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from train.metrics.matched_metric import MatchedMetric
from train.metrics.measured_image import MeasuredImage, MetricsSet


def open_images_v2(names_by_id: Mapping[int, str]) -> MatchedMetric:
    """Returns `oid_V2_detection_metrics`: what is found in a group of its class, and groups, count neither way.

    Every class is taken to have been looked for in every image: image-level labels are the challenge's.
    """
    return MatchedMetric(names_by_id, "OpenImagesV2", knows_group_of=True)


def open_images_challenge(
    names_by_id: Mapping[int, str], *, image_classes_field_map_empty_to_ones: bool = True
) -> MatchedMetric:
    """Returns `oid_challenge_detection_metrics`: groups are to be found once each, and only verified classes count.

    Args:
        names_by_id: The classes to measure, by label map id.
        image_classes_field_map_empty_to_ones: An image without verified classes was searched for all of them; else
            for none but those of its ground truth.
    """
    return MatchedMetric(
        names_by_id,
        "OpenImagesDetectionChallenge",
        prepare=functools.partial(
            MeasuredImage.of_verified_classes, none_means_all=image_classes_field_map_empty_to_ones
        ),
        knows_group_of=True,
        group_of_weight=1.0,
    )


METRICS_SETS: dict[str, MetricsSet] = {
    "oid_V2_detection_metrics": lambda _, names_by_id: open_images_v2(names_by_id),
    "oid_challenge_detection_metrics": lambda eval_config, names_by_id: open_images_challenge(
        names_by_id, image_classes_field_map_empty_to_ones=eval_config.image_classes_field_map_empty_to_ones
    ),
}
