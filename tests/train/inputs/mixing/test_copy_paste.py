"""Copy-paste between block images: what is pasted where, and what it covers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.settings.mixing import CopyPaste
from configs.settings.reading import read_settings_text
from tests.train.inputs.mixing.mixed_blocks import assert_sound, run, with_blocks
from train.inputs.ground_truth import GROUP_OF, IS_CROWD
from train.inputs.mixing.copy_paste import copy_paste
from train.inputs.mixing.example import Example


def without_flags(example: Example) -> Example:
    objects = example.ground_truth
    no = tf.zeros_like(objects[IS_CROWD])
    return example._replace(ground_truth={**objects, IS_CROWD: no, GROUP_OF: no})


@pytest.mark.parametrize("times", [(1, 1), (1, 2), (2, 1)])
def test_pasted_boxes_enclose_pasted_blocks(block_image: Any, times: tuple[int, int]) -> None:
    target = without_flags(with_blocks(block_image, [], times[0]))
    source = without_flags(with_blocks(block_image, [2], times[1]))
    settings = read_settings_text(CopyPaste, "object_probability: 1")
    sizes, tops = [], []
    for image, objects in run(partial(copy_paste, target, source, settings=settings), 80):
        assert image.shape == target.image.shape
        assert_sound(image, objects)
        assert objects["groundtruth_classes"].tolist() == [2]
        assert objects["groundtruth_weights"].tolist() == [0.5]
        assert objects["groundtruth_area"].tolist() == [200]
        block_image.assert_on_objects(image, objects)
        ymin, _, ymax, _ = objects["groundtruth_boxes"][0]
        sizes.append((ymax - ymin) / (40 / 96))
        tops.append(ymin / (1 - (ymax - ymin)))
    assert min(sizes) == pytest.approx(0.5, abs=0.1)
    assert max(sizes) == pytest.approx(1.5, abs=0.1)
    block_image.assert_uniform(np.clip(tops, 0, 1), 0, 1)


def test_objects_that_are_covered_are_left_out_and_others_stay(block_image: Any) -> None:
    target = without_flags(with_blocks(block_image, [1, 2]))
    source = without_flags(with_blocks(block_image, [3]))
    text = "object_probability: 1 min_scale: 1 max_scale: 1 max_covered: 0.3"
    settings, seen = read_settings_text(CopyPaste, text), []
    for image, objects in run(partial(copy_paste, target, source, settings=settings), 80):
        assert_sound(image, objects)
        assert objects["groundtruth_classes"].tolist()[-1] == 3
        pasted = objects["groundtruth_boxes"][-1] * [96, 128, 96, 128]
        expected = []
        for number in (1, 2):
            box = block_image.blocks[number]
            overlap = np.minimum(box[2:], pasted[2:]) - np.maximum(box[:2], pasted[:2])
            area = (box[2] - box[0]) * (box[3] - box[1])
            if np.prod(np.maximum(overlap, 0)) / area <= 0.3:
                expected.append(number)
                left = np.abs(image - np.float32(block_image.colours[number])).max(axis=-1) < 8
                assert left.sum() >= 0.69 * area
        assert objects["groundtruth_classes"].tolist() == [*expected, 3]
        seen.append(len(expected))
    assert set(seen) == {1, 2} or set(seen) == {0, 1, 2}


def test_crowds_and_groups_are_never_pasted_and_flags_of_others_are_kept(block_image: Any) -> None:
    target, source = with_blocks(block_image, []), with_blocks(block_image, [1, 2, 3, 4])
    settings = read_settings_text(CopyPaste, "object_probability: 1 max_covered: 1")
    for _, objects in run(partial(copy_paste, target, source, settings=settings), 20):
        assert sorted(objects["groundtruth_classes"].tolist()) == [2, 4]
        block_image.assert_belongings(objects)


def test_as_many_are_pasted_as_the_settings_say(block_image: Any) -> None:
    target = without_flags(with_blocks(block_image, []))
    source = without_flags(with_blocks(block_image, [1, 2, 3, 4]))

    def counts(text: str) -> list[int]:
        settings = read_settings_text(CopyPaste, f"{text} max_covered: 1")
        mixed = run(partial(copy_paste, target, source, settings=settings), 60)
        return [len(objects["groundtruth_classes"]) for _, objects in mixed]

    assert set(counts("object_probability: 1")) == {4}
    assert set(counts("object_probability: 1 max_objects: 3")) == {3}
    assert set(counts("object_probability: 0")) == {0}
    assert np.mean(counts("object_probability: 0.5")) == pytest.approx(2.0, abs=0.5)


def test_what_is_too_large_is_made_to_fit(block_image: Any) -> None:
    target, source = with_blocks(block_image, []), with_blocks(block_image, [4])
    settings = read_settings_text(CopyPaste, "object_probability: 1 min_scale: 100 max_scale: 100")
    for image, objects in run(partial(copy_paste, target, source, settings=settings), 5):
        assert_sound(image, objects)
        ymin, xmin, ymax, xmax = objects["groundtruth_boxes"][0] * [96, 128, 96, 128]
        assert ymax - ymin == pytest.approx(96, abs=1)
        assert xmax - xmin == pytest.approx(96 * 20 / 26, abs=1)


def test_images_without_objects_stay_as_they_are(block_image: Any) -> None:
    target, source = with_blocks(block_image, [1]), with_blocks(block_image, [])
    settings = read_settings_text(CopyPaste, "")
    for image, objects in run(partial(copy_paste, target, source, settings=settings), 3):
        np.testing.assert_array_equal(image, target.image)
        assert objects["groundtruth_classes"].tolist() == [1]
