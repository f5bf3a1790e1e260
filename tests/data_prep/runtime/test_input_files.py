from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from data_prep.runtime import input_files
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.input_files import open_input, open_regular, read_text


def fifo(folder: Path) -> Path:
    path = folder / "pipe"
    os.mkfifo(path)
    return path


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = fifo(tmp_path)
    writer = threading.Thread(target=path.write_bytes, args=(b"x" * 1_000_000,))
    writer.start()
    with open_input(path) as file:
        assert len(file.read()) == 1_000_000
    writer.join()


def test_a_writer_may_take_its_time_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "SECONDS_FOR_A_WRITER", 0.3)
    path = fifo(tmp_path)

    def write() -> None:
        with path.open("wb") as file:
            time.sleep(0.8)
            file.write(b"late")

    writer = threading.Thread(target=write)
    writer.start()
    with open_input(path) as file:
        assert file.read() == b"late"
    writer.join()


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "SECONDS_FOR_A_WRITER", 0.2)
    path = fifo(tmp_path)
    threads = threading.active_count()
    with pytest.raises(OSError, match=r"a pipe to which nobody has begun to write in 0\.2 seconds"):
        open_input(path)
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == threads


def test_readers_that_go_back_want_a_regular_file(tmp_path: Path) -> None:
    for path in (fifo(tmp_path), Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"x")
    for opened in (open_regular(tmp_path / "file"), open_input(tmp_path / "file")):
        with opened as file:
            assert file.read() == b"x"


def test_a_text_is_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xef\xbb\xbfa\nb")
    assert read_text(path, "list of ids", max_bytes=6) == "a\nb"
    with pytest.raises(UsageError, match=r"^list of ids .*ids\.txt: larger than 0 MiB, so not a list of ids$"):
        read_text(path, "list of ids", max_bytes=5)
    path.write_bytes(b"a\n\xff")
    with pytest.raises(UsageError, match=r"ids\.txt:2: not UTF-8 text \(byte 2\); save the list of ids as UTF-8$"):
        read_text(path, "list of ids", max_bytes=6)
    with pytest.raises(UsageError, match=r"^list of ids .*gone\.txt: No such file"):
        read_text(tmp_path / "gone.txt", "list of ids", max_bytes=6)
