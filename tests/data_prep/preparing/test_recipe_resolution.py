"""The size of images that a recipe's network has use for."""

from pathlib import Path

import pytest

from data_prep.preparing.recipe_resolution import max_dimension_for
from data_prep.runtime.command_line import UsageError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.mark.parametrize(
    ("recipe", "pixels"),
    [
        ("ssd_efficientnet-lite0_fpn_320", 640),
        ("faster_rcnn_resnet101_tutorial", 700),
        ("ssd_resnet50_v1_fpn_256_cpu", 512),
        ("ssd_efficientdet_d0_512", 1024),
        ("ssd_resnet50_v1_fpn_640", 1024),
        ("faster_rcnn_resnet50_v1_640", 1024),
    ],
)
def test_it_is_twice_what_the_resizer_gives(recipe: str, pixels: int):
    assert max_dimension_for(CONFIGS / f"{recipe}.config") == pixels


def test_every_recipe_has_one():
    recipes = list(CONFIGS.glob("*.config"))
    assert recipes
    assert all(500 <= max_dimension_for(recipe) <= 1024 for recipe in recipes)


def test_what_is_commented_out_does_not_count(tmp_path: Path):
    path = tmp_path / "x.config"
    path.write_text("model { ssd { image_resizer: { # height: 900\n identity_resizer {} } } }")
    assert max_dimension_for(path) == 1024
    path.write_text("# image_resizer { fixed_shape_resizer { height: 100 width: 100 } }\n")
    assert max_dimension_for(path) == 1024


def test_what_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match="No such file"):
        max_dimension_for(tmp_path / "none.config")
    (tmp_path / "x.config").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        max_dimension_for(tmp_path / "x.config")
