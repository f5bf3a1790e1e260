"""One file that runs on a Python with nothing installed, against a real server."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UsageError
from serving.make_zipapp import PACKAGES, main, modules_of, requirements

ROOT = Path(__file__).resolve().parents[2]
# What is imported where it is there, or only when it is asked for, and said by itself where it is missing.
NOT_OF_A_CLIENT = {"cv2", "tensorflow", "pandas", "supervision", "fiftyone"}


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory):
    """A Python of the same version without a single package, and a function that runs it away from the repository."""
    folder = tmp_path_factory.mktemp("plain")
    base = Path(sys._base_executable)
    subprocess.run([base, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}

    def run(*words):
        command = [folder / "venv" / "bin" / "python", "-I", *map(str, words)]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    assert run("-c", "import numpy").returncode == 1
    return run


@pytest.fixture
def photos(tmp_path, image):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "red.jpg").write_bytes(image((10, 20, 30, 40), (64, 48), "JPEG"))
    (folder / "grey.png").write_bytes(image(None))
    return folder


def test_with_its_packages_it_sorts_images_on_a_plain_python(
    plain_python, server, photos, label_map_path, tmp_path, capsys
):
    archive = tmp_path / "predict_folder.pyz"
    assert main(["--output_path", str(archive), "--with_dependencies"]) == 0
    assert f"for Python {sys.version_info[0]}.{sys.version_info[1]} on " in capsys.readouterr().out
    words = [archive, photos, "--server", server.address, "--model_name", "detector"]
    words += ["--label_map_path", label_map_path, "--output_directory", tmp_path / "out"]
    done = plain_python(*words, "--sort_into", tmp_path / "sorted", "--uncertain", 1)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    copies = {path.relative_to(tmp_path / "sorted").as_posix() for path in (tmp_path / "sorted").rglob("*.*g")}
    assert copies == {"Red thing/red.jpg", "other/grey.png"}
    again = plain_python(*words)
    assert again.returncode == 0 and "all predicted before" in again.stdout
    in_process = plain_python(archive, photos, "--saved_model_dir", tmp_path, "--output_directory", tmp_path / "own")
    assert in_process.returncode == 2 and "saved_model.pb is missing" in in_process.stderr


def test_without_them_it_says_in_one_line_what_to_install(plain_python, photos, tmp_path, capsys):
    archive = tmp_path / "small.pyz"
    assert main(["--output_path", str(archive)]) == 0
    assert "pip install" in capsys.readouterr().out and archive.stat().st_size < 500_000
    done = plain_python(archive, photos)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "needs numpy, PIL, simplejpeg, grpc, google.protobuf, tqdm: python3 -m pip install 'numpy" in done.stderr
    with_packages = subprocess.run(
        [sys.executable, archive, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--sort_into" in with_packages.stdout


def test_packages_for_another_system_are_not_loaded(plain_python, photos, tmp_path):
    archive = tmp_path / "small.pyz"
    main(["--output_path", str(archive)])
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(tmp_path / "other.pyz", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                content = json.dumps(
                    {
                        **json.loads(content),
                        "packages_for": {"python": "3.11", "platform": "win-amd64"},
                        "digest": "9" * 64,
                    }
                ).encode()
            new.writestr(name, content)
    done = plain_python(tmp_path / "other.pyz", photos)
    assert done.returncode == 1 and "it holds them for Python 3.11 on win-amd64 only" in done.stderr


def test_what_is_packed_is_what_is_imported():
    modules = modules_of("serving.predict_folder")
    assert {
        "serving.client_library.detection_client",
        "serving.wire",
        "data_prep.formats.label_map",
        "data_prep",
    } <= set(modules)
    assert not {name for name in modules if name.split(".")[0] not in ("serving", "data_prep")}
    with pytest.raises(UsageError, match=r"no module 'serving\.nothing'"):
        modules_of("serving.nothing")


def packages_imported_by(command):
    """Returns the distributions that a command's modules import, but for those of a server in this process."""
    imported = set()
    for name, path in modules_of(command).items():
        if name.startswith("serving.local_server"):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                imported.add(node.module)
    own = {*sys.stdlib_module_names, "serving", "data_prep", *NOT_OF_A_CLIENT}
    names = {module.split(".")[0] for module in imported if not module.startswith("google.protobuf")} - own
    distributions = importlib.metadata.packages_distributions()
    found = {distributions.get(name, [name])[0].lower() for name in names}
    return found | {"protobuf"} if any(module.startswith("google.protobuf") for module in imported) else found


def names_in(lines):
    return {re.match(r"[\w.-]+", line).group().lower() for line in lines if line.strip() and not line.startswith("#")}


def test_the_lists_of_packages_are_what_is_imported():
    """Both are kept by hand; an import that is added, or goes, three modules away is not seen there."""
    assert packages_imported_by("serving.predict_folder") == set(PACKAGES) == names_in(requirements())
    for_the_page = (ROOT / "requirements-app.txt").read_text(encoding="utf-8").splitlines()
    assert packages_imported_by("serving.app") == names_in(for_the_page)
    wanted = {line.strip() for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()}
    assert {line for line in for_the_page if line and not line.startswith(("#", "streamlit"))} <= wanted
