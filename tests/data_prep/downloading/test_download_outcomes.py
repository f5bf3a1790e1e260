from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_prep.downloading.download_outcomes import DOWNLOADED, FAILED, PRESENT, Outcome, OutcomeLog
from data_prep.runtime.command_line import UsageError

GOOD = Outcome("a", DOWNLOADED, "http://example.org/a.jpg", 1000, 640, 480, 640)
BAD = Outcome("b", FAILED, "http://example.org/b.jpg", reason="HTTP 404", detail="gone\n\u00e9", permanent=True)
OLD = Outcome("c", PRESENT, num_bytes=7, width=1, height=1)


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "below" / "outcomes.jsonl"
    with OutcomeLog(path) as log:
        for outcome in (GOOD, BAD, OLD):
            log.add(outcome)
            assert log.get(outcome.image_id) == outcome
        assert log.get("d") is None
    with OutcomeLog(path) as log:
        assert [log.get(name) for name in "abc"] == [GOOD, BAD, OLD]
    assert path.read_bytes().isascii()
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_line_that_was_not_finished_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(GOOD.as_line() + BAD.as_line()[:-cut])
    with OutcomeLog(path) as log:
        assert log.get("a") == GOOD
        assert log.get("b") is None
        log.add(OLD)
        assert log.get("c") == OLD
    assert path.read_bytes() == GOOD.as_line() + OLD.as_line()


def test_the_last_line_of_an_id_holds_and_tidying_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    with OutcomeLog(path) as log:
        for outcome in (Outcome("a", FAILED, reason="timed out"), OLD, GOOD, BAD):
            log.add(outcome)
        assert log.get("a") == GOOD
        log.tidy(["b", "none", "a"])
        assert path.read_bytes() == BAD.as_line() + GOOD.as_line() + OLD.as_line()
        assert [log.get(name) for name in "abc"] == [GOOD, BAD, OLD]
        log.add(Outcome("d", FAILED, reason="timed out"))  # the log goes on in the new file
        assert log.get("d") == Outcome("d", FAILED, reason="timed out")
    with OutcomeLog(path) as log:
        assert [log.get(name) for name in "abc"] == [GOOD, BAD, OLD]
        assert log.get("d") is not None


def test_a_tidy_file_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(GOOD.as_line() + BAD.as_line())
    before = path.stat()
    with OutcomeLog(path) as log:
        log.tidy(["a", "b"])
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_long_detail_is_cut_and_a_long_line_read(tmp_path: Path) -> None:
    url = "http://example.org/" + "\u00e9" * 8000
    with OutcomeLog(tmp_path / "outcomes.jsonl") as log:
        log.add(Outcome("a", FAILED, url, reason="timed out", detail="x" * 10_000))
        log.add(GOOD)
        log.add(Outcome("b", FAILED, url))
        found = log.get("b")
        assert found is not None
        assert found.url == url
    first = json.loads((tmp_path / "outcomes.jsonl").read_text().splitlines()[0])
    assert len(first["detail"]) == 500


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    content = GOOD.as_line() + b'{"item": "a", "reason": "HTTP 404"}\n'
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"outcomes\.jsonl:2: no line of this command's"):
        OutcomeLog(path)
    assert path.read_bytes() == content
