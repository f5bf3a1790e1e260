"""Augmentations: boxes stay inside and on their objects, what belongs to a box travels with it, chances are as said."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

tf = pytest.importorskip("tensorflow")

from configs.descriptors import message_class  # noqa: E402
from data_prep.command_line import UsageError  # noqa: E402
from train.inputs.augmentations.crops import CropRule  # noqa: E402
from train.inputs.augmentations.pipeline import AUGMENTATIONS, build_augmentation  # noqa: E402

BACKGROUND = 90.0
HEIGHT, WIDTH = 96, 128
# One block a box; none touch. On the way from the background to one colour, none of the others is met.
BLOCKS = {1: (8, 8, 40, 40), 2: (16, 72, 56, 112), 3: (56, 16, 88, 64), 4: (64, 80, 90, 100)}  # ymin xmin ymax xmax
COLOUR = {1: (250, 90, 90), 2: (90, 250, 90), 3: (90, 90, 250), 4: (250, 250, 90)}

GEOMETRIC = {
    "random_horizontal_flip": "probability: 1",
    "random_vertical_flip": "probability: 1",
    "random_rotation90": "probability: 1",
    "random_image_scale": "",
    "random_pad_image": "pad_color: [90, 90, 90]",
    "random_crop_image": "min_object_covered: 0.3 overlap_thresh: 0.3",
    "ssd_random_crop": "",
    "random_scale_crop_and_pad_to_square": "output_size: 160 scale_min: 0.8",
}
COLOURS = {
    "random_adjust_brightness": "",
    "random_adjust_contrast": "",
    "random_adjust_hue": "",
    "random_adjust_saturation": "",
    "random_distort_color": "color_ordering: 1",
    "random_rgb_to_gray": "probability: 1",
    "random_pixel_value_scale": "",
    "random_black_patches": "",
}


def option(text: str):
    return text_format.Parse(text, message_class("PreprocessingStep")())


def picture() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    image = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    for number, (ymin, xmin, ymax, xmax) in BLOCKS.items():
        image[ymin:ymax, xmin:xmax] = COLOUR[number]
    numbers = np.array(list(BLOCKS))
    ground_truth = {
        "groundtruth_boxes": np.array(list(BLOCKS.values()), np.float32) / [HEIGHT, WIDTH, HEIGHT, WIDTH],
        "groundtruth_classes": numbers.astype(np.int32),
        "groundtruth_weights": numbers.astype(np.float32) / 4,
        "groundtruth_is_crowd": numbers == 1,
        "groundtruth_difficult": numbers == 2,
        "groundtruth_group_of": numbers == 3,
        "groundtruth_area": numbers.astype(np.float32) * 100,
    }
    ground_truth["groundtruth_boxes"] = ground_truth["groundtruth_boxes"].astype(np.float32)
    return image, ground_truth


def augmented(texts: list[str], count: int) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Runs the options `count` times, with other seeds, as the input pipeline does: in a graph."""
    augment = build_augmentation([option(text) for text in texts])
    image, ground_truth = picture()

    def run(index):
        fields = {name: tf.constant(values) for name, values in ground_truth.items()}
        out, fields = augment(tf.constant(image), fields, tf.stack([tf.constant(7, tf.int64), index]))
        return tf.cast(out, tf.float32), fields

    dataset = tf.data.Dataset.range(count).map(run)
    return [(out.numpy(), {name: value.numpy() for name, value in fields.items()}) for out, fields in dataset]


def assert_on_objects(image: np.ndarray, ground_truth: dict[str, np.ndarray], tolerance_pixels: float) -> None:
    """Each box encloses its block: the pixels of the block's colour that are left in the picture."""
    height, width = image.shape[:2]
    for box, number in zip(ground_truth["groundtruth_boxes"], ground_truth["groundtruth_classes"], strict=True):
        ys, xs = np.nonzero(np.abs(image - COLOUR[int(number)]).max(axis=-1) < 8)  # blurred rims do not count
        ymin, xmin, ymax, xmax = box * [height, width, height, width]
        if len(ys) == 0:  # less than a pixel of it is left
            assert (ymax - ymin) < 2 * tolerance_pixels + 1 or (xmax - xmin) < 2 * tolerance_pixels + 1
            continue
        found = np.array([ys.min(), xs.min(), ys.max() + 1, xs.max() + 1])
        np.testing.assert_allclose([ymin, xmin, ymax, xmax], found, atol=tolerance_pixels)


