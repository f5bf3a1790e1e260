"""The order of training's records: what a run that goes on sees is what it would have seen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf

from data_prep.records.record_files import RecordWriter
from data_prep.runtime.command_line import UserError
from tests.train.inputs.training_records import Records, assert_equal, batches, example, ids


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


WAYS = {
    "shuffled": "",
    "a small buffer and many readers": "train_input_reader { shuffle_buffer_size: 3 read_block_length: 1 }",
    "in order": "train_input_reader { shuffle: false }",
    "class-aware": "extensions { class_aware_sampling { } }",
    "class-aware, with a limit": "extensions { class_aware_sampling { max_repeats: 1 } }",
    "one of two": "train_input_reader { sample_1_of_n_examples: 2 read_block_length: 1 }",
}


@pytest.mark.parametrize("more", WAYS.values(), ids=WAYS)
def test_a_run_that_goes_on_trains_on_the_batches_that_were_to_come(records: Records, more: str) -> None:
    records.write(4, 5, 1, labels=(1, 1, 2, 1, 1, 3))
    settings = records.settings(more)
    unbroken = batches(settings, 14)  # 42 of 10 records (or fewer) a pass
    assert len({batch["images"].tobytes() for batch in unbroken}) == 14
    for step in (1, 4, 10):
        assert_equal(batches(settings, 14 - step, resume_step=step), unbroken[step:])


def test_every_epoch_has_every_record_in_an_order_of_its_own(records: Records) -> None:
    records.write(4, 5, 1)
    seen = ids(batches(records.settings(), 10))
    epochs = [seen[start : start + 10] for start in (0, 10, 20)]
    assert all(sorted(epoch) == [f"data{number}" for number in range(10)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("process_seed", [0, 3])
def test_the_seed_of_the_process_makes_no_difference(records: Records, process_seed: int) -> None:
    records.write(4, 5, 1)
    expected = batches(records.settings(), 4)
    tf.random.set_seed(process_seed)
    before = tf.random.uniform([]).numpy()
    tf.random.set_seed(process_seed)
    assert_equal(batches(records.settings(), 4), expected)
    assert tf.random.uniform([]).numpy() == before  # and the input leaves it as it is


def test_a_record_is_augmented_in_another_way_each_time(records: Records) -> None:
    records.write(1)
    settings = records.settings("train_config { batch_size: 1 }")
    assert len({batch["images"].tobytes() for batch in batches(settings, 8)}) == 8


@pytest.mark.parametrize("more", ["", "train_input_reader { num_epochs: 3 }"])
def test_weighted_sets_of_records_go_on_each_where_it_was(records: Records, more: str) -> None:
    records.write(4, 3)
    records.write(5, name="other")
    weights = "train_input_reader { sample_from_datasets_weights: [1, 2] }"
    settings = records.settings(weights, more, names=("data", "other"))
    unbroken = batches(settings, 12)
    for step in (1, 9):
        assert_equal(batches(settings, 12 - step, resume_step=step), unbroken[step:])


def test_draws_from_weighted_sets_go_on_over_their_blocks(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.inputs.record_order._DRAWS_AT_A_TIME", 8)
    records.write(4, 3)
    records.write(5, name="other")
    settings = records.settings("train_input_reader { sample_from_datasets_weights: [3, 1] }", names=("data", "other"))
    unbroken = batches(settings, 40)
    drawn = Counter(name.startswith("data") for name in ids(unbroken))
    assert drawn[True] / 120 == pytest.approx(0.75, abs=0.12)
    for step in (8, 13):
        assert_equal(batches(settings, 40 - step, resume_step=step), unbroken[step:])


def test_several_input_paths_are_one_set(records: Records) -> None:
    records.write(4, 3)
    records.write(5, name="other")
    settings = records.settings(names=("data", "other"))
    unbroken = batches(settings, 9)
    assert len(set(ids(unbroken[:4]))) == 12
    for step in (4, 6):
        assert_equal(batches(settings, 9 - step, resume_step=step), unbroken[step:])


def test_the_end_that_num_epochs_sets_comes_where_it_would_have_come(records: Records) -> None:
    records.write(4, 5, 1)
    settings = records.settings("train_input_reader { num_epochs: 2 drop_remainder: false }")
    unbroken = batches(settings)
    assert [len(batch["images"]) for batch in unbroken] == [3, 3, 3, 3, 3, 3, 2]
    for step in (2, 6, 20):
        assert_equal(batches(settings, resume_step=step), unbroken[step:])


def test_no_record_that_is_left_out_is_decoded(records: Records) -> None:
    records.write(10)
    settings = records.settings("train_input_reader { shuffle: false }")
    with RecordWriter(records.folder / "data.record-00000-of-00001") as writer:
        for number in range(10):
            writer.write(example(str(number), encoded=b"no image" if number < 6 else None))
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not decode"):
        batches(settings, 1)
    # From the second epoch on, behind its records 0 to 5.
    assert ids(batches(settings, 1, resume_step=2)) == ["6", "7", "8"]
    settings = records.settings("train_input_reader { shuffle: false } train_config { batch_size: 4 }")
    assert ids(batches(settings, 1, resume_step=4)) == ["6", "7", "8", "9"]


@pytest.mark.parametrize("more", ["", "train_input_reader { num_epochs: 1 }", "extensions { cache { } }"])
def test_files_without_records_are_refused(records: Records, more: str) -> None:
    records.write(0, 0)
    with pytest.raises(UserError, match=r"^train_input_reader: no record in .*data\.record-00000-of-00002 nor in any"):
        batches(records.settings(more), 1)


def test_a_set_without_records_is_not_drawn_from(records: Records) -> None:
    records.write(3)
    records.write(0, name="other")
    weights = "train_input_reader { sample_from_datasets_weights: [1, 2] }"
    assert len(set(ids(batches(records.settings(weights, names=("data", "other")), 2)))) == 3


def test_a_broken_file_is_named_where_its_records_are_counted(records: Records) -> None:
    records.write(4)
    path = records.folder / "data.record-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"data\.record-00000-of-00001, record 3: truncated record"):
        batches(records.settings(), 1, resume_step=1)
