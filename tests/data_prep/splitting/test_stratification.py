from __future__ import annotations

import time

import numpy as np
import pytest

from data_prep.splitting.stratification import Groups, group_images, stratify


def random_images(
    random: np.random.Generator, num_images: int, num_classes: int, mean_classes: float = 2.5
) -> tuple[np.ndarray, np.ndarray]:
    """Images of classes as uneven as those of Open Images: pairs (image, class), sorted, each once."""
    weights = 1 / np.arange(1, num_classes + 1)
    images = np.repeat(np.arange(num_images), random.poisson(mean_classes, num_images))
    classes = random.choice(num_classes, len(images), p=weights / weights.sum())
    pairs = np.unique(images * num_classes + classes)
    return pairs // num_classes, pairs % num_classes


def counts_by_split(
    images: np.ndarray, classes: np.ndarray, split_of_image: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (split_of_image[images], classes), 1)
    return counts


def groups_with(groups: Groups, splits: np.ndarray, label: int) -> list[int]:
    """The splits of the groups that have a class."""
    group_of_pair = np.repeat(np.arange(len(groups.sizes)), np.diff(groups.starts))
    return splits[group_of_pair[groups.classes == label]].tolist()


@pytest.mark.parametrize("seed", range(4))
def test_a_tenth_has_every_class_in_its_proportion(seed: int) -> None:
    random = np.random.default_rng(seed)
    images, classes = random_images(random, 20_000, 200)
    groups = group_images(images, classes, np.arange(20_000), 200)
    splits = stratify(groups, (2_000, 18_000), required=(), seed=seed, strict_sizes=True)
    counts = counts_by_split(images, classes, splits, (2, 200))
    assert (splits == 0).sum() == 2_000
    expected = counts.sum(axis=0) * 0.1
    # Whole images: half an image is what rounding alone costs; a random draw is off by some sqrt(expected).
    assert np.abs(counts[0] - expected).max() <= 3
    assert np.abs(counts[0] - expected).mean() <= 0.6
    drawn = counts_by_split(images, classes, (random.permutation(20_000) >= 2_000).astype(np.int64), (2, 200))
    assert np.abs(counts[0] - expected).max() < 0.2 * np.abs(drawn[0] - expected).max()


def test_common_classes_do_not_drift_where_images_have_many_classes() -> None:
    # Seven classes an image: giving each to the split that lacks most of its rarest class is off by 0.8 points here.
    images, classes = random_images(np.random.default_rng(1), 10_000, 300, mean_classes=7)
    groups = group_images(images, classes, np.arange(10_000), 300)
    splits = stratify(groups, (1_000, 9_000), required=(), seed=0, strict_sizes=True)
    counts = counts_by_split(images, classes, splits, (2, 300))
    difference = np.abs(counts[0] / 1_000 - counts.sum(axis=0) / 10_000).max()
    assert difference < 0.002


