from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_prep.runtime.step_stamp import Step


@pytest.fixture
def step(tmp_path):
    """A step that was run and left its stamp."""
    for name in ("in.csv", "out.json", "more.json"):
        (tmp_path / name).write_text(name)
    made = make(tmp_path)
    made.write(made.inputs_now(), {"lines": ["done"]})
    return made


def make(folder: Path, name="step", **flags):
    return Step(name, {"seed": 0, **flags}, {"input": folder / "in.csv"}, (folder / "out.json", folder / "more.json"))


def later(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_a_step_over_unchanged_files_finds_its_notes(step, tmp_path):
    assert step.earlier_notes() == {"lines": ["done"]}
    assert make(tmp_path).earlier_notes() == {"lines": ["done"]}
    assert step.stamp_path == tmp_path / "out.stamp.json"


def test_other_flags_or_rules_run_it_again(step, tmp_path):
    assert make(tmp_path, seed=1).earlier_notes() is None
    assert make(tmp_path, name="step, rules 2").earlier_notes() is None


def test_an_input_copied_anew_is_no_news_but_another_content_is(step, tmp_path):
    path = tmp_path / "in.csv"
    later(path)
    assert step.earlier_notes() is not None
    path.write_text("IN.csv")  # as long
    later(path)
    assert step.earlier_notes() is None
    path.unlink()
    assert step.earlier_notes() is None


def test_an_output_that_was_touched_or_is_gone_runs_it_again(step, tmp_path):
    later(tmp_path / "more.json")
    assert step.earlier_notes() is None
    (tmp_path / "more.json").unlink()
    assert step.earlier_notes() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"step": 3}'])
def test_a_damaged_stamp_runs_it_again(step, content):
    step.stamp_path.write_bytes(content)
    assert step.earlier_notes() is None


def test_an_input_that_changes_while_it_is_read_runs_it_again(step, tmp_path):
    before = step.inputs_now()
    (tmp_path / "in.csv").write_text("longer than before")
    step.write(before, {})
    assert step.earlier_notes() is None


def test_a_pipe_leaves_no_stamp(tmp_path):
    (tmp_path / "out.json").write_text("")
    os.mkfifo(tmp_path / "in.csv")
    step = Step("step", {}, {"input": tmp_path / "in.csv"}, (tmp_path / "out.json",))
    step.write(step.inputs_now(), {})
    assert not step.stamp_path.exists()
