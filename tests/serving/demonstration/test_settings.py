"""The words after the -- of `streamlit run`, and where the words of others go."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UserError
from serving.app import streamlit_flags
from serving.demonstration.markdown import MAX_LENGTH, plain
from serving.demonstration.settings import read_settings

JOINER = "\u2060"  # without it Streamlit makes a link of an address
ROOT = Path(__file__).resolve().parents[3]


def test_flags_are_read_with_dashes_or_underscores(tmp_path):
    path = tmp_path / "label_map.pbtxt"
    path.write_text('item { id: 3 name: "/m/bed" display_name: "Bed" }', encoding="utf-8")
    settings = read_settings(
        ["--server", "host:9", "--model-name", "rooms", "--label_map_path", str(path), "--version_label", "stable"]
    )
    assert (settings.connection.server, settings.model_name, settings.version_labels) == (
        "host:9",
        "rooms",
        ("stable",),
    )
    assert settings.label_map is not None
    assert settings.label_map.names_by_id() == {3: "Bed"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--model_name"),
        (["--model_name", "m", "--threshhold", "1"], "--threshhold"),
        (["--model_name", "m", "--min_score", "7"], "7 is not a number from 0 to 1"),
        (["--model_name", "m", "--server", "localhost"], "has no port"),
        (["--model_name", "m", "--label_map_path", "nowhere.pbtxt"], "nowhere.pbtxt"),
        (["--model_name", "m", "--port", "0"], "0 is not a port from 1 to 65535"),
        (["--model_name", "m", "stray"], "'stray' is not a flag"),
    ],
)
def test_a_mistake_is_told_and_not_the_end_of_the_process(words, message):
    with pytest.raises(UserError, match=message):
        read_settings(words)


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ([], ["--server.address=localhost", "--browser.serverAddress=localhost"]),
        (
            ["--host", "::", "--port", "80", "--", "--server.sslCertFile", "c.pem"],
            [
                "--server.address=::", f"--browser.serverAddress={socket.gethostname()}", "--server.port=80",
                "--server.sslCertFile", "c.pem",
            ],
        ),
        (["--host=10.0.0.7"], ["--server.address=10.0.0.7", "--browser.serverAddress=10.0.0.7"]),
    ],
)  # fmt: skip
def test_streamlit_is_told_where_to_listen(words, flags):
    assert streamlit_flags(read_settings(["--model_name", "m", *words])) == flags


def test_the_command_checks_its_flags_before_streamlit_starts():
    command = [sys.executable, "-m", "serving.app", "--server", "localhost:1"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the following arguments are required: --model_name")


def test_the_pages_side_of_the_server_needs_no_tensorflow():
    code = (
        "import sys; import serving.demonstration.detection_cache, serving.demonstration.results;"
        "assert not {'tensorflow', 'tensorflow_serving', 'train', 'export', 'configs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_words_of_others_are_no_markdown():
    assert plain("[a](http://b) :red[c]") == r"\[a\]\(http\:" + JOINER + r"\/\/b\) \:red\[c\]"
    assert plain("<b>*d*</b> $e$ :f:") == r"\<b\>\*d\*\<\/b\> \$e\$ \:" + JOINER + r"f\:"
    assert plain("two\nlines") == "two lines"
    assert len(plain("x" * 10_000)) < MAX_LENGTH + 10
