"""AutoAugment: one of a policy's sub-policies, picked at random, on the image and its boxes.

The policies for detection (https://arxiv.org/abs/1906.11172) are those that the Object Detection API knows by these
names. TF Model Garden has the first of them only.
"""

from __future__ import annotations

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import BOXES, GroundTruth, with_boxes
from train.inputs.randomness import split, uniform_integer

# Operations one after the other: (name, probability, magnitude).
SubPolicy = tuple[tuple[str, float, int], ...]

_V0: tuple[SubPolicy, ...] = (
    (("TranslateX_BBox", 0.6, 4), ("Equalize", 0.8, 10)),
    (("TranslateY_Only_BBoxes", 0.2, 2), ("Cutout", 0.8, 8)),
    (("Sharpness", 0.0, 8), ("ShearX_BBox", 0.4, 0)),
    (("ShearY_BBox", 1.0, 2), ("TranslateY_Only_BBoxes", 0.6, 6)),
    (("Rotate_BBox", 0.6, 10), ("Color", 1.0, 6)),
)
POLICIES: dict[str, tuple[SubPolicy, ...]] = {
    "v0": _V0,
    "v1": (
        *_V0,
        (("Color", 0.0, 0), ("ShearX_Only_BBoxes", 0.8, 4)),
        (("ShearY_Only_BBoxes", 0.8, 2), ("Flip_Only_BBoxes", 0.0, 10)),
        (("Equalize", 0.6, 10), ("TranslateX_BBox", 0.2, 2)),
        (("Color", 1.0, 10), ("TranslateY_Only_BBoxes", 0.4, 6)),
        (("Rotate_BBox", 0.8, 10), ("Contrast", 0.0, 10)),
        (("Cutout", 0.2, 2), ("Brightness", 0.8, 10)),
        (("Color", 1.0, 6), ("Equalize", 1.0, 2)),
        (("Cutout_Only_BBoxes", 0.4, 6), ("TranslateY_Only_BBoxes", 0.8, 2)),
        (("Color", 0.2, 8), ("Rotate_BBox", 0.8, 10)),
        (("Sharpness", 0.4, 4), ("TranslateY_Only_BBoxes", 0.0, 4)),
        (("Sharpness", 1.0, 4), ("SolarizeAdd", 0.4, 4)),
        (("Rotate_BBox", 1.0, 8), ("Sharpness", 0.2, 8)),
        (("ShearY_BBox", 0.6, 10), ("Equalize_Only_BBoxes", 0.6, 8)),
        (("ShearX_BBox", 0.2, 6), ("TranslateY_Only_BBoxes", 0.2, 10)),
        (("SolarizeAdd", 0.6, 8), ("Brightness", 0.8, 10)),
    ),
    "v2": (
        (("Color", 0.0, 6), ("Cutout", 0.6, 8), ("Sharpness", 0.4, 8)),
        (("Rotate_BBox", 0.4, 8), ("Sharpness", 0.4, 2), ("Rotate_BBox", 0.8, 10)),
        (("TranslateY_BBox", 1.0, 8), ("AutoContrast", 0.8, 2)),
        (("AutoContrast", 0.4, 6), ("ShearX_BBox", 0.8, 8), ("Brightness", 0.0, 10)),
        (("SolarizeAdd", 0.2, 6), ("Contrast", 0.0, 10), ("AutoContrast", 0.6, 0)),
        (("Cutout", 0.2, 0), ("Solarize", 0.8, 8), ("Color", 1.0, 4)),
        (("TranslateY_BBox", 0.0, 4), ("Equalize", 0.6, 8), ("Solarize", 0.0, 10)),
        (("TranslateY_BBox", 0.2, 2), ("ShearY_BBox", 0.8, 8), ("Rotate_BBox", 0.8, 8)),
        (("Cutout", 0.8, 8), ("Brightness", 0.8, 8), ("Cutout", 0.2, 2)),
        (("Color", 0.8, 4), ("TranslateY_BBox", 1.0, 6), ("Rotate_BBox", 0.6, 6)),
        (("Rotate_BBox", 0.6, 10), ("BBox_Cutout", 1.0, 4), ("Cutout", 0.2, 8)),
        (("Rotate_BBox", 0.0, 0), ("Equalize", 0.6, 6), ("ShearY_BBox", 0.6, 8)),
        (("Brightness", 0.8, 8), ("AutoContrast", 0.4, 2), ("Brightness", 0.2, 2)),
        (("TranslateY_BBox", 0.4, 8), ("Solarize", 0.4, 6), ("SolarizeAdd", 0.2, 10)),
        (("Contrast", 1.0, 10), ("SolarizeAdd", 0.2, 8), ("Equalize", 0.2, 4)),
    ),
    "v3": (
        (("Posterize", 0.8, 2), ("TranslateX_BBox", 1.0, 8)),
        (("BBox_Cutout", 0.2, 10), ("Sharpness", 1.0, 8)),
        (("Rotate_BBox", 0.6, 8), ("Rotate_BBox", 0.8, 10)),
        (("Equalize", 0.8, 10), ("AutoContrast", 0.2, 10)),
        (("SolarizeAdd", 0.2, 2), ("TranslateY_BBox", 0.2, 8)),
        (("Sharpness", 0.0, 2), ("Color", 0.4, 8)),
        (("Equalize", 1.0, 8), ("TranslateY_BBox", 1.0, 8)),
        (("Posterize", 0.6, 2), ("Rotate_BBox", 0.0, 10)),
        (("AutoContrast", 0.6, 0), ("Rotate_BBox", 1.0, 6)),
        (("Equalize", 0.0, 4), ("Cutout", 0.8, 10)),
        (("Brightness", 1.0, 2), ("TranslateY_BBox", 1.0, 6)),
        (("Contrast", 0.0, 2), ("ShearY_BBox", 0.8, 0)),
        (("AutoContrast", 0.8, 10), ("Contrast", 0.2, 10)),
        (("Rotate_BBox", 1.0, 10), ("Cutout", 1.0, 10)),
        (("SolarizeAdd", 0.8, 6), ("Equalize", 0.8, 8)),
    ),
    "test": ((("TranslateX_BBox", 1.0, 4), ("Equalize", 1.0, 10)),),
}


