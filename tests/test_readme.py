"""The pages' commands name modules, flags and files that are there, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("data_prep", "export", "serving", "serving/deploy")
PAGES = {
    path: path.read_text()
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        *(ROOT / room / "README.md" for room in ROOMS),
    )
}
TEXT = "\n".join(PAGES.values())
# Commands stand in indented blocks, those in a loop a little deeper; benchmarks have no flags that matter here.
COMMANDS = sorted(set(re.findall(r"^ {4,6}python -m (?!tests\.|pip)(\S+)((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)))
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


def test_every_command_of_the_road_is_in_the_pages():
    modules = {module for module, _ in COMMANDS}
    assert {
        "data_prep.prepare_dataset", "data_prep.prepare_open_images", "data_prep.import_annotations", "configs.fill",
        "data_prep.make_sample_set", "data_prep.process_metadata", "data_prep.download_images",
        "data_prep.validate_images", "data_prep.make_label_map", "data_prep.make_tfrecords",
        "data_prep.verify_tfrecords", "configs.check", "configs.show", "configs.plot_schedule", "train.browse_inputs",
        "train.train", "train.evaluate", "export.export_saved_model", "serving.serve",
        "serving.client",
    } <= modules  # fmt: skip


def test_the_readme_has_the_road_on_ones_own_data_and_is_short():
    readme = PAGES[ROOT / "README.md"]
    assert len(readme.splitlines()) <= 150
    road = [module for module, _ in re.findall(r"^ {4,6}python -m (\S+)(.*)$", readme, re.MULTILINE)]
    assert road[:6] == [
        "data_prep.prepare_dataset", "train.train", "export.export_saved_model", "serving.serve", "serving.client",
        "data_prep.prepare_open_images",
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_and_files_exist(page: Path):
    text = PAGES[page]
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:tests|configs|docs|\.ci)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_recipes_that_are_listed_exist():
    recipes = re.findall(r"^\| `((?:ssd|faster_rcnn)_[^`]+)`", PAGES[ROOT / "docs" / "training.md"], re.MULTILINE)
    assert len(recipes) > 5
    for recipe in recipes:
        assert (ROOT / "configs" / f"{recipe}.config").is_file(), recipe


def test_every_dependency_is_listed_with_its_reason():
    names = re.findall(r"^([a-zA-Z][\w-]*)(?=[=<>])", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert len(names) > 8
    page = PAGES[ROOT / "docs" / "dependencies.md"]
    table = page[page.index("What each dependency is for") :]
    for name in names:
        assert name in table, name
