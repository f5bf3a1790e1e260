"""What TensorBoard gets of an evaluation: asked over HTTP from a real one."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tensorboard import program

from configs.settings.evaluation import EvalConfig
from configs.settings.reading import read_settings_text
from tests.train.comparing.random_detectors import detected as found_in
from tests.train.comparing.random_detectors import random_images
from tests.train.metrics.matched_boxes import A, B, C, matched
from train.evaluation.confusion_image import MOST_CLASSES, confusion_image
from train.evaluation.detected_image import DetectedImage
from train.evaluation.evaluator import measure_images
from train.evaluation.operating_summaries import record_study, study_result
from train.metrics.image_losses import f1_losses
from train.metrics.operating_points import curves_by_class
from train.metrics.pr_curve import pr_curve
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TensorBoardTracker

NAMES = {1: "Bed", 2: "Lamp"}


def detected(number, truth, found):
    """An image of 500 pixels from [(class, box)] and [(class, score, box)]."""
    count = len(truth)
    return DetectedImage(
        source_id=f"image {number}",
        image=np.full((100, 100, 3), 40 * number, np.float32),
        groundtruth={
            "boxes": np.array([box for _, box in truth], np.float32).reshape(-1, 4) / 500,
            "classes": np.array([class_id for class_id, _ in truth], np.int32),
            "area": np.zeros(count, np.float32),
            **{name: np.zeros(count, bool) for name in ("is_crowd", "difficult", "group_of")},
        },
        detections={
            "boxes": np.array([box for *_, box in found], np.float32).reshape(-1, 4) / 500,
            "scores": np.array([score for _, score, _ in found], np.float32),
            "classes": np.array([class_id for class_id, *_ in found], np.float32),
        },
        original_shape=(500, 500),
        verified_class_ids=np.zeros(0, np.int32),
    )


IMAGES = [
    detected(0, [(1, A)], [(1, 0.9, A)]),
    detected(1, [(1, A), (2, B)], [(1, 0.8, C)]),  # two missed, one wrong
    detected(2, [(1, A)], [(1, 0.7, A), (2, 0.1, C)]),
    detected(3, [(1, A), (2, B)], [(1, 0.9, A)]),  # one missed
    detected(4, [(2, B)], [(2, 0.9, B)]),
]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    result = measure_images(read_settings_text(EvalConfig, ""), NAMES, iter(IMAGES))
    result, study = study_result(result)
    with Recorder([TensorBoardTracker(folder)]) as recorder:
        result.record(recorder, "eval", step=7)
        record_study(study, result, recorder, "eval", step=7)
    return folder, result, study


def test_a_curve_has_the_counts_at_each_threshold():
    matches = matched(([(1, A), (1, B)], [(1, 0.9, A), (1, 0.555, C), (1, 0.3, B)]))
    curve = pr_curve(curves_by_class(matches)[1])
    assert curve.shape == (6, 101)
    assert curve[:, 95].tolist() == [0, 0, 0, 2, 0, 0]
    assert curve[:, 90].tolist() == [1, 0, 0, 1, 1, 0.5]  # 0.9 counts at 0.90
    assert curve[:, 55].tolist() == [1, 1, 0, 1, 0.5, 0.5]
    assert curve[:, 0].tolist() == pytest.approx([2, 1, 0, 0, 2 / 3, 1])
    empty = pr_curve(curves_by_class(matches)[2])
    assert not empty.any()


def test_what_an_image_costs_is_the_f1_that_it_keeps_from_all():
    # At 0.5: 3 right of 5 objects and 4 detections, F1 6/9; without the mistakes of the second image 2 x 5 / 10.
    matches = matched(
        ([(1, A)], [(1, 0.9, A)]),
        ([(1, A), (2, B)], [(1, 0.8, C), (2, 0.4, B)]),
        ([(1, A)], [(1, 0.7, A)]),
        ([(2, A)], [(2, 0.7, A)]),
    )
    losses = f1_losses(matches, {1: 0.5, 2: 0.5})
    assert losses.tolist() == pytest.approx([0, 10 / 10 - 6 / 9, 0, 0])
    # From 0.3 on the lamp there is found: F1 8/10, and a mistake of each kind is left.
    assert f1_losses(matches, {1: 0.5, 2: 0.3}).tolist() == pytest.approx([0, 1 - 8 / 10, 0, 0])


def test_the_worst_images_come_first_and_perfect_ones_never(evaluated):
    _, result, study = evaluated
    drawn = result.worst.draw(study.matches, study.thresholds())
    # The second with three mistakes, then the fourth; the left upper corner is the ground truth's side of the image.
    assert len(drawn) == 2
    assert [int(np.median(image[:, : image.shape[1] // 2])) for image in drawn] == [40, 120]


def test_no_images_are_kept_where_none_are_drawn():
    config = read_settings_text(EvalConfig, "num_visualizations: 0")
    result, study = study_result(measure_images(config, NAMES, iter(IMAGES)))
    assert study is not None
    assert result.worst is not None
    assert result.worst.draw(study.matches, study.thresholds()) == []


def test_more_images_than_are_kept_leave_the_worst():
    bad = detected(1, [(1, A), (1, B), (2, C)], [(2, 0.9, A)])
    images = [IMAGES[0]] * 30 + [bad] + [IMAGES[3]] * 30
    result, study = study_result(measure_images(read_settings_text(EvalConfig, ""), NAMES, iter(images)))
    assert study is not None
    assert result.worst is not None
    drawn = result.worst.draw(study.matches, study.thresholds())
    assert [int(np.median(image[:, : image.shape[1] // 2])) for image in drawn] == [40, 120, 120, 120, 120]


def test_the_confusion_matrix_is_dark_where_most_of_a_row_is():
    image = confusion_image(np.array([[9, 1, 0], [0, 0, 4], [1, 0, 0]]), ("Bed", "Lamp", "background"))
    side, bottom = 34, image.shape[0] - 8
    left = np.flatnonzero((image[bottom - 3 * side] == 225).all(axis=-1))[0]
    cells = image[bottom - 3 * side + 4 : bottom : side, left + 4 :: side][:, :3].astype(int).sum(axis=2)
    assert cells.argmin(axis=1).tolist() == [0, 2, 0]
    assert cells[0, 2] == 3 * 255
    many = MOST_CLASSES + 30
    large = confusion_image(np.eye(many + 1, dtype=int), [f"class {number}" for number in range(many)] + ["background"])
    assert large.shape[0] < 34 * (MOST_CLASSES + 1) + 200


def test_a_real_tensorboard_serves_the_curves_figures_and_images(evaluated):
    folder, _, study = evaluated
    board = program.TensorBoard()
    board.configure(argv=["", "--logdir", str(folder), "--port", "0", "--load_fast", "false"])
    url = board.launch()

    def ask(plugin: str, **query: str):
        text = urllib.parse.urlencode(query)
        with urllib.request.urlopen(f"{url}data/plugin/{plugin}?{text}", timeout=30) as answer:
            return json.load(answer)

    deadline = time.monotonic() + 60
    while not (tags := ask("pr_curves/tags")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert set(tags["eval"]) == {f"precision_recall/{name}" for name in ("all classes", "Bed", "Lamp")}
    (entry,) = ask("pr_curves/pr_curves", tag="precision_recall/Bed", run="eval")["eval"]
    assert entry["step"] == 7
    # Beds: right at 0.9 twice and at 0.7, wrong at 0.8, of four; at a threshold of 0.75 two right, one wrong.
    place = [round(value, 2) for value in entry["thresholds"]].index(0.75)
    assert (entry["true_positives"][place], entry["false_positives"][place]) == (2, 1)
    assert entry["precision"][place] == pytest.approx(2 / 3)
    assert entry["recall"][place] == pytest.approx(2 / 4)
    figures = ask("scalars/tags")["eval"]
    for name in ("F1/Bed", "Threshold/Lamp", "Precision/Bed", "Recall/Lamp"):
        assert f"OperatingPoint_PerformanceByCategory/{name}" in figures
    ((_, step, value),) = ask("scalars/scalars", run="eval", tag="OperatingPoint/F1@ClassThresholds")
    assert (step, value) == (7, pytest.approx(study.metrics()["OperatingPoint/F1@ClassThresholds"]))
    assert {"confusion_matrix/0", "worst/0", "worst/1"} <= set(ask("images/tags")["eval"])
    image = ask("images/images", run="eval", tag="confusion_matrix/0", sample="0")[0]
    with urllib.request.urlopen(f"{url}data/plugin/images/individualImage?{image['query']}", timeout=30) as answer:
        assert answer.read(8) == b"\x89PNG\r\n\x1a\n"


def test_logs_are_where_the_evaluation_says(evaluated):
    folder, _, _ = evaluated
    assert [path.parent.name for path in Path(folder).rglob("events*")] == ["eval"]


def test_the_images_that_are_kept_hold_the_worst_of_many_with_crowds_too():
    random = np.random.default_rng(0)
    images = []
    for number, measured in enumerate(found_in(random_images(200), recall=0.7, wrong=3.0)):
        truth = list(zip(measured.groundtruth_classes.tolist(), measured.groundtruth_boxes.tolist(), strict=True))
        found = zip(
            measured.detection_classes.tolist(),
            measured.detection_scores.tolist(),
            measured.detection_boxes.tolist(),
            strict=True,
        )
        image = detected(0, truth, list(found))
        crowds = random.random(len(truth)) < 0.2
        image = dataclasses.replace(image, groundtruth={**image.groundtruth, "is_crowd": crowds})
        images.append(dataclasses.replace(image, image=np.full((400, 400, 3), number, np.uint8)))
    result, study = study_result(measure_images(read_settings_text(EvalConfig, ""), NAMES, iter(images)))
    assert study is not None
    assert result.worst is not None
    losses = f1_losses(study.matches, study.thresholds())
    drawn = result.worst.draw(study.matches, study.thresholds())
    numbers = [int(np.median(image[:, : image.shape[1] // 2])) for image in drawn]
    assert losses[numbers].tolist() == pytest.approx(sorted(losses, reverse=True)[:5])
