"""What `extensions` put in the place of other fields, and what they must agree with."""

from __future__ import annotations

from configs.schema.pipeline_file import merge, read_pipeline_config
from configs.settings.loading import LoadedConfig, examine
from configs.views.summary import summarize
from tests.configs.bad_values import CONFIGS

RECIPE = CONFIGS / "ssd_efficientnet-lite0_fpn_320.config"
GIVEN = "train_config.optimizer.adam_optimizer"


def read(text: str) -> LoadedConfig:
    return examine(merge(read_pipeline_config(RECIPE), text), "p")


def notes_of(loaded: LoadedConfig) -> dict[str, str]:
    assert not loaded.problems
    return {note.path: note.text for note in loaded.notes if note.path.startswith("train_config")}


def in_words(loaded: LoadedConfig) -> dict[str, list[str]]:
    assert loaded.settings is not None
    words: dict[str, list[str]] = {}
    for what, text in summarize(loaded.config, loaded.settings):
        words.setdefault(what or list(words)[-1], []).append(text)
    return words


def test_what_is_replaced_is_noted_and_shown():
    loaded = read(
        "extensions { optimizer { adamw { weight_decay: 0.5 } } learning_rate { one_cycle { total_steps: 240 } } }"
    )
    notes = notes_of(loaded)
    assert notes[GIVEN] == "has no effect: extensions.optimizer.adamw is in its place"
    schedule = f"{GIVEN}.learning_rate.cosine_decay_learning_rate"
    assert notes[schedule] == "has no effect: extensions.learning_rate is in its place"
    assert "beside the weight decay of extensions.optimizer.adamw" in notes["train_config.add_regularization_loss"]
    words = in_words(loaded)
    assert words["optimizer"][0].startswith("adamw, weight_decay 0.5, beta_1 0.9")
    assert words["learning rate"] == [
        "step 0: 0.002, rise",
        "step 108: 0.02, fall",
        "step 216: 0.002, far below",
        "step 240: 2e-06, held",
    ]
    assert not any("optimizer" in text or "one_cycle" in text for text in words["extension"])


def test_an_optimizer_alone_takes_the_given_ones_learning_rate():
    loaded = read("train_config { add_regularization_loss: false } extensions { optimizer { lamb { } } }")
    notes = notes_of(loaded)
    assert notes[GIVEN] == "nothing but its learning rate has an effect: extensions.optimizer.lamb is in its place"
    assert "train_config.add_regularization_loss" not in notes
    assert in_words(loaded)["learning rate"][0] == "step 0: 0.0004, warm-up"
    assert "train_config.add_regularization_loss" not in notes_of(
        read("extensions { optimizer { lamb { weight_decay: 0 } } }")
    )


def test_a_batch_in_parts_is_shown_and_must_divide():
    loaded = read("extensions { gradient_accumulation { } learning_rate_decay_by_depth: 0.8 }")
    words = in_words(loaded)
    assert words["batch"][0].startswith("8 images in 2 parts of 4; 240 steps, 1920 images in all")
    assert "learning_rate_decay_by_depth: 0.8" in words["extension"]
    (problem,) = read("extensions { gradient_accumulation { steps: 3 } }").problems
    assert problem.path == "extensions.gradient_accumulation.steps"
    assert problem.reason == "3 parts do not divide train_config.batch_size, 8"


def test_a_share_of_the_start_is_shown_and_wants_an_average():
    kept = "train_config { optimizer { use_moving_average: true } } "
    loaded = read(kept + "extensions { moving_average_share_of_start: 0.5 }")
    assert not loaded.problems
    assert any(text.startswith("moving_average_share_of_start: 0.5") for text in in_words(loaded)["extension"])
    (problem,) = read("extensions { moving_average_share_of_start: 0.5 }").problems
    assert problem.path == "extensions.moving_average_share_of_start"
    assert "use_moving_average is false" in problem.reason
    (problem,) = read(kept + "extensions { moving_average_share_of_start: 1 }").problems
    assert problem.path == "extensions.moving_average_share_of_start"


def test_what_is_empty_says_nothing_and_is_refused():
    problems = read("extensions { optimizer { } learning_rate { } }").problems
    assert [(problem.path, problem.reason) for problem in problems] == [
        ("extensions.optimizer", "is empty"),
        ("extensions.learning_rate", "is empty"),
    ]