def assert_belongings(ground_truth: dict[str, np.ndarray]) -> None:
    """Weights, flags and areas are still those of their boxes' classes."""
    numbers = ground_truth["groundtruth_classes"]
    np.testing.assert_array_equal(ground_truth["groundtruth_weights"], numbers / 4)
    np.testing.assert_array_equal(ground_truth["groundtruth_is_crowd"], numbers == 1)
    np.testing.assert_array_equal(ground_truth["groundtruth_difficult"], numbers == 2)
    np.testing.assert_array_equal(ground_truth["groundtruth_group_of"], numbers == 3)
    np.testing.assert_array_equal(ground_truth["groundtruth_area"], numbers * 100)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometry_keeps_boxes_on_their_objects_and_what_belongs_to_them(name):
    resizes = name in ("random_image_scale", "random_scale_crop_and_pad_to_square")
    seen = 0
    for image, ground_truth in augmented([f"{name} {{ {GEOMETRIC[name]} }}"], 40):
        boxes = ground_truth["groundtruth_boxes"]
        assert boxes.min(initial=0.0) >= -1e-5
        assert boxes.max(initial=1.0) <= 1 + 1e-5
        assert np.all(boxes[:, :2] < boxes[:, 2:])
        assert_on_objects(image, ground_truth, tolerance_pixels=3.0 if resizes else 0.51)
        assert_belongings(ground_truth)
        seen += len(boxes)
    assert seen > 40, "the boxes were lost on the way"


@pytest.mark.parametrize("name", COLOURS)
def test_colours_change_within_range_and_boxes_stay(name):
    original, before = picture()
    changed = 0
    for image, after in augmented([f"{name} {{ {COLOURS[name]} }}"], 10):
        assert image.shape == original.shape
        assert image.min() >= 0.0
        assert image.max() <= 255.0
        np.testing.assert_array_equal(after["groundtruth_boxes"], before["groundtruth_boxes"])
        changed += bool(np.abs(image - original).max() > 1.0)
    assert changed >= 9


def test_every_supported_option_is_tried():
    assert {*GEOMETRIC, *COLOURS, "random_jitter_boxes"} == set(AUGMENTATIONS)


@pytest.mark.parametrize("name", ["random_horizontal_flip", "random_vertical_flip", "random_rotation90"])
def test_probability(name):
    original, _ = picture()

    def share_changed(probability: float) -> float:
        outputs = augmented([f"{name} {{ probability: {probability} }}"], 300)
        return float(np.mean([out.shape != original.shape or bool(np.any(out != original)) for out, _ in outputs]))

    assert share_changed(0.0) == 0.0
    assert share_changed(1.0) == 1.0
    assert share_changed(0.25) == pytest.approx(0.25, abs=0.09)


def test_flips_are_exact():
    original, before = picture()
    (image, after), *_ = augmented(["random_horizontal_flip { probability: 1 }"], 1)
    np.testing.assert_array_equal(image, original[:, ::-1])
    np.testing.assert_allclose(after["groundtruth_boxes"][:, 1], 1 - before["groundtruth_boxes"][:, 3], atol=1e-6)
    (image, _), *_ = augmented(["random_rotation90 { probability: 1 }"], 1)
    np.testing.assert_array_equal(image, np.rot90(original))


def test_brightness_is_uniform_between_its_bounds():
    original, _ = picture()
    deltas = [
        (image - original).mean() / 255 for image, _ in augmented(["random_adjust_brightness { max_delta: 0.1 }"], 200)
    ]
    assert -0.1 <= min(deltas) < -0.08
    assert 0.08 < max(deltas) <= 0.1
    assert np.mean(deltas) == pytest.approx(0.0, abs=0.015)


def test_contrast_saturation_and_hue_are_tensorflows():
    original, _ = picture()
    for text, function in (
        ("random_adjust_contrast { min_delta: 1.2 max_delta: 1.2 }", lambda x: tf.image.adjust_contrast(x, 1.2)),
        ("random_adjust_saturation { min_delta: 0.7 max_delta: 0.7 }", lambda x: tf.image.adjust_saturation(x, 0.7)),
    ):
        (image, _), *_ = augmented([text], 1)
        expected = np.clip(function(original.astype(np.float32) / 255) * 255, 0, 255)
        np.testing.assert_allclose(image, expected, atol=0.01)


def test_grey_is_luma():
    original, _ = picture()
    (image, _), *_ = augmented(["random_rgb_to_gray { probability: 1 }"], 1)
    np.testing.assert_allclose(image[..., 1], original @ np.array([0.2989, 0.5870, 0.1140]), atol=0.01)
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_crop_obeys_its_rule():
    text = (
        "random_crop_image { min_object_covered: 0.0 min_aspect_ratio: 0.9 max_aspect_ratio: 1.1 min_area: 0.2 "
        "max_area: 0.4 overlap_thresh: 0.9 random_coef: 0.0 }"
    )
    _, before = picture()
    whole = (before["groundtruth_boxes"][:, 2:] - before["groundtruth_boxes"][:, :2]).prod(axis=1)
    for image, after in augmented([text], 60):
        height, width = image.shape[:2]
        assert 0.15 < height * width / (HEIGHT * WIDTH) < 0.45
        assert 0.8 < width / height < 1.25
        sides = after["groundtruth_boxes"][:, 2:] - after["groundtruth_boxes"][:, :2]
        left = sides.prod(axis=1) * height * width / (HEIGHT * WIDTH)
        assert np.all(left >= 0.89 * whole[after["groundtruth_classes"] - 1])


