"""Open Images metrics: groups, verified classes, and all matching against a slow version on random images."""

from __future__ import annotations

import math

import numpy as np
import pytest

from train.metrics.matched_metric import open_images_challenge, open_images_v2, pascal_voc, weighted_pascal_voc
from train.metrics.measured_image import measured_image

NAMES = {1: "Bed", 2: "Lamp"}
V2 = "OpenImagesV2_PerformanceByCategory/AP@0.5IOU/Bed"
CHALLENGE = "OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU"

# ymin xmin ymax xmax: one bed, and a group of them elsewhere, with small boxes in it and one half outside.
BED, GROUP = [0, 0, 100, 100], [200, 200, 400, 400]
INSIDE, INSIDE_TOO = [210, 210, 250, 250], [300, 300, 350, 350]
HALF_OUTSIDE, MOSTLY_OUTSIDE = [210, 150, 260, 250], [210, 130, 260, 230]


def image(found, *, truth=((1, BED), (1, GROUP)), group_of=(False, True), **more):
    return measured_image(
        "a",
        groundtruth_boxes=[box for _, box in truth],
        groundtruth_classes=[class_id for class_id, _ in truth],
        groundtruth_group_of=group_of,
        detection_boxes=[box for *_, box in found],
        detection_scores=[score for _, score, _ in found],
        detection_classes=[class_id for class_id, *_ in found],
        **more,
    )


def v2(*found, **more) -> float:
    metric = open_images_v2(NAMES)
    metric.add(image(found, **more))
    return metric.evaluate()[V2]


def challenge(*images, name="Bed", **options) -> float:
    metric = open_images_challenge(NAMES, **options)
    for one in images:
        metric.add(one)
    return metric.evaluate()[f"{CHALLENGE}/{name}"]


