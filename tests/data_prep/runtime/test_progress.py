from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from data_prep.runtime import progress as progress_module
from data_prep.runtime.progress import progress

ROOT = Path(__file__).parents[3]


def test_off_a_terminal_a_short_step_says_nothing(capsys):
    assert list(progress(range(5), description="counting")) == [0, 1, 2, 3, 4]
    assert list(progress(iter("ab"), description="counting")) == ["a", "b"]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_off_a_terminal_a_long_step_says_how_far_it_is_every_so_often(capsys, monkeypatch):
    seconds = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(seconds)))
    assert len(list(progress([0] * 10, description="reading", unit="boxes"))) == 10
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["reading: 4/10 boxes, 0.2 boxes/s", "reading: 8/10 boxes, 0.2 boxes/s"]
    list(progress((number for number in range(4)), description="reading", unit="boxes"))
    assert capsys.readouterr().err == "reading: 4 boxes, 0.2 boxes/s\n"


def test_it_takes_items_only_as_they_are_asked_for():
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    steps = progress(items(), description="counting")
    assert [next(steps), next(steps)] == [0, 1]
    assert taken == [0, 1]


def test_an_error_in_the_items_comes_through():
    def items():
        yield 1
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        list(progress(items(), description="counting"))


def test_on_a_terminal_there_is_a_bar():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))  # a new one has no columns at all
    program = (
        "from data_prep.runtime.progress import progress\n"
        "print(sum(progress(range(4), description='adding', unit='box')))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=True
        )
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout == b"6\n"
    assert "adding: 100%" in shown
    assert "4/4" in shown
