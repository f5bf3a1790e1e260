"""Lists of detections and raw predictions, compared; models judged by what was found."""

import numpy as np
import pytest

from export.agreement import Agreement, agree
from export.comparison import Differences
from export.tflite.comparison import RawDifferences, compare_before_nms
from export.tflite.report import ModelCheck, TfliteReport

BOXES = np.array([[0.1, 0.1, 0.5, 0.5], [0.2, 0.6, 0.4, 0.9], [0.6, 0.1, 0.9, 0.3]], np.float32)


def detections(boxes, scores, classes):
    return {
        "detection_boxes": np.asarray(boxes, np.float32),
        "detection_scores": np.asarray(scores, np.float32),
        "detection_classes": np.asarray(classes, np.float32),
        "num_detections": np.float32(len(scores)),
    }


def test_detections_are_paired_by_class_and_overlap_above_the_score():
    ours = detections(BOXES, [0.9, 0.8, 0.4], [1, 2, 1])
    moved = BOXES + np.float32(0.01)
    theirs = detections(moved, [0.85, 0.8, 0.2], [1, 1, 1])
    found = agree((100, 200), ours, theirs, 0.3)
    assert (found.num_expected, found.num_found, found.num_matched, found.num_other_classes) == (3, 2, 1, 1)
    assert found.max_box_pixels == pytest.approx(2.0, abs=1e-3) and found.max_score == pytest.approx(0.05, abs=1e-3)
    assert found.share == pytest.approx(2 / 5)
    both = found + agree((100, 200), ours, ours, 0.3)
    assert (both.num_expected, both.num_matched) == (6, 4)


def test_one_detection_is_no_partner_of_two():
    ours = detections(BOXES[[0, 0]], [0.9, 0.8], [1, 1])
    assert agree((10, 10), ours, detections(BOXES[:1], [0.9], [1]), 0.3).num_matched == 1
    assert agree((10, 10), detections(BOXES[:0], [], []), detections(BOXES[:0], [], []), 0.3).share == 1.0


def test_rounding_is_told_from_another_model_before_the_nms():
    scores = np.array([[0.9, 0.1], [0.2, 0.7], [0.05, 0.02]], np.float32)
    pixels = np.array([100, 200, 100, 200], np.float32)
    close = compare_before_nms(pixels, (BOXES, scores), (BOXES + 1e-5, scores + 1e-5), 0.3)
    assert close.num_beyond_rounding == 0 and close.max_score == pytest.approx(1e-5, rel=0.1)
    other_boxes, other_scores = BOXES.copy(), scores[:, ::-1].copy()
    other_boxes[2] += 0.5  # a row that scores next to nothing: no pixel of it counts
    other_scores[2] = np.nan
    far = compare_before_nms(pixels, (BOXES, scores), (other_boxes, other_scores), 0.3)
    assert (far.num_beyond_rounding, far.num_other_classes, far.max_box_pixels) == (3, 2, 0.0)
    assert (close + close).mean_score == pytest.approx(close.mean_score)


def check_of(quantization, **found):
    agreement = Agreement(num_expected=10, num_found=10, num_matched=found.pop("num_matched", 10))
    alike = Differences(unmatched=tuple(found.pop("unmatched", ())))
    return ModelCheck(
        quantization, f"model_{quantization}.tflite", 2_500_000, 12.5, RawDifferences(**found), alike, agreement
    )


def test_a_float_model_must_equal_and_others_must_agree():
    assert "3 of 9 anchors" in check_of("float", num_rows=9, num_beyond_rounding=3).problem(0.0)
    assert "only the checkpoint has" in check_of("float", unmatched=["only the checkpoint has"]).problem(0.0)
    assert check_of("float", num_matched=0).problem(1.0) == ""
    assert "--ssd_use_regular_nms" in check_of("float", num_matched=0).warning
    broken = check_of("full_integer", num_matched=4, num_beyond_rounding=9)
    assert "a share of 0.40" in broken.problem(0.5) and broken.problem(0.4) == ""
    assert check_of("full_integer", num_matched=9, num_beyond_rounding=9).warning == ""


def test_the_report_has_a_line_a_model():
    report = TfliteReport(
        (check_of("float"), check_of("dynamic_range", num_matched=7)), ("a", "b"), 0.3, "class by class"
    )
    lines = report.summary().splitlines()
    assert lines[-1].split()[:3] == ["model_dynamic_range.tflite", "2.50", "12.5"] and lines[-1].split()[-3:] == [
        "10",
        "10",
        "7",
    ]
    assert report.to_json()["models"][1]["agreement_share"] == 0.7
