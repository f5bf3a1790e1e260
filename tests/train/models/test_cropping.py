"""Crops of proposals: the map each is cut from, and what is cut."""

import math

import numpy as np
import pytest
import tensorflow as tf

from train.models.cropping import ProposalCropper, pyramid_levels


@pytest.mark.parametrize(
    ("side_pixels", "level"), [(224, 3), (223, 2), (448, 4), (447, 3), (112, 2), (111, 1), (5, 0), (0, 0), (640, 4)]
)
def test_a_box_of_a_classifiers_image_takes_the_last_map_but_one(side_pixels, level):
    box = tf.constant([[0.0, 0.0, side_pixels / 640, side_pixels / 640]])
    assert int(pyramid_levels(box, (640, 640), 5)[0]) == level


def test_levels_follow_the_area_whatever_the_images_shape():
    random = np.random.default_rng(0)
    boxes = np.sort(random.uniform(size=(50, 2, 2)), axis=1).reshape(50, 4).astype(np.float32)
    found = pyramid_levels(tf.constant(boxes), (tf.constant(320), tf.constant(480)), 5).numpy()
    for box, level in zip(boxes, found, strict=True):
        pixels = math.sqrt((box[2] - box[0]) * 320 * (box[3] - box[1]) * 480)
        assert level == min(max(math.floor(math.log2(pixels / 224)) + 3, 0), 4)


def test_each_crop_comes_from_its_own_map_and_image():
    maps = [
        tf.constant(np.array([[1.0], [2.0]]) * 10**i, tf.float32)[:, :, tf.newaxis, tf.newaxis]
        * tf.ones([2, 64 // 2**i, 64 // 2**i, 1])
        for i in range(5)
    ]
    sides = np.array([[20, 100, 300], [500, 60, 130]], np.float32)
    boxes = np.stack([np.zeros_like(sides), np.zeros_like(sides), sides, sides], axis=-1)
    crops = ProposalCropper(4, 2, 2).crop(maps, tf.constant(boxes), (512, 512))
    assert crops.shape == (2, 3, 2, 2, 1)
    levels = np.floor(np.log2(np.maximum(sides, 1) / 224)).clip(-3, 1) + 3
    expected = np.array([[1], [2]]) * 10**levels
    np.testing.assert_allclose(crops[..., 0, 0, 0], expected, rtol=1e-5)


def test_crops_sample_the_map_from_corner_to_corner_and_take_the_maximum():
    feature_map = tf.reshape(tf.range(64, dtype=tf.float32), [1, 8, 8, 1])
    box = tf.constant([[[0.0, 0.0, 80.0, 160.0]]])
    whole = ProposalCropper(8, 0, 0).crop([feature_map], box, (80, 160))
    np.testing.assert_allclose(whole[0, 0, ..., 0], feature_map[0, ..., 0])
    pooled = ProposalCropper(8, 2, 2).crop([feature_map], box, (tf.constant(80), tf.constant(160)))
    np.testing.assert_allclose(pooled[0, 0, ..., 0], feature_map[0, 1::2, 1::2, 0])


@pytest.mark.parametrize(("sizes", "output"), [((14, 2, 2), 7), ((17, 1, 1), 17), ((14, 0, 0), 14), ((7, 3, 2), 3)])
def test_the_output_has_the_size_it_says(sizes, output):
    cropper = ProposalCropper(*sizes)
    assert cropper.output_size == output
    crops = cropper.crop([tf.zeros([1, 5, 5, 2])], tf.constant([[[0.0, 0.0, 9.0, 9.0]]]), (10, 10))
    assert crops.shape == (1, 1, output, output, 2)


def test_gradients_reach_every_map_that_was_cropped():
    maps = [tf.Variable(tf.ones([1, 8, 8, 1])) for _ in range(5)]
    boxes = tf.constant([[[0.0, 0.0, 30.0, 30.0], [0.0, 0.0, 500.0, 500.0]]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ProposalCropper(4, 2, 2).crop(maps, boxes, (512, 512)))
    gradients = [np.abs(tf.convert_to_tensor(gradient)).sum() for gradient in tape.gradient(total, maps)]
    assert [bool(gradient) for gradient in gradients] == [True, False, False, False, True]