def test_random_coef_is_the_chance_of_the_whole_picture():
    rule = "min_area: 0.1 max_area: 0.5 min_aspect_ratio: 0.5 max_aspect_ratio: 2"
    text = f"ssd_random_crop {{ operations {{ {rule} random_coef: 0.3 }} operations {{ {rule} random_coef: 0.5 }} }}"
    whole = np.mean([image.shape[:2] == (HEIGHT, WIDTH) for image, _ in augmented([text], 400)])
    assert whole == pytest.approx(0.4, abs=0.09)


def test_unclipped_boxes_may_reach_beyond_the_crop():
    text = "random_crop_image { min_object_covered: 0.3 overlap_thresh: 0.3 max_area: 0.4 clip_boxes: false }"
    reaches = [
        bool(np.any((g["groundtruth_boxes"] < 0) | (g["groundtruth_boxes"] > 1))) for _, g in augmented([text], 30)
    ]
    assert any(reaches)


def test_pad_sizes_and_colour():
    text = "random_pad_image { min_image_height: 150 min_image_width: 150 max_image_height: 170 max_image_width: 170 }"
    original, _ = picture()
    mean = original.reshape(-1, 3).mean(axis=0)
    for image, ground_truth in augmented([text], 20):
        assert 150 <= image.shape[0] <= 170
        assert 150 <= image.shape[1] <= 170
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert np.isclose(corners, mean, atol=0.01).all(axis=1).any()
        assert len(ground_truth["groundtruth_boxes"]) == 4


def test_jitter_moves_edges_by_at_most_its_ratio():
    _, before = picture()
    sides = before["groundtruth_boxes"][:, 2:] - before["groundtruth_boxes"][:, :2]
    outwards = []
    for _, after in augmented(["random_jitter_boxes { ratio: 0.2 jitter_mode: SHRINK }"], 20):
        assert_belongings(after)
        moved = after["groundtruth_boxes"] - before["groundtruth_boxes"]
        assert np.all(np.abs(moved) <= 0.1 * np.tile(sides, [1, 2]) + 1e-5)  # half the ratio an edge
        outwards.append(moved[:, :2].min())
    assert min(outwards) >= -1e-6
    for _, after in augmented(["random_jitter_boxes { ratio: 0.9 jitter_mode: EXPAND_SYMMETRIC_XY }"], 20):
        boxes = after["groundtruth_boxes"]
        centre = (before["groundtruth_boxes"][:, :2] + before["groundtruth_boxes"][:, 2:]) / 2
        np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, centre, atol=1e-5)
        assert boxes.min() >= 0
        assert boxes.max() <= 1


def test_black_patches_have_their_size_and_number():
    text = "random_black_patches { max_black_patches: 3 probability: 1 size_to_image_ratio: 0.25 }"
    for image, _ in augmented([text], 10):
        black = np.all(image == 0, axis=-1)
        side = int(0.25 * HEIGHT)
        assert side * side <= black.sum() <= 3 * side * side


def test_the_same_seed_gives_the_same_picture_and_options_are_applied_in_order():
    texts = ["random_distort_color {}", "random_crop_image {}", "random_pad_image {}"]
    for (one, fields_one), (two, fields_two) in zip(augmented(texts, 5), augmented(texts, 5), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(fields_one["groundtruth_boxes"], fields_two["groundtruth_boxes"])
    square = "random_scale_crop_and_pad_to_square { output_size: 64 }"
    (image, _), *_ = augmented([square, "random_rotation90 {}"], 1)
    assert image.shape == (64, 64, 3)


def test_a_picture_without_boxes():
    augment = build_augmentation([option(f"{name} {{ {text} }}") for name, text in {**COLOURS, **GEOMETRIC}.items()])
    image, ground_truth = picture()
    empty = {name: tf.constant(values[:0]) for name, values in ground_truth.items()}
    out, after = augment(tf.constant(image), empty, tf.constant([1, 2], tf.int64))
    assert out.shape[-1] == 3
    assert after["groundtruth_boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random_patch_gaussian {}", r"options\[1\]\.random_patch_gaussian is not supported; use one of random_adjust"),
        ("", r"options\[1\] is empty"),
        ("random_distort_color { color_ordering: 2 }", r"\[1\]\.random_distort_color: color_ordering is 2"),
        ("random_crop_image { min_area: 0.9 max_area: 0.2 }", r"\[1\]\.random_crop_image: areas from 0.9 to 0.2"),
        ("ssd_random_crop { operations { min_area: 0.1 } }", r"ssd_random_crop: operations\[0\]: aspect ratios"),
        ("random_pad_image { min_image_height: 3 }", r"set both min_image_height and min_image_width"),
        ("random_horizontal_flip { probability: 2 }", r"probability is 2; it must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_path(text, message):
    with pytest.raises(UsageError, match=message):
        build_augmentation([option("random_horizontal_flip {}"), option(text)])


def test_default_crop_rule_is_the_schemas():
    message = option("random_crop_image {}").random_crop_image
    assert AUGMENTATIONS["random_crop_image"].parameters(message)["rule"].aspect_ratio_range == pytest.approx(
        CropRule().aspect_ratio_range
    )