def test_v2_leaves_out_groups_and_what_lies_in_them():
    assert v2((1, 0.5, BED)) == 1.0
    assert v2((1, 0.9, INSIDE), (1, 0.8, INSIDE_TOO), (1, 0.7, HALF_OUTSIDE), (1, 0.5, BED)) == 1.0
    assert v2((1, 0.9, MOSTLY_OUTSIDE), (1, 0.5, BED)) == 0.5
    # A group of another class is none.
    assert v2((1, 0.9, INSIDE), (1, 0.5, BED), truth=[(1, BED), (2, GROUP)]) == 0.5
    assert math.isnan(v2((1, 0.9, INSIDE), truth=[(1, GROUP)], group_of=[True]))
    # A second detection of one bed is wrong, unless it lies in a group.
    twice = [(1, 0.9, BED), (1, 0.8, BED), (1, 0.7, [500, 0, 600, 100])]
    truth = [(1, BED), (1, [500, 0, 600, 100]), (1, [0, 0, 150, 150])]
    assert v2(*twice, truth=truth[:2], group_of=[0, 0]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert v2(*twice, truth=truth, group_of=[0, 0, 1]) == 1.0
    # Difficult boxes are boxes like others.
    assert v2((1, 0.9, INSIDE), groundtruth_difficult=[True, False]) == 0.0


def test_v2_does_not_ask_for_verified_classes():
    assert v2((2, 0.9, BED), (1, 0.5, BED), verified_class_ids=[2]) == 1.0
    assert v2((1, 0.9, [700, 0, 800, 100]), (1, 0.5, BED), verified_class_ids=[2]) == 0.5
    metric = open_images_v2(NAMES)
    metric.add(image([(2, 0.9, BED)], verified_class_ids=[1]))
    metric.add(image([(2, 0.5, BED)], truth=[(2, BED)], group_of=[False]))
    assert metric.evaluate()["OpenImagesV2_Precision/mAP@0.5IOU"] == pytest.approx((0.0 + 0.5) / 2)


def test_challenge_wants_each_group_found_once():
    # The bed and the group are two to find; all inside the group is one find, at the best score.
    assert challenge(image([(1, 0.5, BED)])) == 0.5
    assert challenge(image([(1, 0.9, INSIDE), (1, 0.8, INSIDE_TOO), (1, 0.5, BED)])) == 1.0
    wrong = (1, 0.6, MOSTLY_OUTSIDE)
    # At 0.9 the group, wrong at 0.6, the bed at 0.5: precision 1, 1/2, 2/3.
    assert challenge(image([(1, 0.3, INSIDE), (1, 0.9, INSIDE_TOO), wrong, (1, 0.5, BED)])) == pytest.approx(
        0.5 + 0.5 * 2 / 3
    )
    assert challenge(image([(1, 0.9, INSIDE)], truth=[(1, GROUP)], group_of=[True])) == 1.0
    assert challenge(image([], truth=[(1, GROUP)], group_of=[True])) == 0.0


def test_challenge_leaves_out_classes_that_nobody_looked_for():
    lamp = image([(2, 0.1, BED)], truth=[(2, BED)], group_of=[False], verified_class_ids=[2])
    found = [(1, 0.5, BED), (2, 0.9, BED)]

    def lamps(**more) -> float:
        options = {name: more.pop(name) for name in list(more) if name.startswith("image_classes")}
        return challenge(image(found, **more), lamp, name="Lamp", **options)

    assert lamps(verified_class_ids=[1]) == 1.0
    assert lamps(verified_class_ids=[1, 2]) == 0.5
    # Without verified classes all were looked for, or only those of the boxes.
    assert lamps() == 0.5
    assert lamps(image_classes_field_map_empty_to_ones=True) == 0.5
    assert lamps(image_classes_field_map_empty_to_ones=False) == 1.0
    # Classes with boxes were looked for, whatever the labels say.
    assert challenge(image([(1, 0.5, BED), (1, 0.9, MOSTLY_OUTSIDE)], verified_class_ids=[2])) < 0.5


def overlap(box, other) -> float:
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    return max(height, 0.0) * max(width, 0.0)


def size(box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def verdicts(one, class_id, boxes, groups, group_weight) -> list[tuple[float, float]]:
    """Scores and weights of what counts; boxes are (box, difficult)."""
    mine = [
        (float(one.detection_scores[index]), one.detection_boxes[index].astype(float))
        for index in range(len(one.detection_classes))
        if one.detection_classes[index] == class_id
    ]
    mine.sort(key=lambda pair: -pair[0])
    points, taken, best_in_group = [], set(), {}
    for score, box in mine:
        ious = [overlap(box, other) / (size(box) + size(other) - overlap(box, other)) for other, _ in boxes]
        best = max(range(len(ious)), key=lambda index: ious[index], default=None)
        is_close = best is not None and ious[best] >= 0.5
        if is_close and boxes[best][1]:
            continue
        if is_close and best not in taken:
            taken.add(best)
            points.append((score, 1.0))
            continue
        shares = [overlap(box, other) / size(box) for other in groups]
        best = max(range(len(shares)), key=lambda index: shares[index], default=None)
        if best is not None and shares[best] >= 0.5:
            best_in_group[best] = max(best_in_group.get(best, 0.0), score)
        else:
            points.append((score, 0.0))
    return points + [(score, group_weight) for score in best_in_group.values() if group_weight]


def area(pairs, count) -> float:
    if not count:
        return math.nan
    curve, right, wrong = [], 0.0, 0.0
    for _, weight in sorted(pairs, key=lambda pair: -pair[0]):
        right, wrong = right + weight, wrong + (weight == 0)
        curve.append((right / count, right / (right + wrong)))
    result, before = 0.0, 0.0
    for index, (recall, _) in enumerate(curve):
        result += (recall - before) * max(precision for _, precision in curve[index:])
        before = recall
    return result


def slow(images, class_ids, *, knows_difficult, knows_groups, group_weight, together) -> tuple[float, list[float]]:
    """The same in loops: one class of one image, one detection, one box at a time."""
    points = {class_id: [] for class_id in class_ids}
    total = dict.fromkeys(class_ids, 0.0)
    for one in images:
        for class_id in class_ids:
            boxes, groups = [], []
            for index in range(len(one.groundtruth_classes)):
                if one.groundtruth_classes[index] != class_id:
                    continue
                box = one.groundtruth_boxes[index].astype(float)
                if knows_groups and one.groundtruth_group_of[index]:
                    groups.append(box)
                    total[class_id] += group_weight
                else:
                    difficult = bool(knows_difficult and one.groundtruth_difficult[index])
                    boxes.append((box, difficult))
                    total[class_id] += 0.0 if difficult else 1.0
            points[class_id] += verdicts(one, class_id, boxes, groups, group_weight)
    areas = [area(points[class_id], total[class_id]) for class_id in class_ids]
    if together:
        pairs = [pair for class_id in class_ids if total[class_id] for pair in points[class_id]]
        return area(pairs, sum(total.values())), areas
    return float(np.nanmean(areas)), areas


def random_images(rng, count, class_ids):
    images = []
    for _ in range(count):
        num_truth, num_found = int(rng.integers(0, 7)), int(rng.integers(0, 12))
        corner, sides = rng.uniform(0, 60, (num_truth, 2)), rng.uniform(10, 60, (num_truth, 2))
        truth = np.concatenate([corner, corner + sides], axis=1)
        classes = rng.choice(class_ids[:-1], num_truth)  # the last is never there
        corner, sides = rng.uniform(0, 60, (num_found, 2)), rng.uniform(10, 60, (num_found, 2))
        found = np.concatenate([corner, corner + sides], axis=1)
        found_classes = rng.choice(class_ids, num_found)
        for index in range(0, num_found, 2):  # half of them near some box
            if num_truth:
                near = int(rng.integers(num_truth))
                found[index] = truth[near] + rng.normal(0, 3, 4)
                found_classes[index] = classes[near]
        images.append(
            measured_image(
                "random",
                groundtruth_boxes=truth,
                groundtruth_classes=classes,
                groundtruth_difficult=rng.random(num_truth) < 0.2,
                groundtruth_group_of=rng.random(num_truth) < 0.3,
                detection_boxes=found,
                detection_scores=rng.random(num_found),
                detection_classes=found_classes,
            )
        )
    return images


@pytest.mark.parametrize(
    ("make", "prefix", "rules"),
    [
        (pascal_voc, "PascalBoxes", (True, False, 0.0, False)),
        (weighted_pascal_voc, "WeightedPascalBoxes", (True, False, 0.0, True)),
        (open_images_v2, "OpenImagesV2", (False, True, 0.0, False)),
        (open_images_challenge, "OpenImagesDetectionChallenge", (False, True, 1.0, False)),
    ],
)
def test_everything_at_once_equals_loops(make, prefix, rules):
    class_ids = [1, 2, 5, 9]
    names = {class_id: f"class {class_id}" for class_id in class_ids}
    images = random_images(np.random.default_rng(3), 1100, class_ids)  # more than are put together at a time
    metric = make(names)
    for one in images:
        metric.add(one)
    metrics = metric.evaluate()
    keys = ("knows_difficult", "knows_groups", "group_weight", "together")
    mean, areas = slow(images, class_ids, **dict(zip(keys, rules, strict=True)))
    assert 0.1 < mean < 0.9
    assert metrics[f"{prefix}_Precision/mAP@0.5IOU"] == pytest.approx(mean, abs=1e-9)
    ours = [metrics[f"{prefix}_PerformanceByCategory/AP@0.5IOU/class {class_id}"] for class_id in class_ids]
    np.testing.assert_allclose(ours, areas, atol=1e-9)
    assert math.isnan(ours[-1])
    assert metric.evaluate() == pytest.approx(metrics, nan_ok=True)  # and asking again changes nothing
