"""Mixing in the training input: what a run that goes on sees, and when mixing ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.train.inputs.training_records import Records, assert_equal, batches, example, ids
from train.inputs.reader import build_training_dataset

MIXING = """extensions { mixing {
  mosaic { probability: 0.6 } mixup { probability: 0.5 } copy_paste { probability: 0.5 object_probability: 1 }
} }"""
ALL_MOSAICS = "extensions { mixing { mosaic { probability: 1 min_box_share: 0 } } }"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


@pytest.mark.parametrize("more", ["", "extensions { class_aware_sampling { } }"])
def test_a_run_that_goes_on_sees_the_mixtures_that_were_to_come(records: Records, more: str) -> None:
    records.write(4, 6, labels=(1, 1, 2))
    settings = records.settings(MIXING, more)
    unbroken = batches(settings, 13)
    assert ids(unbroken) == ids(batches(records.settings(more), 13))
    for step in (1, 8):
        assert_equal(batches(settings, 13 - step, resume_step=step), unbroken[step:])


def test_workers_get_the_rows_of_one_devices_mixtures(records: Records) -> None:
    records.write(7, 6)
    settings = records.settings("train_config { batch_size: 6 }", MIXING)
    contexts = [tf.distribute.InputContext(2, index, num_replicas_in_sync=2) for index in range(2)]
    parts = [batches(settings, 3, input_context=context) for context in contexts]
    for step, expected in enumerate(batches(settings, 3)):
        rows = [part[step] for part in parts]
        assert_equal([{name: np.concatenate([row[name] for row in rows]) for name in rows[0]}], [expected])


def test_mixing_ends_before_the_last_steps(records: Records) -> None:
    records.write(8)
    more = "train_config { batch_size: 4 num_steps: 5 }"
    whole = batches(records.settings(more), 5)
    settings = records.settings(more, ALL_MOSAICS, "extensions { mixing { off_for_last_n_steps: 2 } }")
    for count, given in ((3, {}), (1, {"num_steps": 3})):
        mixed = batches(settings, 5, **given)
        for one, other in zip(mixed[:count], whole[:count], strict=True):
            assert not np.array_equal(one["images"], other["images"])
        assert_equal(mixed[count:], whole[count:])


def test_a_mosaic_has_the_objects_of_four_records_and_boxes_beyond_the_maximum_are_counted(records: Records) -> None:
    records.write(8)
    more = ALL_MOSAICS, "train_config { batch_size: 4 }"
    numbers = [batch["num_groundtruth_boxes"] for batch in batches(records.settings(*more), 8)]
    assert np.max(numbers) > 2
    cut = batches(records.settings(*more, "train_input_reader { max_number_of_boxes: 2 }"), 8)
    for batch, number in zip(cut, numbers, strict=True):
        np.testing.assert_array_equal(batch["num_groundtruth_boxes"] + batch["num_groundtruth_boxes_cut"], number)
        assert batch["groundtruth_boxes"].shape == (4, 2, 4)


def test_images_of_their_own_sizes_are_mixed_and_a_last_group_of_fewer_is_not(records: Records) -> None:
    records.write(6)
    resizer = "model { ssd { image_resizer { keep_aspect_ratio_resizer { min_dimension: 16 max_dimension: 20 } } } }"
    more = resizer, "train_input_reader { num_epochs: 1 drop_remainder: false }"
    mixed, whole = batches(records.settings(*more, ALL_MOSAICS)), batches(records.settings(*more))
    assert [len(batch["images"]) for batch in mixed] == [3, 3]
    for name in ("images", "source_id", "groundtruth_boxes"):
        np.testing.assert_array_equal(mixed[1][name][1:], whole[1][name][1:])
    assert not np.array_equal(mixed[0]["images"], whole[0]["images"])


def test_groups_that_are_left_out_are_not_decoded(records: Records) -> None:
    records.write(8)
    path = records.folder / "data.record-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(8):
            writer.write(example(str(number), encoded=b"no image" if number < 4 else None))
    settings = records.settings(MIXING, "train_input_reader { shuffle: false }")
    with pytest.raises(tf.errors.InvalidArgumentError, match="its encoded image does not decode"):
        next(iter(build_training_dataset(settings, batch_size=5, seed=1)))
    assert ids(batches(settings, 2, batch_size=2, resume_step=2)) == list("4567")
