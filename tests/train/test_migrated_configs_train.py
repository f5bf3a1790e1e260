"""Configs of TensorFlow 1, rewritten by `configs.migrate`, train two steps with all that they say but their size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from configs.migrate import main as migrate
from data_prep.runtime.command_line import UsageError
from tests.configs.migrating import older_configs
from tests.train.test_pipelines_train import train_two_steps

STRANGERS = Path(__file__).resolve().parents[3] / "shared" / "wild" / "configs"
_PATHS = re.compile(r"(input_path|label_map_path): *\[?\s*[\"'][^\"']*[\"']\s*\]?")
OLDER = {
    "ssd_mobilenet_v3_large": older_configs.ssd("ssd_mobilenet_v3_large"),
    "ssd_inception_v2": older_configs.ssd("ssd_inception_v2"),
    "faster_rcnn_inception_v2": older_configs.faster_rcnn("faster_rcnn_inception_v2"),
    "faster_rcnn_nas": older_configs.nas(),
    "r_fcn": older_configs.r_fcn(),
}
QUICK = ("ssd_mobilenet_v3_large", "faster_rcnn_inception_v2")


def of_every_kind() -> list[Any]:
    return [
        pytest.param(text, id=name, marks=[] if name in QUICK else [pytest.mark.slow]) for name, text in OLDER.items()
    ]


@pytest.mark.parametrize("text", of_every_kind())
def test_a_migrated_config_trains_two_steps(text: str, block_records: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "older.config", tmp_path / "pipeline.config"
    source.write_text(text)
    assert migrate([str(source), "--output", str(output)]) == 0
    train_two_steps(output, block_records, tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("source", sorted(STRANGERS.glob("*.config")), ids=lambda path: path.name.partition("__")[0])
def test_a_strangers_migrated_config_trains_two_steps(source: Path, block_records: Path, tmp_path: Path) -> None:
    output = tmp_path / "pipeline.config"
    try:
        code = migrate([str(source), "--output", str(output)])
    except UsageError as error:
        pytest.skip(str(error))
    if code != 0:
        pytest.skip("a network of its own")
    # Its records are its own: what the override names takes the place of what is still to be filled in.
    text = _PATHS.sub(r'\1: "PATH_TO_BE_CONFIGURED"', output.read_text())
    output.write_text(re.sub(r"num_classes: 1\b", "num_classes: 2", text))
    train_two_steps(output, block_records, tmp_path / "model")
