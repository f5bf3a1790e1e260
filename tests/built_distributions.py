"""The project's wheel and sdist, built as pip builds them, and environments to install them into."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
_NO_INDEX = ("Could not find a version", "No matching distribution", "Temporary failure", "Max retries", "timed out")


def pip(*words: str | Path) -> None:
    """Runs pip; skips the test where it reaches no package index."""
    done = subprocess.run([*_PIP, *map(str, words)], capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode and any(sign in done.stderr for sign in _NO_INDEX):
        pytest.skip("pip reaches no package index")
    assert done.returncode == 0, done.stderr


@functools.cache
def _work() -> tempfile.TemporaryDirectory[str]:
    """The folder that all is built in; it goes with this process."""
    return tempfile.TemporaryDirectory(prefix="distributions-")


@functools.cache
def source_folder() -> Path:
    """Returns the project as a clean checkout has it, so that nothing is built of files that git does not know."""
    copy = Path(_work().name) / "project"
    for name in tracked_files():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return copy


def tracked_files(*folders: str) -> list[str]:
    """Returns the paths that git knows below `folders`, or all; those that are deleted aside."""
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("no checkout of git")
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@functools.cache
def wheel() -> Path:
    """Returns the wheel, built from the sources."""
    output = source_folder().parent / "wheel"
    pip("wheel", "--no-deps", "--wheel-dir", output, source_folder())
    (built,) = output.glob("*.whl")
    return built


@functools.cache
def sdist() -> Path:
    """Returns the sdist."""
    tools, output = source_folder().parent / "tools", source_folder().parent / "sdist"
    pip("install", "--target", tools, *build_requirements())
    code = (
        f"import sys; sys.path.insert(0, {str(tools)!r}); from hatchling.build import build_sdist as b; b(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(output)], cwd=source_folder(), check=True, capture_output=True)
    (built,) = output.glob("*.tar.gz")
    return built


def build_requirements() -> list[str]:
    """Returns what builds the project, as pyproject.toml says."""
    line = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("requires ="))
    return line.split('"')[1::2]


def new_environment(folder: Path, *requirements: str | Path) -> Path:
    """Makes an environment that sees no other packages, installs `requirements`, and returns its folder of programs."""
    venv.create(folder, with_pip=False, symlinks=True)
    programs = folder / "bin"
    pip("--python", programs / "python", "install", *requirements)
    return programs
