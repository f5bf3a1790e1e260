from __future__ import annotations

import random

import numpy as np
import polars as pl

from data_prep.metadata.image_choice import choose_images


def choose(boxes, most, seed=0):
    """Returns the ids chosen from pairs of image id and label."""
    ids, labels = sorted({image for image, _ in boxes}), sorted({label for _, label in boxes})
    chosen = choose_images(
        np.array([ids.index(image) for image, _ in boxes], np.uint32),
        np.array([labels.index(label) for _, label in boxes], np.uint32),
        pl.Series(ids),
        pl.Series(labels),
        max_images_per_class=most,
        seed=seed,
    )
    return {image for image, is_chosen in zip(ids, chosen, strict=True) if is_chosen}


def with_label(boxes, label, images):
    return {image for image, its_label in boxes if its_label == label and image in images}


def random_boxes(seed=0):
    generator = random.Random(seed)
    labels = [f"/m/{number}" for number in range(8)]
    weights = [1.0 / (1 + number) ** 2 for number in range(8)]
    return [(f"image{generator.randrange(200)}", generator.choices(labels, weights)[0]) for _ in range(800)]


def test_each_class_has_its_number_or_all_it_has():
    boxes = random_boxes()
    everything = {image for image, _ in boxes}
    chosen = choose(boxes, 12)
    for label in {label for _, label in boxes}:
        assert len(with_label(boxes, label, chosen)) >= min(12, len(with_label(boxes, label, everything)))
    assert len(chosen) < len(everything) / 2
    assert choose(boxes, 10_000) == everything


def test_an_image_drawn_for_a_rare_class_counts_for_a_common_one():
    boxes = [("both1", "rare"), ("both2", "rare")] + [(image, "common") for image in ("both1", "both2", "c", "d", "e")]
    for seed in range(10):
        assert choose(boxes, 2, seed) == {"both1", "both2"}
        chosen = choose(boxes, 3, seed)
        assert {"both1", "both2"} < chosen
        assert len(chosen) == 3


def test_one_class_alone_has_exactly_its_number():
    boxes = [(f"image{number}", "/m/1") for number in range(100) for _ in range(3)]
    assert len(choose(boxes, 7)) == 7


def test_the_seed_decides_and_neither_order_nor_images_that_join():
    boxes = random_boxes()
    shuffled = random.Random(1).sample(boxes, len(boxes))
    assert choose(boxes, 5) == choose(shuffled, 5)
    assert choose(boxes, 5) != choose(boxes, 5, seed=1)
    alone = [(f"image{number}", "/m/1") for number in range(100)]
    more = alone + [(f"new{number}", "/m/1") for number in range(10)]
    assert len(choose(alone, 20) & choose(more, 20)) >= 15
    # The same on every machine and with every version of the libraries.
    assert choose(alone, 3) == EXPECTED


EXPECTED = {"image34", "image67", "image69"}
