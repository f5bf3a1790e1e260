from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.schema import pipeline_file

CONFIGS = Path(pipeline_file.__file__).parents[1]
RECIPES = sorted(CONFIGS.glob("*.config"))


@pytest.fixture
def recipe_text() -> str:
    return (CONFIGS / "ssd_efficientnet-lite0_fpn_320.config").read_text()


@pytest.fixture
def ssd_config(recipe_text: str) -> Any:
    return pipeline_file.parse_pipeline_config(recipe_text)


@pytest.fixture
def faster_rcnn_config() -> Any:
    return pipeline_file.read_pipeline_config(CONFIGS / "faster_rcnn_resnet50_v1_640.config")
