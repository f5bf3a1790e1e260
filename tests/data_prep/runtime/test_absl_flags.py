"""Flags as absl writes them."""

from __future__ import annotations

import pytest

from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag


def parser() -> AbslArgumentParser:
    made = AbslArgumentParser(description="Tries flags.", example="  try --use_side_inputs")
    made.add_argument("--use_side_inputs", action=BooleanFlag, default=False)
    made.add_argument("--record_summaries", action=BooleanFlag, default=True)
    made.add_argument("--verbosity", "-v", type=int, default=0)
    return made


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], (False, True)),
        (["--use_side_inputs"], (True, True)),
        (["--use-side-inputs", "--norecord_summaries"], (True, False)),
        (["--norecord-summaries", "--use_side_inputs=t"], (True, False)),
        (["--use_side_inputs", "True", "--record_summaries", "False"], (True, False)),
        (["--use_side_inputs=false", "--record_summaries=0"], (False, False)),
        (["-use_side_inputs", "-record-summaries=F"], (True, False)),
        (["-norecord_summaries"], (False, False)),
        (["--use_side_inputs", "--nouse_side_inputs"], (False, True)),
    ],
)
def test_a_boolean_flag_is_written_in_absls_ways(words: list[str], expected: tuple[bool, bool]) -> None:
    arguments = parser().parse_args(words)
    assert (arguments.use_side_inputs, arguments.record_summaries) == expected


def test_a_flag_of_one_letter_keeps_its_one_dash() -> None:
    assert parser().parse_args(["-v", "-1"]).verbosity == -1
    assert parser().parse_args(["-v2"]).verbosity == 2
    assert parser().parse_args(["-verbosity=3"]).verbosity == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--use_side_inputs=perhaps"], "perhaps is neither true nor false"),
        (["--nouse_side_inputs=true"], "--nouse_side_inputs takes no value"),
        (["-unknown"], "unrecognized arguments: -unknown"),
    ],
)
def test_what_is_no_flag_or_no_boolean_is_told_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("flag", ["--help", "--helpfull", "--helpshort", "-?", "-help"])
def test_help_goes_by_absls_names_too(flag: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([flag])
    assert ended.value.code == 0
    assert "example:" in capsys.readouterr().out
