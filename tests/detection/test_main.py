"""The command `detection`: its list, commands run by name, completion in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.commands import ROOT, command_called, find_commands
from detection.main import compat_path, listing


def detection(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(ROOT)]))
    return subprocess.run(
        # As the script on the path: the working folder, which -c puts first, is not searched.
        [sys.executable, "-c", "import sys; del sys.path[0]; from detection.main import main; main()", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )


def test_all_commands_are_listed_with_a_line_each_and_have_names_of_their_own():
    commands = find_commands()
    assert len({command.name for command in commands}) == len(commands) > 40
    assert all(len(command.summary) > 20 for command in commands)
    assert {"train.train", "serving.client", "data_prep.prepare_open_images"} <= {item.module for item in commands}
    lines = detection().stdout.splitlines()
    for command in commands:
        assert [line for line in lines if line.split()[:1] == [command.name]], command.name
    assert all(len(line) <= 60 for line in listing(commands, 60).splitlines()[2:-1])


def test_the_list_imports_nothing_but_the_standard_library():
    code = (
        "import sys; from detection.main import run; run([]); "
        "print([name for name in ('tensorflow', 'numpy', 'grpc', 'google') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["make_label_map", "make-label-map", "data_prep.make_label_map"])
def test_a_command_is_run_by_its_name(tmp_path, name):
    (tmp_path / "classes.csv").write_text("/m/1,Chair\n")
    words = (name, "--classes", "Chair", "--class_description_path", "classes.csv", "--label_map_path", "map.pbtxt")
    done = detection(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Chair" in (tmp_path / "map.pbtxt").read_text()
    failed = detection(name, cwd=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.startswith("detection make_label_map: error: ")


def test_a_wrong_name_is_answered_with_the_nearest():
    done = detection("trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no command 'trian'; did you mean train? (detection lists them all)\n"


def test_a_file_of_the_name_of_a_package_is_not_run(tmp_path):
    (tmp_path / "train.py").write_text("raise SystemExit('not this')")
    in_folder = detection("train", "--help", cwd=tmp_path)
    assert in_folder.returncode == 0, in_folder.stderr
    assert "--pipeline_config_path" in in_folder.stdout
    on_path = detection("train", "--help", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert on_path.returncode == 2
    assert on_path.stderr.startswith(f"error: the package train of object-detection-road is {ROOT / 'train'}, and ")
    assert str(tmp_path / "train.py") in on_path.stderr


def test_compat_path_is_where_object_detection_is(tmp_path):
    assert (compat_path() / "object_detection" / "__init__.py").is_file()
    assert detection("--compat_path", cwd=tmp_path).stdout.strip() == str(compat_path())


def completed(*words: str, folder: Path) -> list[str]:
    """What bash offers where the cursor stands behind the last of `words`."""
    program = folder / "detection"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m detection "$@"\n')
    program.chmod(0o755)
    line = " ".join(f"'{word}'" for word in words)
    script = (
        f'eval "$(detection --completion bash)"; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; '
        '"$(complete -p "${COMP_WORDS[0]}" | sed "s/.*-F \\([^ ]*\\).*/\\1/")"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert not done.stderr
    return done.stdout.split()


def test_bash_completes_commands_and_flags(tmp_path):
    assert completed("detection", "prepare_", folder=tmp_path) == ["prepare_dataset", "prepare_open_images"]
    assert completed("detection", "client", "--tls", folder=tmp_path) == ["--tls", "--tls_server_name"]
    assert completed("detection-make-label-map", "--label", folder=tmp_path) == ["--label_map_path"]
    assert completed("detection", "client", "photo", folder=tmp_path) == []  # files, which bash knows itself


def test_a_name_with_another_package_is_no_command():
    assert command_called("os.path", find_commands()) is None
