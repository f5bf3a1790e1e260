"""Box coders, against hand-computed codes, and there and back."""

import math

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.box_coders import BOX_CODERS
from configs.settings.declaration import SettingsError
from configs.settings.reading import read_choice
from train.models.box_coders import build_box_coder


def coder_of(text):
    message = parse_pipeline_config(f"model {{ ssd {{ box_coder {{ {text} }} }} }}").model.ssd.box_coder
    return build_box_coder(read_choice(BOX_CODERS, message, "box_coder"))


FASTER_RCNN = "faster_rcnn_box_coder { y_scale: 1 x_scale: 2 height_scale: 3 width_scale: 4 }"
MEAN_STDDEV = "mean_stddev_box_coder { stddev: 0.1 }"
SQUARE = "square_box_coder { y_scale: 2 x_scale: 3 length_scale: 5 }"


def test_faster_rcnn_codes_equal_the_papers_equation():
    codes = coder_of(FASTER_RCNN).encode(tf.constant([[12.0, 20, 52, 40]]), tf.constant([[10.0, 10, 30, 50]]))
    expected = [1 * (32 - 20) / 20, 2 * (30 - 30) / 40, 3 * math.log(40 / 20), 4 * math.log(20 / 40)]
    np.testing.assert_allclose(codes, [expected], rtol=1e-5, atol=1e-6)


def test_mean_stddev_codes_are_differences_of_corners():
    codes = coder_of(MEAN_STDDEV).encode(tf.constant([[0.1, 0.2, 0.5, 0.9]]), tf.constant([[0.0, 0.3, 0.5, 1.0]]))
    np.testing.assert_allclose(codes, [[1, -1, 0, -1]], atol=1e-5)


def test_square_codes_have_one_length():
    codes = coder_of(SQUARE).encode(tf.constant([[0.0, 0, 8, 2]]), tf.constant([[0.0, 0, 1, 4]]))
    # The box is centred on (4, 1) with length 4, the anchor on (0.5, 2) with length 2.
    np.testing.assert_allclose(codes, [[2 * 3.5 / 2, 3 * -1 / 2, 5 * math.log(2)]], rtol=1e-6)


def test_square_codes_decode_to_squares():
    boxes = coder_of(SQUARE).decode(
        tf.constant([[2 * 3.5 / 2, 3 * -1 / 2, 5 * math.log(2)]]), tf.constant([[0.0, 0, 1, 4]])
    )
    np.testing.assert_allclose(boxes, [[2, -1, 6, 3]], rtol=1e-6)


@pytest.mark.parametrize("text", [FASTER_RCNN, MEAN_STDDEV, SQUARE])
def test_a_coder_is_its_own_inverse(text):
    coder = coder_of(text)
    random = np.random.default_rng(0)
    corners = random.uniform(0, 0.5, (2, 3, 2))
    sides = random.uniform(0.1, 0.5, (2, 3, 1))
    anchors = np.concatenate([corners, corners + random.uniform(0.1, 0.5, (2, 3, 2))], axis=-1).astype(np.float32)
    boxes = np.concatenate([corners, corners + sides], axis=-1).astype(np.float32)
    codes = coder.encode(tf.constant(boxes), tf.constant(anchors))
    assert codes.shape[-1] == coder.code_size
    np.testing.assert_allclose(coder.decode(codes, tf.constant(anchors)), boxes, atol=1e-6)


@pytest.mark.parametrize("text", [FASTER_RCNN, MEAN_STDDEV, SQUARE])
def test_empty_boxes_have_finite_codes(text):
    codes = coder_of(text).encode(tf.zeros([1, 4]), tf.constant([[0.1, 0.1, 0.2, 0.2]]))
    assert np.isfinite(codes).all()


def test_the_defaults_are_the_schemas():
    assert coder_of("faster_rcnn_box_coder {}").scales == (10, 10, 5, 5)
    assert coder_of("mean_stddev_box_coder {}").settings.stddev == pytest.approx(0.01)
    assert coder_of("square_box_coder {}").settings.length_scale == 5


@pytest.mark.parametrize("text", ["", "keypoint_box_coder { num_keypoints: 3 }"])
def test_what_codes_no_boxes_is_refused(text):
    with pytest.raises(SettingsError, match=r"^box_coder.*; use faster_rcnn_box_coder \{ \}$"):
        coder_of(text)
