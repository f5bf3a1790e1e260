"""train.evaluate on detections that no model of ours made: from a CSV or JSON, against records or a COCO file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UsageError, UserError
from tests.conftest import CLASSES, block_image
from train.evaluate import main as evaluate

NUMBERS = range(100, 106)  # of the validation records' images


def perfect_rows(numbers=NUMBERS, suffix=".jpg"):
    """Rows as serving.predict_folder writes them: every block where it is, in pixels of 96 x 128."""
    for number in numbers:
        _, boxes, ids = block_image(number)
        for (ymin, xmin, ymax, xmax), class_id in zip(boxes, ids, strict=True):
            edges = (xmin * 128, ymin * 96, xmax * 128, ymax * 96)
            yield [f"photo{number}{suffix}", class_id, CLASSES[class_id - 1], 0.9, *edges]


def write_csv(path: Path, rows) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class_id", "name", "score", "xmin", "ymin", "xmax", "ymax"])
        writer.writerows(rows)
    return path


def metrics_in(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())["metrics"]


@pytest.fixture
def words(block_config):
    return ["--pipeline_config_path", str(block_config("ssd"))]


def test_perfect_detections_of_a_folder_are_measured_as_such(words, tmp_path):
    path = write_csv(tmp_path / "detections.csv", perfect_rows())
    assert evaluate([*words, "--from_detections", str(path), "--eval_dir", str(tmp_path / "e")]) == 0
    assert metrics_in(tmp_path / "e")["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)


def test_thresholds_give_what_they_promise_on_the_same_images(words, tmp_path, capsys):
    # Right ones at 0.6 to 0.9, and for every image a wrong one at 0.3: the default of 0.5 is as good as 0.45.
    right = [[*row[:3], 0.6 + 0.025 * number, *row[4:]] for number, row in enumerate(perfect_rows())]
    wrong = [[row[0], 1, "Red block", 0.3, 0, 0, 20, 20] for row in right[::2]]
    path, thresholds = write_csv(tmp_path / "detections.csv", [*right, *wrong]), tmp_path / "t.json"
    more = ["--thresholds_path", str(thresholds), "--operating_point", "precision=0.9", "--min_score_cut", "0.7"]
    assert evaluate([*words, "--from_detections", str(path), "--eval_dir", str(tmp_path / "e"), *more]) == 0
    written = json.loads(thresholds.read_text())
    assert written["operating_point"] == "precision=0.9"
    red = written["classes"][0]
    assert (red["precision"], red["recall"], red["threshold"]) == (1.0, 1.0, 0.45)
    metrics = metrics_in(tmp_path / "e")
    assert metrics["OperatingPoint_PerformanceByCategory/F1/Red block"] == 1.0
    # Eight of twelve objects have a score of at least 0.7, four of each class: 67 of the 101 recalls.
    assert metrics["MinScore0.7/DetectionBoxes_Precision/mAP"] == pytest.approx(67 / 101)
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)
    assert {"operating_points.csv", "confusion_matrix.csv", "reliability.csv"} <= {
        file.name for file in (tmp_path / "e").iterdir()
    }
    assert "thresholds for precision=0.9, at an IoU of 0.5:" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        evaluate([*words, "--from_detections", str(path), "--operating_point", "precision=2"])
    assert caught.value.code == 2


def test_results_go_beside_the_file_where_nothing_else_is_said(words, tmp_path):
    path = write_csv(tmp_path / "detections.csv", perfect_rows())
    assert evaluate([*words, "--from_detections", str(path)]) == 0
    assert (tmp_path / "eval_detections" / "metrics.json").is_file()


def test_images_that_only_one_side_has_are_counted_and_named(words, tmp_path, capsys):
    path = write_csv(tmp_path / "detections.csv", perfect_rows([100, 101, 200]))
    more = ["--from_detections", str(path), "--eval_dir", str(tmp_path / "e")]
    assert evaluate([*words, *more]) == 3
    out = capsys.readouterr().out
    assert "4 detections in 2 of 6 images" in out
    assert "4 x image without detections: photo102, photo103, photo104, ..." in out
    assert "1 x image not in the ground truth: photo200.jpg" in out
    ledger = [json.loads(line) for line in (tmp_path / "e" / "rejected_detections.jsonl").read_text().splitlines()]
    assert {entry["item"] for entry in ledger} == {
        "photo102",
        "photo103",
        "photo104",
        "photo105",
        "photo200.jpg",
    }
    # A third of the objects was found, without a mistake: 34 of the 101 recalls.
    assert metrics_in(tmp_path / "e")["DetectionBoxes_Precision/mAP"] == pytest.approx(34 / 101)
    assert evaluate([*words, *more, "--max_failures", "1"]) == 0


def test_a_file_of_other_images_or_other_classes_is_refused(words, tmp_path):
    path = write_csv(tmp_path / "detections.csv", perfect_rows([200, 201]))
    with pytest.raises(UserError, match="none of its images is in the ground truth; its images: photo200"):
        evaluate([*words, "--from_detections", str(path)])
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{"image_id": "photo100", "category_id": 77, "bbox": [1, 2, 30, 4], "score": 0.5}]))
    with pytest.raises(UserError, match=r"1 rejected \(1 unknown class.*they are of another label map than this one"):
        evaluate([*words, "--from_detections", str(results)])


def test_what_predict_folder_writes_is_measured(words, tmp_path):
    images: dict[str, list[dict]] = {f"photo{number}.jpg": [] for number in NUMBERS}
    for image, class_id, name, score, *edges in perfect_rows():
        box = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, edges), strict=True))
        images[image].append({"class_id": class_id, "name": name, "score": score, "box_pixels": box})
    images["photo105.jpg"][1]["box_pixels"]["xmin"] = float("nan")
    path = tmp_path / "predictions.jsonl"
    lines = [{"image": name, "width": 128, "height": 96, "detections": found} for name, found in images.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    more = ["--from_detections", str(path), "--eval_dir", str(tmp_path / "e")]
    assert evaluate([*words, *more]) == 3
    (entry,) = [json.loads(line) for line in (tmp_path / "e" / "rejected_detections.jsonl").read_text().splitlines()]
    assert (entry["item"], entry["reason"]) == ("predictions.jsonl:6[1]", "not a number")
    # All red ones, and five of six blue ones without a mistake: 84 of the 101 recalls.
    assert metrics_in(tmp_path / "e")["DetectionBoxes_Precision/mAP"] == pytest.approx((1 + 84 / 101) / 2)


def test_a_table_without_scores_or_without_rows_is_refused(words, tmp_path):
    path = write_csv(tmp_path / "detections.csv", [[*row[:3], "", *row[4:]] for row in perfect_rows()])
    with pytest.raises(UserError, match=r"no detection can be used: 12 rejected \(12 bad score"):
        evaluate([*words, "--from_detections", str(path)])
    with pytest.raises(UserError, match="no detections"):
        evaluate([*words, "--from_detections", str(write_csv(tmp_path / "none.csv", []))])


@pytest.fixture
def ground_truth(tmp_path):
    """Two images as COCO has them, with categories that begin at 0 and a crowd."""
    truth = {
        "images": [
            {"id": number, "file_name": f"{number:012}.jpg", "width": 200, "height": 100} for number in (139, 285)
        ],
        "categories": [{"id": 0, "name": "cat"}, {"id": 17, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 139, "category_id": 0, "bbox": [10, 10, 50, 50], "area": 2500, "iscrowd": 0},
            {"id": 2, "image_id": 285, "category_id": 17, "bbox": [20, 20, 60, 60], "area": 3600, "iscrowd": 0},
            {"id": 3, "image_id": 285, "category_id": 17, "bbox": [100, 0, 100, 100], "area": 9000, "iscrowd": 1},
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(truth))
    return path


def test_a_coco_file_needs_no_config(ground_truth, tmp_path):
    results = [
        {"image_id": 139, "category_id": 0, "bbox": [10, 10, 50, 50], "score": 0.9},
        {"image_id": 285, "category_id": 17, "bbox": [20, 20, 60, 60], "score": 0.8},
        {"image_id": 285, "category_id": 17, "bbox": [120, 20, 30, 30], "score": 0.95},  # in the crowd
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    words = [
        "--ground_truth_path",
        str(ground_truth),
        "--from_detections",
        str(path),
        "--eval_dir",
        str(tmp_path / "e"),
    ]
    assert evaluate(words) == 0
    metrics = metrics_in(tmp_path / "e")
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP/dog"] == pytest.approx(1.0)


def test_flags_that_do_not_go_together_are_refused(words, ground_truth, tmp_path):
    with pytest.raises(UsageError, match="--pipeline_config_path is missing"):
        evaluate(["--from_detections", "d.json"])
    with pytest.raises(UsageError, match=r"--ground_truth_path goes with --from_detections"):
        evaluate([*words, "--checkpoint_dir", "m", "--ground_truth_path", str(ground_truth)])
    with pytest.raises(UsageError, match=r"ends in \.json"):
        evaluate([*words, "--checkpoint_dir", "m", "--detections_path", str(tmp_path / "d.csv")])
