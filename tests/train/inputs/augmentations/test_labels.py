"""Labels are dropped with their chance and renamed, and everything else about an object goes with it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")


def test_objects_of_one_class_are_dropped_with_their_chance(block_image):
    text = "drop_label_probabilistically { label: 2 drop_probability: 0.3 }"
    outputs = block_image.augmented(text, 300)
    for image, after in outputs:
        np.testing.assert_array_equal(image, block_image.image())
        block_image.assert_on_objects(image, after)
        block_image.assert_belongings(after)
        assert {1, 3, 4} <= set(after["groundtruth_classes"].tolist())
    assert np.mean([2 not in after["groundtruth_classes"] for _, after in outputs]) == pytest.approx(0.3, abs=0.08)


def test_each_object_has_a_chance_of_its_own_and_by_default_all_go(block_image):
    many = {name: np.repeat(values[:1], 400, axis=0) for name, values in block_image.ground_truth().items()}
    text = "drop_label_probabilistically { label: 1 drop_probability: 0.75 }"
    (_, after), *_ = block_image.augmented(text, 1, ground_truth=many)
    assert len(after["groundtruth_classes"]) == pytest.approx(100, abs=30)
    (_, after), *_ = block_image.augmented("drop_label_probabilistically { label: 1 }", 1, ground_truth=many)
    assert {len(values) for values in after.values()} == {0}


def test_labels_are_remapped_at_once_and_nothing_else_changes(block_image):
    (image, after), *_ = block_image.augmented("remap_labels { original_labels: [1, 4, 9] new_label: 4 }", 1)
    before = block_image.ground_truth()
    np.testing.assert_array_equal(image, block_image.image())
    np.testing.assert_array_equal(after.pop("groundtruth_classes"), [4, 2, 3, 4])
    for name, values in after.items():
        np.testing.assert_array_equal(values, before[name])


def test_no_labels_to_remap_and_no_boxes_are_no_trouble(block_image):
    (_, after), *_ = block_image.augmented("remap_labels { new_label: 4 }", 1)
    np.testing.assert_array_equal(after["groundtruth_classes"], [1, 2, 3, 4])
    empty = {name: values[:0] for name, values in block_image.ground_truth().items()}
    texts = ["remap_labels { original_labels: 1 new_label: 4 }", "drop_label_probabilistically { label: 4 }"]
    (_, after), *_ = block_image.augmented(texts, 1, ground_truth=empty)
    assert after["groundtruth_classes"].shape == (0,)
