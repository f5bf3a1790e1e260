"""thresholds.json read back, and what is refused in one line."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from data_prep.runtime.command_line import UsageError
from train.evaluation.thresholds_file import MAX_BYTES, ClassThresholds, read_thresholds

NAMES = {1: "Bed", 2: "Lamp", 4: "Lamp"}


def entry(class_id, name, threshold):
    return {"id": class_id, "name": name, "threshold": threshold}


GOOD = [entry(1, "Bed", 0.25), entry(2, "Lamp (2)", None), entry(4, "Lamp (4)", 1)]


def test_ids_names_and_thresholds_are_enough(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"classes": GOOD}))
    found = read_thresholds(path, NAMES)
    assert found.by_class == {1: 0.25, 2: math.inf, 4: 1.0}
    np.testing.assert_array_equal(
        found.as_float32(5), np.array([math.inf, 0.25, math.inf, math.inf, 1, math.inf], np.float32)
    )
    assert found.summary().endswith("0.250 to 1.000 for 2 classes; null, so that none is detected: Lamp (2)")


def test_as_float32_a_threshold_stays_above_the_score_below(tmp_path):
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    between = float(low) + (float(high) - float(low)) * 0.25  # which float32 rounds to the lower one
    assert np.float32(between) == low
    rounded = ClassThresholds(tmp_path, "", {1: between, 2: float(high)}, {1: "a", 2: "b"}).as_float32(2)
    assert rounded[1] == rounded[2] == high


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([entry(1, "Sofa", 0.5), *GOOD[1:]], "id 1 is 'Sofa', but in the label map 1 is 'Bed'.*another label map"),
        ([*GOOD, entry(7, "Sofa", 0.5)], "id 7 is 'Sofa', but in the label map there is no id 7"),
        (GOOD[:1], "no threshold for id 2 'Lamp \\(2\\)' and 1 more"),
        ([*GOOD, GOOD[0]], r"classes\[3\]: a second entry of id 1"),
        ([entry(1, "Bed", 1.5), *GOOD[1:]], "threshold 1.5 of 'Bed' is not a number from 0 to 1"),
        ([entry(1, "Bed", "0.5"), *GOOD[1:]], "threshold '0.5' of 'Bed' is not a number"),
        ([entry(1, "Bed", True), *GOOD[1:]], "threshold True"),
        ([{"id": 1, "name": "Bed"}], r"classes\[0\]: has no threshold"),
        ([0.5], r"classes\[0\]: has no id, name and threshold"),
        ([entry("1", "Bed", 0.5)], "id must be a whole number"),
        ({"Bed": 0.5}, "no list of classes"),
    ],
)
def test_what_is_of_another_label_map_or_no_threshold_is_one_line(tmp_path, classes, words):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"classes": classes}))
    with pytest.raises(UsageError, match=words) as error:
        read_thresholds(path, NAMES)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("[1, 2", "not JSON"),
        ("[]", "no list of classes"),
        ('{"classes": [{"id": 1, "name": "Bed", "threshold": NaN}]}', "NaN is not a number"),
        ("[" * 100_000, "nested too deeply"),
        ("\xff", "not UTF-8|not JSON"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path, text, words):
    path = tmp_path / "t.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=words):
        read_thresholds(path, NAMES)


def test_a_huge_file_is_not_read_and_a_missing_one_is_said(tmp_path):
    path = tmp_path / "t.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        read_thresholds(path, NAMES)
    with pytest.raises(UsageError, match=r"none\.json"):
        read_thresholds(tmp_path / "none.json", NAMES)
    with pytest.raises(UsageError, match="not a plain file"):
        read_thresholds(tmp_path, NAMES)
