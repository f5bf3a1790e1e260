from __future__ import annotations

import json

import pytest

from data_prep.runtime.ledger import MAX_VALUE_LENGTH, Ledger


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_reject_is_a_line_and_a_count(tmp_path):
    path = tmp_path / "new" / "rejected.jsonl"
    with Ledger(path) as ledger:
        ledger.reject("a", "not found", "404")
        ledger.reject("b", "timed out")
        ledger.reject("é\n", "not found")
        assert not path.exists()
    assert read(path) == [
        {"item": "a", "reason": "not found", "detail": "404"},
        {"item": "b", "reason": "timed out", "detail": ""},
        {"item": "é\n", "reason": "not found", "detail": ""},
    ]
    assert (ledger.total, ledger.counts["not found"]) == (3, 2)
    assert ledger.summary() == f"3 rejected (2 not found, 1 timed out; see {path})"
    assert [file.name for file in path.parent.iterdir()] == ["rejected.jsonl"]


def test_a_note_is_a_line_and_no_count(tmp_path):
    path = tmp_path / "rejected.jsonl"
    with Ledger(path) as ledger:
        ledger.reject("a:1", "reversed box")
        ledger.note("a", "all its boxes were rejected", "1 box")
    assert [entry["item"] for entry in read(path)] == ["a:1", "a"]
    assert (ledger.total, ledger.exit_code(1)) == (1, 0)
    with Ledger(None) as ledger:
        ledger.note("a", "all its boxes were rejected")
    assert ledger.summary() == "0 rejected"


def test_it_is_written_even_when_the_work_fails(tmp_path):
    path = tmp_path / "rejected.jsonl"
    with pytest.raises(RuntimeError, match="stop"), Ledger(path) as ledger:
        ledger.reject("a", "torn")
        raise RuntimeError("stop")
    assert [entry["item"] for entry in read(path)] == ["a"]


def test_an_earlier_runs_ledger_is_replaced_or_removed(tmp_path):
    path = tmp_path / "rejected.jsonl"
    with Ledger(path) as ledger:
        ledger.reject("first", "torn")
    with Ledger(path) as ledger:
        ledger.reject("second", "torn")
        assert [entry["item"] for entry in read(path)] == ["first"]
    assert [entry["item"] for entry in read(path)] == ["second"]
    with Ledger(path) as ledger:
        pass
    assert not path.exists()
    assert ledger.summary() == "0 rejected"


def test_a_hostile_value_does_not_grow_it_without_bound(tmp_path):
    path = tmp_path / "rejected.jsonl"
    with Ledger(path) as ledger:
        ledger.reject("i" * 10**6, "long", "d" * 10**6)
    (entry,) = read(path)
    assert len(entry["item"]) == len(entry["detail"]) == MAX_VALUE_LENGTH


def test_a_password_in_a_url_is_not_written(tmp_path):
    path = tmp_path / "rejected.jsonl"
    with Ledger(path) as ledger:
        ledger.reject("http://user:secret@h/a.jpg", "unsafe image name", "'http://user:secret@h/a.jpg'")
    (entry,) = read(path)
    assert (entry["item"], entry["detail"]) == ("http://***@h/a.jpg", "'http://***@h/a.jpg'")


def test_without_a_path_it_only_counts():
    with Ledger(None) as ledger:
        ledger.reject("a", "torn")
    assert ledger.summary() == "1 rejected (1 torn)"


def test_exit_code_3_only_beyond_what_is_allowed():
    ledger = Ledger(None)
    assert ledger.exit_code(0) == 0
    ledger.reject("a", "torn")
    assert (ledger.exit_code(0), ledger.exit_code(1)) == (3, 0)
