"""Learning rates of their own for some variables: by patterns of names, and by depth."""

from __future__ import annotations

import pytest

from configs.settings.declaration import SettingsError
from configs.settings.extensions import Extensions
from configs.settings.reading import read_settings_text
from data_prep.runtime.command_line import UsageError
from tests.train.loop.tiny_detector import TinyDetector
from train.loop.learning_rate_multipliers import describe_multipliers, rate_multipliers


def multipliers_of(text: str, model=None) -> dict[str, float]:
    found = rate_multipliers(read_settings_text(Extensions, text, "extensions"), model or TinyDetector())
    return {reference.deref().name.split(":")[0].split("class_")[-1]: value for reference, value in found.items()}


def test_the_first_pattern_that_meets_a_variable_counts():
    found = multipliers_of(
        """learning_rate_multiplier { pattern: "stem_norm/gamma" multiplier: 2 }
           learning_rate_multiplier { pattern: "FeatureExtractor" multiplier: 0.1 }
           learning_rate_multiplier { pattern: "stem" multiplier: 9 }"""
    )
    assert found == pytest.approx(
        {
            "stem/kernel": 0.1,
            "stem/bias": 0.1,
            "stem_norm/gamma": 2.0,
            "stem_norm/beta": 0.1,
            "last/kernel": 0.1,
            "last/bias": 0.1,
            "predictor/kernel": 1.0,
            "predictor/bias": 1.0,
        }
    )


@pytest.mark.parametrize("pattern", ["stem/", "^backbone/", "FeatureExtractor/stem", "^stem/kernel$"])
def test_patterns_meet_the_names_that_freeze_variables_meets(pattern):
    found = multipliers_of(f'learning_rate_multiplier {{ pattern: "{pattern}" multiplier: 0.5 }}')
    assert found["stem/kernel"] == 0.5
    assert found["predictor/kernel"] == 1.0


def test_each_stage_before_the_heads_learns_more_slowly():
    found = multipliers_of("learning_rate_decay_by_depth: 0.5")
    # Without padding, the two convolutions leave 6 and 4 of 8 pixels: the second is of half the side.
    assert {name: value for name, value in found.items() if "kernel" in name} == {
        "stem/kernel": 0.25,
        "last/kernel": 0.5,
        "predictor/kernel": 1.0,
    }
    both = multipliers_of(
        'learning_rate_decay_by_depth: 0.5 learning_rate_multiplier { pattern: "last/" multiplier: 0.5 }'
    )
    assert both["last/kernel"] == 0.25 and both["stem/kernel"] == 0.25


def test_without_a_word_of_it_there_are_no_multipliers():
    assert multipliers_of("") == {}


def test_what_learns_how_fast_is_said_in_a_line():
    extensions = read_settings_text(Extensions, 'learning_rate_multiplier { pattern: "backbone" multiplier: 0.1 }')
    said = describe_multipliers(rate_multipliers(extensions, TinyDetector()))
    assert said == "learning rate x 1 for 2, x 0.1 for 6 of 8 variables"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('learning_rate_multiplier { pattern: "(" }', r"multiplier\[0\].pattern: \"\(\" is no regular expression"),
        ("learning_rate_multiplier { multiplier: 2 }", r"multiplier\[0\].pattern: is empty"),
        (
            'learning_rate_multiplier { pattern: "a" multiplier: 0 }',
            r"multiplier\[0\].multiplier: 0 must be greater than 0; name what must not move in train_config.freeze_var",
        ),
        ("learning_rate_decay_by_depth: 1.5", "learning_rate_decay_by_depth: 1.5 must be above 0 and at most 1"),
    ],
)
def test_what_cannot_be_is_refused_by_path(text, message):
    with pytest.raises(SettingsError, match=message):
        multipliers_of(text)


def test_a_pattern_that_matches_nothing_is_refused_in_a_line():
    with pytest.raises(UsageError) as refused:
        multipliers_of('learning_rate_multiplier { pattern: "stem" } learning_rate_multiplier { pattern: "Mixed_7b" }')
    assert str(refused.value).startswith(
        'extensions.learning_rate_multiplier[1]: "Mixed_7b" matches none of the 8 variables, such as '
    )
    assert "\n" not in str(refused.value)
