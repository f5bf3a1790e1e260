"""AutoAugment: boxes stay inside and on their objects, sub-policies and operations come as often as they should."""

from __future__ import annotations

import collections
import math

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from train.inputs.augmentations.policy import POLICIES, autoaugment_image  # noqa: E402
from train.inputs.augmentations.policy_operations import Objects, make_operation  # noqa: E402

GREY = 128
# In pixels of 96 x 128, what a shift of 25 leaves inside.
MOVES = {"Rotate_BBox": 8, "ShearX_BBox": 8, "ShearY_BBox": 8, "TranslateX_BBox": 1, "TranslateY_BBox": 1}


def operated(block_image, name: str, probability: float, magnitude: float, seeds: range, image=None, fields=None):
    """Runs one operation with each of the seeds; yields the image and the ground truth of the objects left."""
    image = block_image.image() if image is None else image
    fields = block_image.ground_truth() if fields is None else fields
    boxes = fields["groundtruth_boxes"]
    operation = make_operation(name, probability, magnitude)
    for seed in seeds:
        objects = Objects(tf.constant(boxes), tf.range(len(boxes)))
        out, objects = operation(tf.constant(image), objects, tf.constant([seed, 1], tf.int64))
        after = {key: value[objects.numbers.numpy()] for key, value in fields.items()}
        yield out.numpy(), {**after, "groundtruth_boxes": objects.boxes.numpy()}


@pytest.mark.parametrize("name", MOVES)
def test_what_is_moved_keeps_its_box(block_image, name):
    seen = collections.Counter()
    for image, after in operated(block_image, name, 1.0, MOVES[name], range(8)):
        assert image.shape == block_image.image().shape
        assert np.any(np.all(image == GREY, axis=-1)), "what was uncovered is grey"
        block_image.assert_belongings(after)
        seen.update(after["groundtruth_classes"].tolist())
        height, width = image.shape[:2]
        for box, number in zip(after["groundtruth_boxes"], after["groundtruth_classes"], strict=True):
            ys, xs = np.nonzero(np.all(image == block_image.colours[int(number)], axis=-1))
            found = [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]
            np.testing.assert_allclose(box * [height, width, height, width], found, atol=0.75)
    assert all(seen[number] >= 3 for number in block_image.blocks)


def test_moves_go_either_way_and_what_leaves_the_image_is_left_out(block_image):
    # 50 pixels, of 128: of the top left block, or of the bottom right one, nothing stays.
    outputs = operated(block_image, "TranslateX_BBox", 1.0, 2, range(100))
    left = [tuple(after["groundtruth_classes"].tolist()) for _, after in outputs]
    assert set(left) == {(1, 2, 3), (2, 3, 4)}
    assert np.mean([1 in classes for classes in left]) == pytest.approx(0.5, abs=0.15)


def test_no_mirror_image_of_an_object_appears_without_a_box(block_image):
    for name, magnitude in MOVES.items():
        for image, _ in operated(block_image, name, 1.0, magnitude, range(4)):
            for number, (ymin, xmin, ymax, xmax) in block_image.blocks.items():
                pixels = np.all(image == block_image.colours[number], axis=-1).sum()
                assert pixels <= 1.05 * (ymax - ymin) * (xmax - xmin)


@pytest.mark.parametrize(
    ("name", "magnitude", "expected"),
    [
        ("Brightness", 5, lambda image: image.astype(np.float32) * 1.0),
        ("Brightness", 0, lambda image: image.astype(np.float32) * 0.1),
        ("Solarize", 5, lambda image: np.where(image < 128, image, 255 - image)),
        ("SolarizeAdd", 10, lambda image: np.where(image < 128, image + 110.0, image)),
        ("Posterize", 5, lambda image: image // 64 * 64),
    ],
)
def test_pixels_follow_the_magnitude(block_image, name, magnitude, expected):
    (image, after), *_ = operated(block_image, name, 1.0, magnitude, range(1))
    np.testing.assert_allclose(image, expected(block_image.image()), atol=1.0)
    np.testing.assert_array_equal(after["groundtruth_boxes"], block_image.ground_truth()["groundtruth_boxes"])


@pytest.mark.parametrize("name", ["AutoContrast", "Color", "Contrast", "Equalize", "Sharpness"])
def test_other_pixel_operations_change_pixels_and_no_boxes(block_image, name):
    (image, after), *_ = operated(block_image, name, 1.0, 9, range(1))
    assert np.abs(image - np.float32(block_image.image())).max() > 10
    block_image.assert_belongings(after)


def test_an_operation_comes_as_often_as_its_probability_says(block_image):
    original = block_image.image()
    changed = [np.any(image != original) for image, _ in operated(block_image, "Brightness", 0.3, 0, range(300))]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.08)


