"""The READMEs' commands name modules, flags and files that are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = "\n".join([README, *((ROOT / room / "README.md").read_text() for room in ("data_prep", "serving"))])
COMMANDS = sorted(set(re.findall(r"^    python -m (?!tests\.)(\S+)((?:.*\\\n)*.*)$", PAGES, re.MULTILINE)))
HELP: dict[str, str] = {}


def help_of(module: str) -> str:
    if module not in HELP:
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        HELP[module] = done.stdout
    return HELP[module]


@pytest.mark.parametrize(("module", "words"), COMMANDS, ids=[module for module, _ in COMMANDS])
def test_a_commands_flags_are_those_of_its_help(module: str, words: str):
    text = help_of(module)
    assert "example:" in text
    for flag in re.findall(r"--\w+", words.partition("--runner=")[0]):  # from there on they are Apache Beam's
        assert flag in text, f"{module} has no {flag}"


def test_every_command_of_the_road_is_in_the_readme():
    modules = {module for module, _ in COMMANDS}
    assert {
        "data_prep.make_sample_set", "data_prep.process_metadata", "data_prep.download_images",
        "data_prep.validate_images", "data_prep.make_label_map", "data_prep.make_tfrecords",
        "data_prep.verify_tfrecords", "configs.check", "configs.show", "configs.plot_schedule", "train.browse_inputs",
        "train.train", "train.evaluate", "export.export_saved_model", "serving.serve",
        "serving.client",
    } <= modules  # fmt: skip


def test_links_recipes_and_files_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).is_file(), path
    for recipe in re.findall(r"^\| `((?:ssd|faster_rcnn)_[^`]+)`", README, re.MULTILINE):
        assert (ROOT / "configs" / f"{recipe}.config").is_file(), recipe


def test_every_dependency_is_listed_with_its_reason():
    names = re.findall(r"^([a-zA-Z][\w-]*)(?=[=<>])", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert len(names) > 8
    table = README[README.index("What each dependency is for") :]
    for name in names:
        assert name in table, name
