"""Result files that do not fit: which is told, and the one before stays whole. A limit stands for the disk."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_prep.runtime.ledger import Ledger
from serving.client_library.detections import Box, Detection, ImageDetections
from serving.client_library.result_files import CocoFile, CsvFile, JsonLinesFile
from serving.folders.predictions_file import PREDICTIONS_NAME, PredictionsFile
from serving.folders.sorting import ImageSorter

MAX_FILE_BYTES = 20_000
BOX = Box(0.1, 0.1, 0.5, 0.5)
RESULTS = [ImageDetections(f"{number}.jpg", 100, 100, (Detection(1, "Bed", 0.9, BOX, BOX),)) for number in range(2_000)]


@pytest.fixture(autouse=True)
def no_file_is_longer() -> Iterator[None]:
    """The system refuses to write more than `MAX_FILE_BYTES` into one file, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", [JsonLinesFile, CsvFile, lambda path: CocoFile(path, None)])
def test_a_result_file_that_does_not_fit_is_named_and_the_earlier_one_stays(kind, tmp_path):
    path = tmp_path / "results"
    path.write_text("earlier")
    file = kind(path)
    with pytest.raises(OSError, match="too large") as error:
        for result in RESULTS:
            file.add(result)
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(path))
    file.close()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("results", "earlier")]


def test_predictions_are_named_and_those_that_fitted_are_kept(tmp_path):
    with pytest.raises(OSError, match="too large") as error, PredictionsFile(tmp_path, {"model": "a"}) as file:
        for result in RESULTS:
            file.add(result)
    assert error.value.filename == str(tmp_path / PREDICTIONS_NAME)
    with PredictionsFile(tmp_path, {"model": "a"}) as again:
        assert len(again.answered) > 10


def test_the_ledger_is_named(tmp_path):
    with pytest.raises(OSError, match="too large") as error, Ledger(tmp_path / "ledger.jsonl") as ledger:
        for result in RESULTS:
            ledger.reject(result.image, "torn")
    assert error.value.filename == str(tmp_path / "ledger.jsonl")


def test_a_copy_that_does_not_fit_is_named_and_not_what_was_copied(tmp_path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MAX_FILE_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    source = tmp_path / "photos"
    source.mkdir()
    (source / "0.jpg").write_bytes(bytes(2 * MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    sorter = ImageSorter(source, tmp_path / "sorted", {1: "Bed"}, min_score=0.5)
    with Ledger(None) as ledger, pytest.raises(OSError, match="too large") as error:
        sorter.sort(RESULTS[:1], ledger)
    assert error.value.filename == str(tmp_path / "sorted" / "Bed" / "0.jpg")


def test_an_error_of_another_kind_keeps_its_own_name(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as error, Ledger(tmp_path / "ledger.jsonl"):
        (tmp_path / "nowhere").read_text()
    assert error.value.filename == str(tmp_path / "nowhere")
