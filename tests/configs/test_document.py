"""python -m configs.document: the pages about the config say what the settings say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configs.document import main
from configs.settings.documentation import comments, config_page, migration_page, places_of
from configs.settings.pipeline import PipelineSettings

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_pages_are_current(capsys: pytest.CaptureFixture) -> None:
    assert main(["--check", "--output_directory", str(DOCS)]) == 0, "run python -m configs.document"
    assert capsys.readouterr().out.count("is up to date") == 2


def test_a_page_that_is_not_is_told_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--output_directory", str(tmp_path)]
    assert main([*words, "--check"]) == 1 and not (tmp_path / "config.md").exists()
    assert main(words) == 0
    assert main([*words, "--check"]) == 0
    assert "config.md is out of date" in capsys.readouterr().out


def test_every_message_and_what_each_field_may_be_stand_on_the_page() -> None:
    page = config_page()
    for settings in places_of(PipelineSettings):
        assert f"**`{settings.message_name}`**" in page
    assert "| `batch_size` | whole number from 0 | `32` | at least 1 | Over all devices. |" in page
    assert "| `graph_rewriter` | `GraphRewriter` | refused: training that simulates quantization" in page
    assert "no effect: replicas are always in step" in page


def test_the_schemas_comments_are_found_behind_and_above_fields() -> None:
    found = comments()
    assert found["TrainConfig", "batch_size"] == "Over all devices."
    assert found["TrainConfig", "fine_tune_checkpoint"] == (
        "Prefix of the checkpoint to start from; empty: from scratch."
    )
    assert found["ManualStepLearningRate.LearningRateSchedule", "step"] == "From this step on."
    assert found["ManualStepLearningRate", "schedule"] == "Rising steps."


def test_who_comes_from_the_api_finds_names_refusals_and_what_has_no_effect() -> None:
    page = migration_page()
    assert not re.search(r"\{\w+\}", page)
    for row in (
        "| `ssd_resnet50_v1_fpn` | `ssd_resnet50_v1_fpn_keras` |",
        "| `open_images_metrics` | `oid_V2_detection_metrics` |",
        "| `train_config.sync_replicas` | replicas are always in step |",
        "| `eval_config.eval_instance_masks` | only boxes are detected here | delete it |",
    ):
        assert row in page