@pytest.mark.parametrize("seed", range(6))
def test_three_splits_of_single_images_have_their_sizes_and_classes(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_images, num_classes = 3_000, 40
    images, classes = random_images(random, num_images, num_classes)
    groups = group_images(images, classes, np.arange(num_images), num_classes)
    sizes = (2_100, 450, 450)
    splits = stratify(groups, sizes, required=(0, 1, 2), seed=seed)
    counts = counts_by_split(images, classes, splits, (3, num_classes))
    assert np.abs(np.bincount(splits) - sizes).max() <= 2
    assert (counts[:, counts.sum(axis=0) >= 3] > 0).all()
    expected = counts.sum(axis=0) * np.array([[0.7], [0.15], [0.15]])
    assert np.abs(counts - expected).max() <= 3


@pytest.mark.parametrize("seed", range(30))
def test_groups_stay_whole_and_classes_come_into_every_required_split_where_one_move_can_bring_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_images, num_classes = int(random.integers(20, 400)), int(random.integers(2, 40))
    images, classes = random_images(random, num_images, num_classes, mean_classes=float(random.uniform(0.5, 3)))
    num_groups = int(random.integers(max(2, num_images // 6), num_images + 1))
    group_of_image = np.unique(random.integers(0, num_groups, num_images), return_inverse=True)[1].reshape(-1)
    groups = group_images(images, classes, group_of_image, num_classes)
    train = round(0.8 * num_images)
    splits = stratify(groups, (train, num_images - train), required=(0, 1), seed=seed)
    assert len(splits) == len(groups.sizes)  # one split a group: none is torn apart
    assert set(np.unique(splits)) <= {0, 1}
    members = [groups.classes[start:end] for start, end in zip(groups.starts[:-1], groups.starts[1:], strict=True)]
    present = np.array(
        [[groups_with(groups, splits, label).count(split) for label in range(num_classes)] for split in (0, 1)]
    )
    for label in range(num_classes):
        where = groups_with(groups, splits, label)
        if len(where) == 1:
            continue  # of one group only: it cannot be in both
        for missing in {0, 1} - set(where) if where else ():
            # No group that has the class can be moved there without taking another class's last group away.
            having = [group for group, labels in enumerate(members) if label in labels]
            assert all((present[1 - missing][members[group]] == 1).any() for group in having)


def test_classes_of_two_groups_are_in_train_and_validation() -> None:
    # 60 classes on two images each and nothing else, where a tenth would leave validation without most of them.
    images = np.arange(120)
    groups = group_images(images, images // 2, images, 60)
    splits = stratify(groups, (108, 12), required=(0, 1), seed=0)
    assert all(sorted(splits[2 * label : 2 * label + 2]) == [0, 1] for label in range(60))


def test_a_class_of_one_group_goes_to_train() -> None:
    images = np.arange(30)
    groups = group_images(images[:3], np.arange(3), images, 3)
    for seed in range(10):
        assert stratify(groups, (15, 15), required=(0, 1), seed=seed)[:3].tolist() == [0, 0, 0]


def test_strict_sizes_are_kept_even_when_classes_are_lost() -> None:
    images = np.arange(50)
    groups = group_images(images, images, images, 50)
    splits = stratify(groups, (5, 45), required=(0,), seed=0, strict_sizes=True)
    assert (splits == 0).sum() == 5


def test_large_groups_find_a_place_before_splits_are_full() -> None:
    # One author of 40 images, 60 of one each: the author fits into train alone.
    group_of_image = np.concatenate([np.zeros(40, np.int64), np.arange(1, 61)])
    images = np.arange(100)
    groups = group_images(images, images % 3, group_of_image, 3)
    for seed in range(5):
        splits = stratify(groups, (80, 20), required=(0, 1), seed=seed)
        assert splits[0] == 0
        assert np.bincount(splits[group_of_image]).tolist() == [80, 20]


def test_a_seed_gives_the_same_and_another_something_else() -> None:
    images, classes = random_images(np.random.default_rng(0), 500, 10)
    groups = group_images(images, classes, np.arange(500), 10)
    first, again, other = (stratify(groups, (250, 250), required=(0, 1), seed=seed) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_images_without_boxes_and_classes_without_images_are_no_trouble() -> None:
    none = np.zeros(0, np.int64)
    assert np.bincount(
        stratify(group_images(none, none, np.arange(10), 0), (7, 3), required=(0, 1), seed=0)
    ).tolist() == [7, 3]
    one = np.zeros(1, np.int64)
    assert np.bincount(
        stratify(group_images(one, one + 4, np.arange(10), 9), (7, 3), required=(0, 1), seed=0)
    ).tolist() == [7, 3]


def test_sizes_that_do_not_add_up_are_refused() -> None:
    none = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="cannot hold 10"):
        stratify(group_images(none, none, np.arange(10), 0), (7, 2), required=(0,), seed=0)


def test_time_grows_with_the_images_and_not_with_images_times_classes() -> None:
    def seconds(num_images: int, num_classes: int) -> float:
        images, classes = random_images(np.random.default_rng(0), num_images, num_classes)
        groups = group_images(images, classes, np.arange(num_images), num_classes)
        start = time.process_time()
        stratify(groups, (num_images // 10, num_images - num_images // 10), required=(), seed=0)
        return time.process_time() - start

    few, more_classes, more_images = seconds(10_000, 30), seconds(10_000, 600), seconds(40_000, 30)
    assert more_classes < 6 * few + 0.3
    assert more_images < 12 * few + 0.3
