from __future__ import annotations

import argparse

import pytest

from data_prep.runtime.failure_limit import FailureLimit, Loss, failure_limit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", FailureLimit(number=0)),
        ("1000", FailureLimit(number=1000)),
        ("-1", FailureLimit(number=-1)),  # which nothing can meet
        ("5%", FailureLimit(percent=5.0)),
        ("0.5%", FailureLimit(percent=0.5)),
        (".5%", FailureLimit(percent=0.5)),
        ("0%", FailureLimit(percent=0.0)),
        ("100%", FailureLimit(percent=100.0)),
    ],
)
def test_a_number_or_a_share_is_read(text, limit):
    assert failure_limit(text) == limit


@pytest.mark.parametrize(
    "text", ["", "%", "5 %", "5%%", "101%", "-1%", "1_0", "1_0%", "\u0665%", "\u0665", "0.05", "five", "nan%", "1e2%"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="neither a whole number nor a share such as 5%"):
        failure_limit(text)


def test_a_number_holds_for_the_ledger_alone():
    assert FailureLimit(number=2).exit_code(2, [Loss("boxes", 9, 10)]) == 0
    assert FailureLimit(number=2).exit_code(3, []) == 3


def test_a_share_holds_for_each_thing_that_is_counted_and_says_which_was_lost(capsys):
    limit = FailureLimit(percent=5.0)
    assert limit.exit_code(5, [Loss("boxes", 5, 100), Loss("images", 0, 0)]) == 0
    assert capsys.readouterr().err == ""
    assert limit.exit_code(5, [Loss("boxes", 5, 100), Loss("images", 1, 19)]) == 3
    assert capsys.readouterr().err == "1 of 19 images were lost: more than --max_failures (5%)\n"


def test_of_a_number_and_a_share_the_smaller_holds():
    limit = FailureLimit(number=1000, percent=1.0)
    assert limit.exit_code(2, [Loss("boxes", 2, 100)]) == 3
    assert limit.exit_code(1, [Loss("boxes", 1, 100)]) == 0
    assert limit.exit_code(1001, [Loss("boxes", 1001, 10**6)]) == 3
    assert str(limit) == "1% or 1000, whichever is smaller"
