"""What the wheel and the sdist hold: every file that git knows of the packages, and nothing else."""

from __future__ import annotations

import configparser
import re
import subprocess
import tarfile
import zipfile
from email import message_from_string

import pytest
from packaging.specifiers import SpecifierSet

from detection import __version__
from detection.commands import command_called, find_commands
from tests.built_distributions import ROOT, new_environment, sdist, tracked_files, wheel

PACKAGES = ("configs", "data_prep", "detection", "export", "serving", "train")


def files_of_wheel() -> dict[str, bytes]:
    with zipfile.ZipFile(wheel()) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_every_file_of_the_packages_and_no_other():
    files = files_of_wheel()
    of_packages = {name for name in files if ".dist-info/" not in name}
    compat = {name.replace("compat/", "detection/compat/", 1) for name in tracked_files("compat")}
    assert of_packages == {*tracked_files(*PACKAGES), *compat}
    for name in ("configs/schema/pipeline.pb", "serving/wire/tensorflow_serving_apis.pb"):
        assert files[name] == (ROOT / name).read_bytes()
    assert {f"{package}/py.typed" for package in PACKAGES} <= of_packages


def test_the_wheel_says_its_version_and_its_programs_name_commands():
    files = files_of_wheel()
    (metadata,) = (content.decode() for name, content in files.items() if name.endswith(".dist-info/METADATA"))
    assert message_from_string(metadata)["Version"] == __version__
    (text,) = (content.decode() for name, content in files.items() if name.endswith("/entry_points.txt"))
    scripts = configparser.ConfigParser()
    scripts.read_string(text)
    programs = set(scripts["console_scripts"]) - {"detection"}
    assert {"detection-train", "detection-client"} <= programs
    for program in programs:
        assert command_called(program.removeprefix("detection-"), find_commands()) is not None, program


def test_the_sdist_builds_the_same_wheel(tmp_path):
    with tarfile.open(sdist()) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {*tracked_files(*PACKAGES, "compat"), "requirements.txt", "LICENSE", "README.md", "Makefile"} <= inside
    programs = new_environment(tmp_path / "environment", "--no-deps", sdist())
    shown = subprocess.run([programs / "detection", "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == __version__


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.13", "3.14"])
def test_python_from_3_10_to_3_13_is_taken(python):
    is_taken = python in ("3.10", "3.13")
    (requires,) = re.findall(r'^requires-python = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert SpecifierSet(requires).contains(python) == is_taken
    assert (f" python{python}" in (ROOT / "Makefile").read_text()) == is_taken