def autoaugment_image(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, policy_name: str
) -> tuple[tf.Tensor, GroundTruth]:
    """Applies one of the policy's sub-policies, all with equal chances.

    Boxes move with the image; those that leave it are left out, where the API kept slivers of them at its edge.
    `Contrast` is Model Garden's; the API's blended large images with white, by a slip.

    Args:
        image: uint8, or float32 and then rounded down to whole numbers, [H, W, 3], 0..255.
        ground_truth: N objects.
        seed: As in `randomness`.
        policy_name: `v0`, the paper's, to `v3`, or `test`.
    """
    # Brings in much of Model Garden, which a run without this augmentation need not wait for.
    from train.inputs.augmentations.policy_operations import Objects, make_operation

    choice_seed, operations_seed = split(seed, 2)

    def apply(sub_policy: SubPolicy) -> tuple[tf.Tensor, Objects]:
        changed, objects = tf.saturate_cast(image, tf.uint8), Objects(boxes, tf.range(tf.shape(boxes)[0]))
        for number, (name, probability, magnitude) in enumerate(sub_policy):
            if probability > 0.0:  # what never happens need not be in the graph
                operation = make_operation(name, probability, magnitude)
                changed, objects = operation(changed, objects, tf.random.fold_in(operations_seed, number))
        return tf.cast(changed, image.dtype), objects

    boxes = ground_truth[BOXES]
    policy = POLICIES[policy_name]
    image_out, objects = tf.switch_case(
        uniform_integer(choice_seed, 0, len(policy)), [lambda chosen=sub_policy: apply(chosen) for sub_policy in policy]
    )
    image_out.set_shape([None, None, 3])
    left = {name: tf.gather(values, objects.numbers) for name, values in ground_truth.items()}
    return image_out, with_boxes(left, tf.ensure_shape(objects.boxes, [None, 4]))


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "autoaugment_image": Augmentation(autoaugment_image, needs_float=False),
}
