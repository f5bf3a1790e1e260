"""Class-aware sampling: what is drawn from a long tail, and how often."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from data_prep.formats.label_map import LabelMap, LabelMapItem
from data_prep.formats.tf_example import make_example
from data_prep.runtime.command_line import UsageError
from train.inputs.class_aware_sampling import ClassSampler, count_classes
from train.inputs.class_labels import ClassLookup
from train.inputs.randomness import derived_seed

NUM_CLASSES = 4  # of which 3 is a gap in the label map


def record(name: str, classes: list[str]) -> bytes:
    return make_example(
        encoded_image=name.encode(),  # never decoded: only labels are scanned
        image_format="jpeg",
        source_id=name,
        height=8,
        width=8,
        boxes_ymin_xmin_ymax_xmax=[[0.1, 0.1, 0.9, 0.9]] * len(classes),
        class_labels=[1] * len(classes),
        class_texts=classes,
    )


def look_up() -> ClassLookup:
    items = (LabelMapItem(1, "bed"), LabelMapItem(2, "/m/2", "lamp"), LabelMapItem(4, "owl"))
    return ClassLookup(LabelMap(items), NUM_CLASSES)


def drawn(records: list[bytes], passes: int, max_repeats: int = 50, seed: int = 3) -> Counter[str]:
    dataset = tf.data.Dataset.from_tensor_slices(records)
    table = look_up()
    sampler = ClassSampler(count_classes(dataset, table, NUM_CLASSES, "train_input_reader"), table, max_repeats)
    found: Counter[str] = Counter()
    for number in range(passes):
        of_pass = [*sampler.apply(dataset, derived_seed(seed, number)).as_numpy_iterator()]
        assert len(of_pass) == sampler.length_of_pass(derived_seed(seed, number))
        found.update(
            tf.train.Example.FromString(one).features.feature["image/source_id"].bytes_list.value[0].decode()
            for one in of_pass
        )
    return found


def test_classes_of_a_long_tail_come_equally_often():
    records = [record(f"bed{i}", ["bed"]) for i in range(36)]
    records += [record(f"lamp{i}", ["lamp"]) for i in range(8)] + [record("owl0", ["owl", "owl"])]
    times = drawn(records, passes=20)
    by_class = Counter()
    for name, count in times.items():
        by_class[name.rstrip("0123456789")] += count
    # 45 records a pass, 15 of each class; 0.42 a bed (rounded at random), 1.9 a lamp, 15 of the owl exactly.
    assert by_class["owl"] == 15 * 20
    assert by_class["bed"] == pytest.approx(300, abs=45)
    assert by_class["lamp"] == pytest.approx(300, abs=15)
    assert all(times[f"bed{i}"] > 0 for i in range(36))


def test_records_of_several_classes_come_as_often_as_drawing_a_class_first_would():
    records = [record("a", ["bed", "lamp"]), record("b", ["bed"]), record("c", ["bed", "owl", "unheard of"])]
    records.append(record("d", []))
    # N = 4, C = 3; beds in 3 records, lamps and owls in 1.
    expected = {"a": 4 / 3 * (1 / 3 + 1), "b": 4 / 3 * (1 / 3), "c": 4 / 3 * (1 / 3 + 1)}
    passes = 400
    times = drawn(records, passes)
    assert set(times) == set(expected)
    for name, value in expected.items():
        assert times[name] / passes == pytest.approx(value, abs=4 * 0.5 / passes**0.5), name
    assert sum(expected.values()) == pytest.approx(4)


def test_the_same_seed_draws_the_same_and_no_pass_is_like_the_last():
    records = [record(f"bed{i}", ["bed"]) for i in range(30)] + [record("owl", ["owl"])]
    assert drawn(records, 1) == drawn(records, 1)
    assert drawn(records, 1) != drawn(records, 1, seed=4)
    assert drawn(records, 2) != Counter({name: 2 * count for name, count in drawn(records, 1).items()})


def test_repeats_have_a_limit():
    records = [record(f"bed{i}", ["bed"]) for i in range(39)] + [record("owl", ["owl"])]
    assert drawn(records, 1)["owl"] == 20
    assert drawn(records, 1, max_repeats=7)["owl"] == 7


def test_a_scan_says_what_it_found():
    records = [record("a", ["bed"]), record("b", ["bed", "lamp"]), record("c", []), record("d", ["unheard of"])]
    table = look_up()
    counts = count_classes(tf.data.Dataset.from_tensor_slices(records), table, NUM_CLASSES, "train_input_reader")
    np.testing.assert_array_equal(counts.records_by_class, [0, 2, 1, 0, 0])
    assert counts.summary({1: "bed", 2: "lamp"}, 50) == (
        "class-aware sampling over 4 records with 2 classes, from bed (2 records, each 1 times a pass) to "
        "lamp (1 records, each 2 times a pass); 2 records have no object and are never drawn"
    )
    with pytest.raises(UsageError, match="none of the 2 records of train_input_reader has an object of a class"):
        count_classes(tf.data.Dataset.from_tensor_slices(records[2:]), table, NUM_CLASSES, "train_input_reader")


def test_how_many_a_pass_has_is_known_in_whatever_order_its_records_come():
    names = ["bed"] * 17 + ["lamp"] * 5 + ["owl"] * 3
    records = [record(f"{name}{i}", [name, *(["owl"] if i % 7 == 0 else [])]) for i, name in enumerate(names)]
    table, generator = look_up(), np.random.default_rng(1)
    counts = count_classes(tf.data.Dataset.from_tensor_slices(records), table, NUM_CLASSES, "train_input_reader")
    for max_repeats in (1, 50):
        sampler = ClassSampler(counts, table, max_repeats)
        for number in range(6):
            seed = derived_seed(number, 0)
            order = generator.permutation(len(records))
            shuffled = tf.data.Dataset.from_tensor_slices([records[index] for index in order])
            assert len([*sampler.apply(shuffled, seed)]) == sampler.length_of_pass(seed)
