"""A package that is not installed is said in one line, with what installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.runtime.missing_packages import how_to_install, missing_package

ROOT = Path(__file__).resolve().parents[3]


def run_without(package: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs Python where `package` cannot be imported."""
    (folder / "sitecustomize.py").write_text(f"import sys; sys.modules[{package!r}] = None\n")
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=environment, cwd=folder
    )


@pytest.mark.parametrize(
    ("module", "package", "distribution"),
    [
        ("serving.client", "simplejpeg", "simplejpeg"),
        ("serving.load_test", "requests", "requests"),
        ("data_prep.import_annotations", "yaml", "pyyaml"),
    ],
)
def test_python_m_of_a_command_says_it_in_one_line(tmp_path, module, package, distribution):
    done = run_without(package, tmp_path, "-m", module, "--help")
    said = f"needs the package {distribution}, which is not installed; pip install -r requirements.txt"
    assert (done.returncode, done.stderr) == (1, f"error: {module} {said}\n")


def test_the_command_detection_says_it_too(tmp_path):
    done = run_without("requests", tmp_path, "-m", "detection", "load_test")
    said = "needs the package requests, which is not installed; pip install -r requirements.txt"
    assert (done.returncode, done.stderr) == (1, f"error: serving.load_test {said}\n")


def test_a_program_of_somebody_elses_keeps_its_traceback(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("import serving\n")
    (tmp_path / "theirs" / "run.py").write_text("import serving.load_test\n")
    done = run_without("requests", tmp_path, "-m", "theirs.run")
    assert "Traceback" in done.stderr
    assert "needs the package" not in done.stderr


def test_what_is_no_package_of_ours_is_not_explained():
    assert missing_package(ModuleNotFoundError(name="no_such_package"), "train.train") is None
    assert missing_package(ModuleNotFoundError(name="train.no_such_module"), "train.train") is None
    assert missing_package(ImportError("cannot import name", name="numpy"), "train.train") is None


def test_each_extra_of_a_checkout_is_a_file():
    for extra in ("", "serve", "train", "app", "beam", "tracking", "dev"):
        file = how_to_install(extra).removeprefix("pip install -r ")
        assert (ROOT / file).is_file(), file
