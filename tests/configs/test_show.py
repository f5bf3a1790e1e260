"""python -m configs.show: the effective config with its defaults, the same in words, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.schema import pipeline_file
from configs.schema.descriptors import message_class
from configs.settings.loading import load_config
from configs.show import main
from configs.views.annotated import annotated_text
from configs.views.leaves import differences, leaves, shortest_float

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
RECIPE = str(CONFIGS / "ssd_resnet50_v1_fpn_640.config")


def shown(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.config")), ids=lambda path: path.stem)
def test_the_page_reads_back_to_the_same_config(path: Path, capsys: pytest.CaptureFixture) -> None:
    page = shown(capsys, str(path), "--no_model")
    assert pipeline_file.parse_pipeline_config(page) == load_config(path).config


def test_defaults_are_comments_and_every_other_origin_is_told(capsys: pytest.CaptureFixture) -> None:
    override = (
        "train_config { batch_size: 3 gradient_clipping_by_norm: 1e-5 } "
        'model { ssd { feature_extractor { type: "ssd_resnet101_v1_fpn" } } } eval_config { super_categories { '
        'key: "animal" value: "cat,dog" } }'
    )
    page = shown(capsys, RECIPE, "--no_model", "--config_override", override)
    lines = [line.strip() for line in page.splitlines()]
    assert "batch_size: 3  # from --config_override" in lines
    assert "gradient_clipping_by_norm: 1e-05  # from --config_override" in lines
    assert "# bias_grad_multiplier: 0.0" in lines
    name = 'type: "ssd_resnet101_v1_fpn_keras"  # read as this where "ssd_resnet101_v1_fpn" is written'
    assert name in lines
    assert 'key: "animal"' in lines
    config = pipeline_file.parse_pipeline_config(page)
    assert config.eval_config.super_categories["animal"] == "cat,dog"
    assert not config.train_config.HasField("bias_grad_multiplier")


def test_the_words_say_what_a_person_asks(capsys: pytest.CaptureFixture) -> None:
    override = "extensions { early_stopping { patience: 3 } class_aware_sampling { } }"
    page = shown(capsys, RECIPE, "--no_model", "--config_override", override)
    words = page.split("# In words:")[1]
    for said in (
        "SSD with the network ssd_resnet50_v1_fpn_keras, 8 classes",
        "640 wide x 640 high",
        "6 a place, on levels 3 to 7 (every 8 to 128 pixels): sizes 32 to 724.1 pixels",
        "8 images; 10000 steps, 80000 images in all; float32",
        "step 0: 0.00166667, warm-up",
        "step 1000: 0.005, cosine",
        "random_crop_image: min_object_covered 0.5",
        "early_stopping.patience: 3",
        "class_aware_sampling.max_repeats: 50 (default)",
    ):
        assert said in words


def test_what_is_refused_is_told_in_place_of_the_network(capsys: pytest.CaptureFixture) -> None:
    page = shown(capsys, RECIPE, "--config_override", "graph_rewriter { }")
    assert "# Refused, so that nothing runs:\n#   graph_rewriter: " in page
    assert "takes some seconds" not in page


def test_the_nearest_recipe_is_named_with_what_differs(capsys: pytest.CaptureFixture) -> None:
    override = 'train_config { batch_size: 3 } model { ssd { feature_extractor { type: "ssd_inception_v2" } } }'
    page = shown(capsys, RECIPE, "--no_model", "--config_override", override)
    assert "# Refused, so that nothing runs:" in page  # and the nearest recipe is told all the same
    near = page.split("# Nearest recipe:\n")[1].split("#\n")[0]
    assert near.splitlines() == [
        f"#   recipe      configs/{Path(RECIPE).name}, at distance 68; docs/choosing_a_recipe.md compares recipes",
        "#   differs in  trunk inception_v2 (there resnet50); pyramid none (there FPN)",
        "#   training    batch 3 (there 8)",
    ]


def test_diff_lists_each_field_with_both_values(capsys: pytest.CaptureFixture) -> None:
    override = "train_config { batch_size: 3 use_bfloat16: false } model { ssd { loss { hard_example_miner { } } } }"
    page = shown(capsys, RECIPE, "--diff", RECIPE, "--config_override", override)
    assert page.splitlines()[1:] == [
        "model.ssd.loss.hard_example_miner: { }  ->  (not there)",
        "train_config.batch_size: 3  ->  8",
    ]
    assert "mean the same" in shown(capsys, RECIPE, "--diff", RECIPE)


def test_a_default_written_out_is_no_difference(ssd_config: Any) -> None:
    written_out = pipeline_file.merge(ssd_config, "train_config { sync_replicas: false bias_grad_multiplier: 0.0 }")
    assert differences(ssd_config, written_out) == []
    changed = pipeline_file.merge(ssd_config, "train_config { sync_replicas: true }")
    (found,) = differences(ssd_config, changed)
    assert (found.path, found.left.value, found.left.is_default) == ("train_config.sync_replicas", "false", True)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (10.0, "10.0"), (1e-8, "1e-08"), (0.3333, "0.3333"), (3.4e38, "3.4e+38"), (-4.6, "-4.6")],
)
def test_numbers_are_short_and_the_same(value: float, text: str) -> None:
    message = message_class("L2Regularizer")(weight=value)
    assert shortest_float(message.weight) == text
    assert message_class("L2Regularizer")(weight=float(text)) == message


def test_maps_of_messages_read_back() -> None:
    text = (
        "model { ssd { post_processing { calibration_config { class_id_sigmoid_calibrations { "
        "class_id_sigmoid_parameters_map { key: 3 value { a: 2.0 } } } } } } }"
    )
    config = pipeline_file.parse_pipeline_config(text)
    assert pipeline_file.parse_pipeline_config(annotated_text(config, config, config)) == config
    assert any(leaf.path.endswith("map[3].a") and leaf.value == "2.0" for leaf in leaves(config))
