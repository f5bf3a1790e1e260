from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    fraction,
    int_between,
    int_from_zero,
    number_above_zero,
    positive_int,
    printable,
)

ROOT = Path(__file__).parents[3]


def make_parser():
    parser = ArgumentParser(
        description="Counts things.\n\nSecond paragraph.", example="  python -m count --max_count 3"
    )
    parser.add_argument("--input_path", required=True, help="what to count")
    parser.add_argument("--max_count", type=positive_int, default=5, help="how many")
    parser.add_argument("--min_score", type=fraction, help="how sure")
    parser.add_argument("--first", type=int_from_zero, help="which")
    parser.add_argument("--scale", type=number_above_zero, help="how large")
    parser.add_argument("--side", type=int_between(32, 64, "number of pixels"), help="how long")
    parser.add_argument("files", nargs="*", help="more")
    return parser


def test_dashes_and_underscores_are_one_in_flags_and_two_in_values():
    parser = make_parser()
    for words in (
        ["--input-path", "my-file", "--max-count=7", "a-b"],
        ["--input_path=my-file", "--max_count", "7", "a-b"],
    ):
        flags = parser.parse_args(words)
        assert (flags.input_path, flags.max_count, flags.files) == ("my-file", 7, ["a-b"])
    assert parser.parse_args(["--input-path=a--b-c"]).input_path == "a--b-c"


def test_numbers_in_their_bounds_are_read():
    flags = make_parser().parse_args(
        ["--input_path", "x", "--first", "0", "--scale", "0.5", "--side", "64", "--min_score", "1", "--max_count", "1"]
    )
    assert (flags.first, flags.scale, flags.side, flags.min_score, flags.max_count) == (0, 0.5, 64, 1.0, 1)


def test_the_process_own_words_are_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["count", "--input-path", "x"])
    assert make_parser().parse_args().input_path == "x"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--input_path"),
        (["--input_path", "x", "--max_count", "0"], "0 is not a whole number from 1"),
        (["--input_path", "x", "--max_count", "two"], "'two'"),
        (["--input_path", "x", "--min_score", "1.5"], "1.5 is not a number from 0 to 1"),
        (["--input_path", "x", "--min_score", "nan"], "nan is not a number from 0 to 1"),
        (["--input_path", "x", "--first", "-1"], "-1 is not a whole number from 0"),
        (["--input_path", "x", "--scale", "0"], "0 is not a number above 0"),
        (["--input_path", "x", "--scale", "inf"], "inf is not a number above 0"),
        (["--input_path", "x", "--side", "65"], "65 is not a number of pixels from 32 to 64"),
        (["--input_path", "x", "--side", "31"], "31 is not a number of pixels from 32 to 64"),
        (["--input_path", "x", "--side", "wide"], "number of pixels value: 'wide'"),
        (["--input_path", "x", "--max", "3"], "--max"),
        (["--input_path", "x", "--what-is-this"], "--what_is_this"),
    ],
)
def test_bad_flags_end_in_one_line_and_code_2(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(words)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error
    assert "--help shows an example" in error
    assert error.count("\n") == 1


def test_help_shows_the_example_and_every_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(["--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "example:\n  python -m count --max_count 3" in text
    assert "Counts things.\n\nSecond paragraph." in text
    assert "how many (default: 5)" in text
    assert "None" not in text


def test_exit_codes_and_one_line_for_what_a_person_can_mend(run):
    def failing_with(error):
        def main(argv):
            raise error

        return main

    assert run(lambda argv: 0).code == 0
    assert run(lambda argv: 3).code == 3
    outcome = run(failing_with(UserError("image 5 is torn")))
    assert (outcome.code, outcome.error) == (1, "error: image 5 is torn\n")
    outcome = run(failing_with(UsageError("no such class")))
    assert (outcome.code, outcome.error) == (2, "error: no such class\n")
    outcome = run(failing_with(KeyboardInterrupt()))
    assert outcome.code == 130
    assert outcome.error.startswith("interrupted")
    assert run(len, "a", "b").code == 2


def test_our_own_mistakes_keep_their_traceback(run):
    def main(argv):
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        run(main)


def test_a_closed_pipe_is_no_failure():
    program = (
        "from data_prep.runtime.command_line import run_command\n"
        "def main(argv):\n    for number in range(100000):\n        print(number)\n    return 0\n"
        "run_command(main)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    with process:
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(("text", "code"), [("all of it", 4), ("x" * 10_000, 0)])
def test_who_leaves_at_once_has_said_all_and_keeps_the_code(text, code):
    program = f"""
import sys
from data_prep.runtime.command_line import run_command
def main(words):
    sys.stdout.write({text!r} * 100)
    print("and this", file=sys.stderr, end="")
    return {code}
run_command(main, leaves_at_once=True)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (text * 100, "and this", code)


@pytest.mark.parametrize("leaves_at_once", [False, True])
def test_a_pipe_that_closes_before_anything_was_said_is_no_failure(leaves_at_once):
    program = f"""
import sys
from data_prep.runtime.command_line import run_command
def main(words):
    sys.stdin.read()
    print("nobody reads this")
    return 0
run_command(main, leaves_at_once={leaves_at_once})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_output_that_a_full_disk_does_not_take_is_one_line():
    program = "from data_prep.runtime.command_line import run_command\nrun_command(lambda words: print('found') or 0)"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], check=False, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.stderr == "error: standard output: No space left on device\n"
    assert done.returncode == 1


def test_types_explain_themselves():
    assert positive_int("12") == 12
    assert fraction("0.25") == 0.25
    with pytest.raises(argparse.ArgumentTypeError, match="-1 is not a whole number from 1"):
        positive_int("-1")


def test_what_moves_the_cursor_is_shown_escaped():
    assert printable("a\x1b[2J\r\nbé\u202e") == "a\\x1b[2J\\r\\nbé\\u202e"
    assert printable("x" * 1000) == "x" * 1000
    assert len(printable("\n" * 1000, 80)) == 80
