"""Commands that run other commands find the project's packages, and modules of the working folder after them."""

import subprocess
import sys

import pytest

from data_prep.runtime.child_environment import command_environment


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 puts the working folder first whatever is set")
def test_a_file_of_a_packages_name_is_not_taken_for_it_and_plugins_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    (tmp_path / "data_prep.py").write_text("raise SystemExit('not this')")
    (tmp_path / "my_plugin.py").write_text("print('found')")
    environment = command_environment()
    words = ([sys.executable, "-m", "data_prep.make_label_map", "--help"], [sys.executable, "-c", "import my_plugin"])
    help_, plugin = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for command in words
    )
    assert "--label_map_path" in help_
    assert plugin == "found\n"
    assert "elsewhere" in environment["PYTHONPATH"].split(":")
