from __future__ import annotations

import json

import pytest

from data_prep.formats.json_array import json_array_writer, write_json_array
from data_prep.formats.points import check_image_id, read_points, write_points
from data_prep.runtime.command_line import UsageError, UserError

BOX = {
    "label": "/m/03ssj5", "confidence": 1.0, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9,
    "is_occluded": False, "is_truncated": True, "is_group_of": False, "is_depiction": False, "is_inside": False,
}  # fmt: skip


def point(image_id="000a1249af2bc5f0", *annotations):
    return {"id": image_id, "annotations": list(annotations)}


def test_points_come_back_as_written_one_image_a_line(tmp_path):
    points = [point("a", BOX), point("b"), point("c-1_2.3", BOX, BOX | {"x0": 0, "is_inside": True})]
    path = tmp_path / "out" / "points.json"
    assert write_points(path, points) == 3
    assert read_points(path) == points
    assert json.loads(path.read_text()) == points
    assert [line[:7] for line in path.read_text().splitlines()] == ["[", '{"id": ', '{"id": ', '{"id": ', "]"]
    assert write_points(path, []) == 0
    assert read_points(path) == []


def test_what_may_be_left_out_is_filled_in_and_more_is_kept(tmp_path):
    path = tmp_path / "points.json"
    bare = {key: BOX[key] for key in ("label", "x0", "x1", "y0", "y1")}
    path.write_text(json.dumps([{**point("a", {**bare, "note": 1}), "width": 640}]))
    (read,) = read_points(path)
    assert read["width"] == 640
    assert read["annotations"] == [{**BOX, "is_truncated": False, "note": 1}]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"is_difficult": 1}, "item 1, annotation 2: 'is_difficult' must be true or false, not 1"),
        ({"is_crowd": "yes"}, "annotation 2: 'is_crowd' must be true or false, not the text 'yes'"),
        (
            {"segment_area": 7},
            "annotation 2: 'segment_area' must be a share of the image above 0 and at most 1, not 7",
        ),
        ({"segment_area": None}, "at most 1, not missing or null"),
    ],
)
def test_what_only_some_sources_know_is_checked(tmp_path, extra, message):
    path = tmp_path / "points.json"
    good = BOX | {"is_difficult": True, "is_crowd": False, "segment_area": 0.25}
    assert write_points(path, [point("a", BOX, good)]) == 1
    assert read_points(path) == [point("a", BOX, good)]
    path.write_text(json.dumps([point("a", BOX, BOX | extra)]))
    with pytest.raises(UsageError) as refused:
        read_points(path)
    assert message in str(refused.value)


def test_verified_labels_of_an_image_are_kept_and_may_be_left_out(tmp_path):
    path = tmp_path / "points.json"
    labels = [{"label": "/m/03ssj5", "confidence": 1.0}, {"label": "/m/07c52", "confidence": 0.0}]
    points = [{**point("a", BOX), "image_labels": labels}, {**point("b"), "image_labels": []}, point("c")]
    write_points(path, points)
    assert read_points(path) == points