def test_cutouts_are_grey_and_have_their_size(block_image):
    plain = np.zeros((300, 300, 3), np.uint8)
    pixels = []
    for image, _ in operated(block_image, "Cutout", 1.0, 4, range(30), image=plain):
        assert set(np.unique(image)) <= {0, GREY}
        pixels.append(np.all(image == GREY, axis=-1).sum())
    assert max(pixels) == 80 * 80
    assert min(pixels) >= 40 * 40  # around a point anywhere in the image
    boxes = np.float32([[0.1, 0.2, 0.5, 0.4]])
    fields = {name: values[:1] for name, values in block_image.ground_truth().items()}
    fields["groundtruth_boxes"] = boxes
    for image, _ in operated(block_image, "BBox_Cutout", 1.0, 4, range(20), image=plain, fields=fields):
        ys, xs = np.nonzero(image[..., 0] == GREY)
        assert ys.max() - ys.min() + 1 <= 0.3 * 121
        assert xs.max() - xs.min() + 1 <= 0.3 * 61
        assert (ys.min() + ys.max()) / 2 + 18 >= 30 and (ys.min() + ys.max()) / 2 - 18 <= 150  # centred in the box
        assert (xs.min() + xs.max()) / 2 + 9 >= 60 and (xs.min() + xs.max()) / 2 - 9 <= 120


@pytest.mark.parametrize(
    "name",
    [
        "Cutout_Only_BBoxes",
        "Equalize_Only_BBoxes",
        "Flip_Only_BBoxes",
        "ShearX_Only_BBoxes",
        "ShearY_Only_BBoxes",
        "TranslateY_Only_BBoxes",
    ],
)
def test_operations_on_objects_leave_the_rest_alone_and_spare_two_of_three(block_image, name):
    original = np.random.default_rng(0).integers(60, 200, (96, 128, 3), np.uint8)
    outside = np.ones((96, 128), bool)
    for ymin, xmin, ymax, xmax in block_image.blocks.values():
        outside[ymin : ymax + 1, xmin : xmax + 1] = False
    touched = []
    for image, after in operated(block_image, name, 1.0, 9, range(40), image=original):
        np.testing.assert_array_equal(image[outside], original[outside])
        np.testing.assert_array_equal(after["groundtruth_boxes"], block_image.ground_truth()["groundtruth_boxes"])
        block_image.assert_belongings(after)
        for ymin, xmin, ymax, xmax in block_image.blocks.values():
            touched.append(np.any(image[ymin:ymax, xmin:xmax] != original[ymin:ymax, xmin:xmax]))
    assert np.mean(touched) == pytest.approx(1 / 3, abs=0.12)


def test_an_object_is_mirrored_in_its_place(block_image):
    ramp = np.repeat(np.arange(128, dtype=np.uint8)[np.newaxis, :, np.newaxis], 96, axis=0).repeat(3, axis=2)
    fields = {name: values[:1] for name, values in block_image.ground_truth().items()}
    for image, _ in operated(block_image, "Flip_Only_BBoxes", 1.0, 0, range(20), image=ramp, fields=fields):
        if np.any(image != ramp):
            np.testing.assert_array_equal(image[20, 8:41, 0], np.arange(40, 7, -1))
            return
    pytest.fail("it never happened")


@pytest.mark.parametrize("policy", POLICIES)
def test_whole_policies(block_image, policy):
    fields = {name: tf.constant(values) for name, values in block_image.ground_truth().items()}
    photo = tf.constant(block_image.image())
    different = set()
    for seed in range(30):
        image, after = autoaugment_image(photo, fields, tf.constant([seed, 1], tf.int64), policy_name=policy)
        after = {name: values.numpy() for name, values in after.items()}
        assert image.shape == (96, 128, 3)
        boxes = after["groundtruth_boxes"]
        assert boxes.min(initial=0.0) >= 0.0
        assert boxes.max(initial=1.0) <= 1.0
        assert np.all(boxes[:, :2] < boxes[:, 2:])
        block_image.assert_belongings(after)
        different.add(image.numpy().tobytes())
    assert len(different) > (1 if policy == "test" else 6)
    again, _ = autoaugment_image(photo, fields, tf.constant([29, 1], tf.int64), policy_name=policy)
    np.testing.assert_array_equal(image, again)
    empty = {name: values[:0] for name, values in fields.items()}
    for seed in range(20):
        tiny = tf.fill([1, 2, 3], tf.constant(77, tf.uint8))
        image, after = autoaugment_image(tiny, empty, tf.constant([seed, 2], tf.int64), policy_name=policy)
        assert image.shape == (1, 2, 3)
        assert after["groundtruth_boxes"].shape == (0, 4)


def test_floats_come_out_as_floats(block_image):
    for image, _ in block_image.augmented(["adjust_gamma {}", 'autoaugment_image { policy_name: "test" }'], 2):
        assert image.dtype == np.float32
        np.testing.assert_array_equal(image, np.rint(image))


def test_sub_policies_and_their_operations_come_as_often_as_they_should(block_image):
    black = np.zeros((96, 128, 3), np.uint8)
    count = 400
    outputs = block_image.augmented("autoaugment_image {}", count, image=black)
    unchanged = np.mean([not image.any() for image, _ in outputs])
    # On black, only what moves or cuts out shows: in the first sub-policy a shift (0.6), in the second a cutout (0.8)
    # or one of four objects moved (0.2 / 3 each), in the third nothing (a shear of 0), in the fourth a shear (always),
    # in the fifth a turn (0.6).
    expected = (0.4 + 0.2 * (1 - 0.2 / 3) ** 4 + 1.0 + 0.0 + 0.4) / 5
    assert unchanged == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / count))
