"""Records that cannot be read are named by their file and number, whatever reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")

from configs.settings.pipeline import PipelineSettings  # noqa: E402
from data_prep.formats import tf_example  # noqa: E402
from data_prep.formats.example_proto import example_class  # noqa: E402
from data_prep.records.record_files import RecordWriter, read_record_file  # noqa: E402
from data_prep.runtime.command_line import UserError  # noqa: E402
from export.parity_images import images_of_records, read_record_images  # noqa: E402
from tests.train.inputs.training_records import Records, batches, example  # noqa: E402
from tests.train.loop.one_box import Run  # noqa: E402
from train.evaluation.evaluator import CheckpointEvaluator  # noqa: E402
from train.inputs.examples import read_evaluation_examples, read_training_examples  # noqa: E402
from train.inputs.record_errors import explained_records  # noqa: E402

ONCE = "train_input_reader { num_epochs: 1 }"
BAD = 3  # the number of the record in the second file


def settings(folder: Path, *more: str) -> PipelineSettings:
    path = f"tf_record_input_reader {{ input_path: '{folder}/data.record-*' }}"
    return Records(folder).settings(f"eval_input_reader {{ {path} }}", ONCE, *more)


def with_features(edit: Callable[[dict], object]) -> bytes:
    message = example_class().FromString(example("odd"))
    edit(message.features.feature)
    return bytes(message.SerializeToString())


def write(folder: Path, bad: bytes) -> str:
    """Writes two files with one bad record; returns its place in words."""
    Records(folder).write(4, 6)
    path = folder / "data.record-00001-of-00002"
    records = list(read_record_file(str(path)))
    records[BAD] = bad
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return f"{path}, record {BAD}"


def damage(folder: Path, how: str) -> str:
    where = write(folder, example("odd"))
    path = folder / "data.record-00001-of-00002"
    whole = bytearray(path.read_bytes())
    start = sum(16 + len(record) for record in list(read_record_file(str(path)))[:BAD])
    if how == "cut":
        path.write_bytes(whole[: start + 40])
    else:
        whole[start + {"length": 2, "data": 60}[how]] ^= 0xFF
        path.write_bytes(whole)
    return where


READERS: dict[str, Callable[[Path], object]] = {
    "training": lambda folder: explained(settings(folder)),
    "class-aware sampling": lambda folder: batches(settings(folder, "extensions { class_aware_sampling { } }")),
    "cache in memory": lambda folder: batches(settings(folder, "extensions { cache { } }")),
    "resumed": lambda folder: batches(settings(folder, "train_input_reader { num_epochs: 9 }"), resume_step=3, count=1),
    "training inputs shown": lambda folder: list(read_training_examples(settings(folder), 99, seed=1)),
    "evaluation inputs shown": lambda folder: list(read_evaluation_examples(settings(folder), 99)),
    "images for parity": lambda folder: images_of_records(settings(folder).eval_input_reader[:1]),
    "records for tflite": lambda folder: read_record_images(f"{folder}/data.record-*", 99, flag="--check_records"),
}


def explained(of: PipelineSettings) -> None:
    with explained_records(of.train_input_reader):
        batches(of)


# What reads, and how the file is damaged; each reader is met by one kind, and training by all.
DAMAGES = [
    *(("training", how) for how in ("data", "length", "cut")),
    ("class-aware sampling", "data"),
    ("cache in memory", "data"),
    ("cache in memory", "cut"),
    ("resumed", "length"),
    ("training inputs shown", "cut"),
    ("evaluation inputs shown", "data"),
    ("images for parity", "data"),
    ("records for tflite", "length"),
]


@pytest.mark.parametrize(("reader", "how"), DAMAGES)
def test_a_damaged_file_is_named_with_the_number_of_its_record(tmp_path: Path, reader: str, how: str) -> None:
    where = damage(tmp_path, how)
    if reader == "images for parity":
        (tmp_path / "data.record-00000-of-00002").write_bytes(b"")  # of which it reads the first few
    with pytest.raises(UserError) as caught:
        READERS[reader](tmp_path)
    sentence = str(caught.value)
    assert f"{where}: " in sentence
    assert {"data": "checksum of its data", "length": "checksum of its length", "cut": "truncated"}[how] in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b"\xff\xff\x01 no example", "not a tf.train.Example"),
        (
            with_features(lambda features: features[tf_example.CLASS_LABEL].float_list.value.append(1.0)),
            "wrong type: image/object/class/label is a float_list",
        ),
        (
            with_features(lambda features: features[tf_example.IMAGE_FILENAME].bytes_list.value.append(b"b")),
            "not one value: image/filename has 2 values",
        ),
    ],
)
@pytest.mark.parametrize("reader", ["training", "class-aware sampling", "training inputs shown"])
def test_a_record_that_cannot_be_parsed_is_named(tmp_path: Path, bad: bytes, problem: str, reader: str) -> None:
    where = write(tmp_path, bad)
    if reader == "class-aware sampling" and "filename" in problem:
        pytest.skip("reads the classes alone")
    with pytest.raises(UserError, match="a record cannot be read") as caught:
        READERS[reader](tmp_path)
    assert f"({where}: {problem}" in str(caught.value)
    assert "repair_tfrecords" in str(caught.value)


def test_a_record_without_any_name_is_named_by_its_place(tmp_path: Path) -> None:
    def edit(features: dict) -> None:
        for key in (tf_example.IMAGE_SOURCE_ID, tf_example.IMAGE_FILENAME, tf_example.IMAGE_SHA256):
            features.pop(key)
        features[tf_example.IMAGE_ENCODED].bytes_list.value[:] = [b"no image"]

    where = write(tmp_path, with_features(edit))
    with pytest.raises(UserError, match=r"image 'record \d+': its encoded image does not decode") as caught:
        explained(settings(tmp_path))
    assert f"({where}: image does not decode" in str(caught.value)


def test_what_is_no_ones_fault_is_left_as_it_is(tmp_path: Path) -> None:
    Records(tmp_path).write(4)
    of = settings(tmp_path)
    with explained_records(of.train_input_reader, None):
        batches(of)
    with pytest.raises(tf.errors.InvalidArgumentError), explained_records(of.train_input_reader):
        tf.reshape(tf.zeros([3]), [2, 2])
    with pytest.raises(UserError, match="was damaged when it was read"), explained_records(of.train_input_reader):
        raise tf.errors.DataLossError(None, None, "corrupted record at 12")


def test_a_run_and_an_evaluation_name_the_damaged_file(block_config, block_records: Path, tmp_path: Path) -> None:
    places = {}
    for name in ("train", "validation"):
        whole = bytearray((block_records / f"{name}.record-00000-of-00001").read_bytes())
        num_records = sum(1 for _ in read_record_file(str(block_records / f"{name}.record-00000-of-00001")))
        whole[-9] ^= 0xFF  # of the last record's data
        path = tmp_path / f"{name}.record-00000-of-00001"
        path.write_bytes(whole)
        places[name] = f"{path}, record {num_records - 1}: corrupted record"
    text = block_config("ssd").read_text()

    def config(name: str) -> Path:
        path = tmp_path / f"{name}.config"
        of_name = f"{block_records}/{name}.record-*"
        path.write_text(text.replace(of_name, f"{tmp_path}/{name}.record-*"))
        return path

    with pytest.raises(UserError) as caught:
        Run(config("train"), tmp_path / "run").run.to_the_end()
    assert places["train"] in str(caught.value)
    run = Run(config("validation"), tmp_path / "other")
    with pytest.raises(UserError) as caught:
        CheckpointEvaluator(run.pipeline, run.detector).evaluate()
    assert places["validation"] in str(caught.value)
