"""A step's command is what a person could type."""

import shlex

from data_prep.preparing.command_step import CommandStep


def test_a_shell_takes_the_wrapped_command_as_the_words_themselves():
    words = [
        "--classes",
        "Bed",
        "Coffee table",
        "It's",
        "--path",
        "a b/c",
        "--flag",
        "--long",
        "x" * 120,
        "--end",
        "$HOME",
    ]
    step = CommandStep("points", "data_prep.process_metadata", words)
    text = step.wrapped_command()
    assert shlex.split(text.replace("\\\n", " ")) == ["python", "-m", "data_prep.process_metadata", *words]
    assert shlex.split(step.command()) == ["python", "-m", "data_prep.process_metadata", *words]
    lines = text.splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 100 or "x" * 120 in line for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])


def test_a_long_list_is_broken_between_its_words():
    classes = [f"Thing {number}" for number in range(40)]
    step = CommandStep("x", "data_prep.make_label_map", ["--classes", *classes, "--label_map_path", "l.pbtxt"])
    text = step.wrapped_command()
    assert all(len(line) <= 100 for line in text.splitlines())
    assert shlex.split(text.replace("\\\n", " ")) == ["python", "-m", "data_prep.make_label_map", *step.words]


def test_a_short_command_is_one_line():
    assert CommandStep("x", "m", ["--a", "1"]).wrapped_command() == "python -m m --a 1"


def test_a_password_in_a_url_is_not_shown():
    step = CommandStep("x", "m", ["--base_url", "https://me:secret@example.org/x"])
    assert "secret" not in step.command() + step.wrapped_command()
    assert "https://***@example.org/x" in step.command()
