"""COCO's averages against pycocotools on random images that are hard to match, and memory against their number."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.metrics.pycocotools_reference import as_coco, hard_image, ordinary_images, pycocotools_evaluation
from train.metrics import coco_matching
from train.metrics.box_collection import AREA_RANGES, IOU_THRESHOLDS, BoxCollection
from train.metrics.coco import CocoEvaluator
from train.metrics.coco_curves import MAX_DETECTIONS, RECALLS, ClassCurves

CLASSES = [1, 2, 5, 9]


@pytest.mark.parametrize(("seed", "most"), [(0, 10), (1, 40), (2, 40), (3, 400)])
def test_precision_and_recall_equal_pycocotools_everywhere(seed, most, monkeypatch):
    monkeypatch.setattr(coco_matching, "_PAIRS_AT_A_TIME", 200)  # so that there are many parts
    random = np.random.default_rng(seed)
    images = [hard_image(random, str(number), CLASSES, most=most) for number in range(60)]
    reference = pycocotools_evaluation(*as_coco(images, CLASSES))
    np.testing.assert_array_equal(reference.params.iouThrs, IOU_THRESHOLDS)
    np.testing.assert_array_equal(reference.params.areaRng, AREA_RANGES)
    np.testing.assert_array_equal(reference.params.recThrs, RECALLS)
    assert tuple(reference.params.maxDets) == MAX_DETECTIONS
    evaluator = CocoEvaluator({class_id: f"class {class_id}" for class_id in CLASSES})
    for image in images:
        evaluator.add(image)
    curves = ClassCurves(evaluator.boxes)
    num_measured = 0
    for number, class_id in enumerate(CLASSES):
        theirs = reference.eval["precision"][:, :, number, :, -1], reference.eval["recall"][:, number]
        of_class = curves.of_class(class_id)
        if of_class is None:
            assert (theirs[0] == -1).all()
            assert (theirs[1] == -1).all()
            continue
        for ours, other in zip(of_class, theirs, strict=True):
            np.testing.assert_allclose(ours, other, rtol=0, atol=1e-12)
        num_measured += 1
    assert num_measured == 3
    averages = [value for name, value in evaluator.evaluate().items() if "ByCategory" not in name]
    np.testing.assert_allclose(averages, reference.stats, rtol=0, atol=1e-12)
    assert 0 < averages[0] < 1


def test_many_images_of_ordinary_boxes_equal_pycocotools(capsys):
    images = list(ordinary_images(1100, num_classes=4, num_detections=12))  # more than are put together at a time
    evaluator = CocoEvaluator({class_id: f"class {class_id}" for class_id in range(1, 5)})
    for image in images:
        evaluator.add(image)
    averages = [value for name, value in evaluator.evaluate().items() if "ByCategory" not in name]
    assert capsys.readouterr().out == ""
    reference = pycocotools_evaluation(*as_coco(images, range(1, 5)))
    np.testing.assert_allclose(averages, reference.stats, rtol=0, atol=1e-9)
    assert 0.1 < averages[0] < 0.9


def test_more_than_a_hundred_detections_of_a_class_are_cut_and_those_of_others_are_not():
    boxes = BoxCollection({1: "Bed", 2: "Lamp"})
    random = np.random.default_rng(0)
    image = hard_image(random, "a", [1, 2], most=0)
    found = {
        "detection_boxes": np.tile(np.float32([0, 0, 10, 10]), (150, 1)),
        "detection_scores": np.linspace(0.1, 0.9, 150, dtype=np.float32),
        "detection_classes": np.repeat(np.int32([1, 2]), [130, 20]),
    }
    boxes.add(type(image)(**{**vars(image), **found}))
    assert np.bincount(boxes.detections().classes[boxes.coco_matches().detections]).tolist() == [0, 100, 20]
    assert min(boxes.coco_matches().detections) == 30  # the weakest ones are left out


def test_nothing_at_all_is_matched_without_a_word():
    boxes = BoxCollection({1: "Bed"})
    assert boxes.coco_matches().near.size == 0
    assert ClassCurves(boxes).of_class(1) is None
