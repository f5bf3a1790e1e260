from __future__ import annotations

import hashlib

import numpy as np
import pytest

from data_prep.formats import tf_example

BOXES = [[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 0.25]]  # ymin xmin ymax xmax


def example(**changes: object) -> bytes:
    arguments: dict[str, object] = {
        "encoded_image": b"\xff\xd8photo",
        "image_format": "jpeg",
        "source_id": "abc",
        "filename": "abc.jpg",
        "height": 100,
        "width": 200,
        "boxes_ymin_xmin_ymax_xmax": BOXES,
        "class_labels": [3, 1],
        "class_texts": ["/m/03ssj5", "Wörld"],
    }
    return tf_example.make_example(**(arguments | changes))  # type: ignore[arg-type]


def parse(serialized: bytes) -> dict[str, object]:
    import tensorflow as tf

    features = tf.train.Example.FromString(serialized).features.feature
    record: dict[str, object] = {}
    for key, feature in tf_example.FEATURES.items():
        values = list(getattr(features[key], f"{feature.kind}_list").value)
        record[key] = values if feature.is_list else values[0]
    return record


def test_what_is_written_is_what_is_read() -> None:
    record = parse(example(group_of=[True, False], truncated=[False, True], weights=[0.5, 1.0]))
    assert record["image/encoded"] == b"\xff\xd8photo"
    assert record["image/format"] == b"jpeg"
    assert record["image/filename"] == b"abc.jpg"
    assert record["image/source_id"] == b"abc"
    assert record["image/key/sha256"] == hashlib.sha256(b"\xff\xd8photo").hexdigest().encode()
    assert (record["image/height"], record["image/width"]) == (100, 200)
    assert record["image/object/bbox/ymin"] == pytest.approx([0.1, 0.0])
    assert record["image/object/bbox/xmin"] == pytest.approx([0.2, 0.0])
    assert record["image/object/bbox/ymax"] == pytest.approx([0.5, 1.0])
    assert record["image/object/bbox/xmax"] == pytest.approx([0.6, 0.25])
    assert list(record["image/object/class/text"]) == [b"/m/03ssj5", "Wörld".encode()]  # type: ignore[call-overload]
    expected = {
        "class/label": [3, 1],
        "is_crowd": [0, 0],
        "difficult": [0, 0],
        "truncated": [0, 1],
        "occluded": [0, 0],
        "group_of": [1, 0],
        "depiction": [0, 0],
        "area": [0.4 * 100 * 0.4 * 200, 100 * 50],
        "weight": [0.5, 1.0],
    }
    for key, values in expected.items():
        assert record[f"image/object/{key}"] == pytest.approx(values), key


def test_keys_and_types_are_those_of_the_object_detection_api() -> None:
    import tensorflow as tf

    serialized = example(weights=[1, 1], image_class_labels=[1], image_class_texts=["Wörld"])
    features = tf.train.Example.FromString(serialized).features.feature
    assert set(features) == set(tf_example.FEATURES)
    for key, feature in tf_example.FEATURES.items():
        assert features[key].WhichOneof("kind") == f"{feature.kind}_list", key


def test_no_boxes() -> None:
    record = parse(example(boxes_ymin_xmin_ymax_xmax=[], class_labels=[], class_texts=[]))
    assert all(np.size(record[key]) == 0 for key in tf_example.OBJECT_KEYS)


def test_optional_keys_are_left_out_and_read_as_empty() -> None:
    import tensorflow as tf

    serialized = example()
    features = tf.train.Example.FromString(serialized).features.feature
    assert "image/object/weight" not in features
    assert "image/class/label" not in features
    assert np.size(parse(serialized)["image/object/weight"]) == 0


def test_the_same_image_gives_the_same_bytes() -> None:
    assert len({example() for _ in range(20)}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"class_labels": [1]},
        {"class_texts": ["a", "b", "c"]},
        {"is_crowd": [True]},
        {"weights": []},
        {"image_class_labels": [1]},
    ],
)
def test_lists_of_unequal_length_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="abc"):
        example(**changes)
