"""The recipe that a config is nearest to: the recipes themselves, filled ones, and configs of strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.filling.recipe import RecordSource, Wishes, fill_recipe
from configs.schema.pipeline_file import merge, parse_pipeline_config, read_pipeline_config
from configs.settings.migration import migrate
from configs.views.nearest_recipe import NearestRecipe, nearest_recipe, read_recipes
from data_prep.formats.label_map import LabelMap, LabelMapItem
from tests.configs.conftest import CONFIGS, RECIPES

ROOT = Path(__file__).resolve().parents[3]
PIPELINES = ROOT / "tests" / "pipelines"
WILD = ROOT.parent / "shared" / "wild" / "configs"


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    return read_recipes()


def nearest_of(path: Path, recipes: dict[str, Any], override: str = "") -> NearestRecipe:
    found = nearest_recipe(migrate(merge(read_pipeline_config(path), override))[0], recipes)
    assert found is not None
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_nearest_to_itself(path: Path, recipes: dict[str, Any]) -> None:
    assert nearest_of(path, recipes) == NearestRecipe(path.stem, 0.0, (), ())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_filled_recipe_is_at_distance_0_of_its_own(path: Path, recipes: dict[str, Any]) -> None:
    filled = fill_recipe(
        path.read_text(),
        path.name,
        label_map=LabelMap([LabelMapItem(1, "/m/07c52", "Television"), LabelMapItem(2, "/m/03ssj5", "Bed")]),
        label_map_path="data/label_map.pbtxt",
        training=RecordSource("data/train.record-?????-of-00004", 900),
        validation=RecordSource("data/validation.record-?????-of-00004", 100),
        wishes=Wishes(fine_tune_checkpoint="/zoo/checkpoint/ckpt-0"),
    )
    found = nearest_recipe(filled.config, recipes)
    assert found is not None
    assert (found.name, found.distance, found.network) == (path.stem, 0.0, ())


def test_what_differs_is_told_in_the_config_s_terms(recipes: dict[str, Any]) -> None:
    override = (
        'train_config { batch_size: 2 num_steps: 500 fine_tune_checkpoint: "" } '
        "model { ssd { image_resizer { fixed_shape_resizer { height: 512 width: 512 } } } } "
        "extensions { optimizer { adamw { } } }"
    )
    found = nearest_of(CONFIGS / "ssd_resnet50_v1_fpn_640.config", recipes, override)
    assert found.name == "ssd_resnet50_v1_fpn_640"
    assert found.network == ("input 512 x 512 (there 640 x 640)", "optimizer adamw (there momentum)")
    assert found.training == (
        "batch 2 (there 8)",
        "steps 500 (there 10000)",
        "starts from nothing (there detection weights)",
    )


@pytest.mark.parametrize(
    ("pipeline", "recipe", "said"),
    [
        ("faster_rcnn_resnet50_fpn", "faster_rcnn_resnet50_v1_640", "pyramid FPN (there none)"),
        ("faster_rcnn_resnet50_in_tf1_terms", "faster_rcnn_resnet50_v1_640", "input 600 to 1024 (there 640 x 640"),
        ("ssd_mobilenet_v1_in_tf1_terms", "ssd_mobilenet_v2_", "trunk mobilenet_v1 (there mobilenet_v2)"),
        ("ssd_resnet50_fpn_in_tf1_terms", "ssd_resnet50_v1_fpn_640", "optimizer rms_prop (there momentum)"),
    ],
)
def test_other_networks_and_tensorflow_1_s(pipeline: str, recipe: str, said: str, recipes: dict[str, Any]) -> None:
    found = nearest_of(PIPELINES / f"{pipeline}.config", recipes)
    assert found.name.startswith(recipe)
    assert said in "; ".join(found.network)


def test_a_network_that_is_not_here_is_nearest_to_its_stand_in(recipes: dict[str, Any]) -> None:
    override = 'model { faster_rcnn { feature_extractor { type: "faster_rcnn_inception_v2" } } }'
    found = nearest_of(CONFIGS / "faster_rcnn_resnet50_v1_640.config", recipes, override)
    assert (found.name, found.network) == ("faster_rcnn_resnet50_v1_640", ("trunk inception_v2 (there resnet50)",))


def test_an_architecture_that_is_not_here_is_farther_than_any_other(recipes: dict[str, Any]) -> None:
    text = 'model { center_net { num_classes: 3 feature_extractor { type: "resnet_v2_50" } } }'
    found = nearest_recipe(parse_pipeline_config(text), recipes)
    assert found is not None
    assert found.distance >= 1000
    assert found.network[0].startswith("architecture CenterNet (there ")
    assert found.training == ()  # it trains nothing


def test_without_a_model_nothing_is_near(recipes: dict[str, Any]) -> None:
    assert nearest_recipe(parse_pipeline_config("train_config { batch_size: 3 }"), recipes) is None


@pytest.mark.skipif(not WILD.is_dir(), reason="needs published configs")
def test_strangers_configs_keep_their_architecture(recipes: dict[str, Any]) -> None:
    for path in sorted(WILD.glob("*faster_rcnn_inception*")) + sorted(WILD.glob("*ssd_efficientdet*")):
        found = nearest_of(path, recipes)
        expected = "faster_rcnn_resnet50_v1_640" if "inception" in path.name else "ssd_efficientdet_d0_512"
        assert found.name == expected, path.name