@pytest.mark.parametrize(
    ("image_labels", "message"),
    [
        ({}, "item 2: 'image_labels' must be an array, not an object"),
        (["/m/03ssj5"], "item 2, image label 1: must be an object, not the text '/m/03ssj5'"),
        ([{"confidence": 1.0}], "item 2, image label 1: 'label' must be a text"),
        ([{"label": "a"}], "item 2, image label 1: 'confidence' must be 1.0 (a person saw it) or 0.0"),
        ([{"label": "a", "confidence": 0.5}], "or 0.0 (it is not there), not 0.5"),
        ([{"label": "a", "confidence": True}], "or 0.0 (it is not there), not true"),
        ([{"label": "a", "confidence": 1}, {"label": "a", "confidence": 0}], "image label 2: label 'a' comes twice"),
    ],
)
def test_bad_verified_labels_are_refused_with_their_place(tmp_path, image_labels, message):
    path = tmp_path / "points.json"
    path.write_text(json.dumps([point("a"), {**point("b", BOX), "image_labels": image_labels}]))
    with pytest.raises(UsageError) as refused:
        read_points(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x0": 0.6}, "x1 must be greater than x0, but x1 is 0.6 and x0 0.6"),
        ({"y1": 0.1}, "y1 must be greater than y0, but y1 is 0.1 and y0 0.2"),
        ({"x0": "0.1"}, "'x0' must be a number, not the text '0.1'"),
        ({"x0": True}, "'x0' must be a number, not true"),
        ({"y1": None}, "'y1' must be a number, not missing or null"),
        ({"x1": 1.01}, "x1 is 1.01, outside 0..1"),
        ({"x0": -2e-6}, "x0 is -2e-06, outside 0..1"),
        ({"confidence": 2}, "confidence is 2, outside 0..1"),
        ({"label": ""}, "'label' must be a text"),
        ({"label": 3}, "'label' must be a text of 1 to 500 characters, not 3"),
        ({"label": "a" * 501}, "'label' must be a text"),
        ({"is_group_of": 0}, "'is_group_of' must be true or false, not 0"),
        ({"x0": 10**400}, "x0 is 1000"),
    ],
)
def test_a_bad_annotation_is_refused_with_its_place(tmp_path, changes, message):
    path = tmp_path / "points.json"
    path.write_text(json.dumps([point("a"), point("b"), point("c", BOX, {**BOX, **changes})]))
    with pytest.raises(UsageError) as refused:
        read_points(path)
    assert str(refused.value).startswith(f"{path}: item 3, annotation 2: ")
    assert message in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(path))
    good = tmp_path / "good.json"
    with pytest.raises(UsageError, match="item 1, annotation 1"):
        write_points(good, [point("c", {**BOX, **changes})])
    assert not good.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"[{]", r":1:3: not JSON"),
        (b'{"id": "a"}', "must be a JSON array"),
        (b"[3]", "item 1: must be an object, not 3"),
        (b"[{}]", "item 1: 'id' is missing"),
        (b'[{"id": "a"}]', "item 1: 'annotations' must be an array, not missing"),
        (b'[{"id": "a", "annotations": [7]}]', "annotation 1: must be an object"),
        (b'[{"id": "../../etc/passwd", "annotations": []}]', "item 1: image id '../../etc/passwd' is not a plain file"),
        (b'[{"id": 5, "annotations": []}]', "item 1: image id 5 is not a plain file name"),
        (b'[{"id": "a", "annotations": []}, {"id": "a", "annotations": []}]', "item 2: image id 'a' comes twice"),
        (b'[{"id": "a", "annotations": [{"label": "b", "x0": NaN}]}]', "not JSON: NaN is not a number"),
        (b'[{"id": "\xff"}]', "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[" + b"9" * 10_000 + b"]", "not JSON"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "points.json"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_points(path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"points.json: No such file"):
        read_points(tmp_path / "points.json")


@pytest.mark.parametrize("image_id", ["000a1249af2bc5f0", "a", "a.b-c_D", "-", "0" * 128])
def test_plain_image_ids_pass(image_id):
    assert check_image_id(image_id) == image_id


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "../a",
        "/etc/passwd",
        "a\n",
        "a\0",
        "a b",
        "é",
        "0" * 129,
        None,
        5,
        b"a",
    ],
)
def test_image_ids_that_are_no_file_name_are_refused(image_id):
    with pytest.raises(UserError, match="is not a plain file name"):
        check_image_id(image_id)


def test_a_failure_while_writing_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "images.json"
    assert write_json_array(path, [{"id": "a"}]) == 1
    with pytest.raises(ValueError, match="not JSON compliant"), json_array_writer(path) as write:
        write({"id": "b"})
        write(float("nan"))
    assert json.loads(path.read_text()) == [{"id": "a"}]
    assert [file.name for file in tmp_path.iterdir()] == ["images.json"]
