"""Several input pipelines: together they give what one gives, and nothing comes twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.settings.pipeline import PipelineSettings
from tests.train.inputs.training_records import Records, assert_equal, batches, ids
from train.inputs.reader import build_training_dataset


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def of_workers(settings: PipelineSettings, workers: int, replicas: int, steps: int, **more: Any) -> list[Any]:
    """Global batches, put together from those of each worker's replicas."""
    contexts = [tf.distribute.InputContext(workers, index, num_replicas_in_sync=replicas) for index in range(workers)]
    local = replicas // workers
    parts = [batches(settings, steps * local, input_context=context, **more) for context in contexts]
    assert {len(part) for part in parts} == {len(parts[0])}
    together = []
    for step in range(len(parts[0]) // local):
        rows = [batch for part in parts for batch in part[step * local : (step + 1) * local]]
        together.append({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
    return together


@pytest.mark.parametrize(("workers", "replicas"), [(1, 2), (2, 2), (3, 3), (2, 6)])
def test_with_a_seed_replicas_get_the_rows_of_one_devices_batches(
    records: Records, workers: int, replicas: int
) -> None:
    records.write(7, 6)
    settings = records.settings("train_config { batch_size: 6 }")
    one = batches(settings, 5)
    assert_equal(of_workers(settings, workers, replicas, 2, resume_step=3), one[3:])


@pytest.mark.parametrize("more", ["extensions { class_aware_sampling { } }", "train_input_reader { num_epochs: 2 }"])
def test_so_they_do_with_what_needs_all_records(records: Records, more: str) -> None:
    records.write(7, 6, labels=(1, 1, 2))
    settings = records.settings("train_config { batch_size: 6 }", more)
    assert_equal(of_workers(settings, 2, 6, 7, seed=None, drawn_seed=5), batches(settings, 7))


def test_without_a_seed_workers_divide_the_files(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    records.write(4, 4, 4)
    settings = records.settings("train_config { batch_size: 6 }")
    contexts = [tf.distribute.InputContext(3, index, num_replicas_in_sync=3) for index in range(3)]
    parts = [ids(batches(settings, 2, seed=None, input_context=context)) for context in contexts]
    assert Counter(name for part in parts for name in part) == Counter(f"data{number}" for number in range(12))
    assert [{int(name[4:]) // 4 for name in part} for part in parts] == [{0}, {1}, {2}]
    assert capsys.readouterr().out == "note: the files of records are divided among 3 workers\n"
    # Each goes on with its own.
    drawn = {"seed": None, "drawn_seed": 5}
    unbroken = batches(settings, 6, input_context=contexts[1], **drawn)
    assert_equal(batches(settings, 2, input_context=contexts[1], resume_step=4, **drawn), unbroken[4:])


def test_fewer_files_than_workers_are_said_and_rows_are_divided(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    records.write(6, 6)
    settings = records.settings("train_config { batch_size: 6 }")
    together = of_workers(settings, 3, 3, 2, seed=None, drawn_seed=8)
    assert Counter(ids(together)) == Counter(f"data{number}" for number in range(12))
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        "note: every worker reads all records and decodes its rows of each batch: there are 2 files for 3 workers"
    )


def test_mirrored_replicas_get_the_rows_of_one_devices_batches(records: Records) -> None:
    cpus = tf.config.list_logical_devices("CPU")
    records.write(7, 6)
    settings = records.settings("train_config { batch_size: 6 }")
    strategy = tf.distribute.MirroredStrategy([cpu.name for cpu in cpus])
    dataset = strategy.distribute_datasets_from_function(
        lambda context: build_training_dataset(settings, seed=5, input_context=context),
        tf.distribute.InputOptions(experimental_fetch_to_device=False),
    )
    one = batches(settings, 2)
    for expected, (images, _) in zip(one, dataset, strict=False):
        rows = np.concatenate([image.numpy() for image in strategy.experimental_local_results(images)])
        np.testing.assert_array_equal(rows, expected["images"])
