"""The best checkpoint and early stopping: what counts as better, when to stop, and what survives a restart."""

from __future__ import annotations

import json
import math

import pytest

from configs.settings.extensions import Extensions
from configs.settings.reading import read_settings_text
from data_prep.runtime.command_line import UserError
from train.loop.evaluation_history import HISTORY_NAME, EvaluationHistory, StoppingRule

MAP = "DetectionBoxes_Precision/mAP"


def history(folder, values, rule=None, step=10**9) -> EvaluationHistory:
    made = EvaluationHistory(folder, rule or StoppingRule(MAP, patience=2), step)
    for number, value in enumerate(values, start=len(made.evaluations) + 1):
        made.add(100 * number, {rule.metric if rule else MAP: value})
    return made


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "stops"),
    [
        ([0.1, 0.2, 0.3], 2, 0.0, False),
        ([0.3, 0.2], 2, 0.0, False),
        ([0.3, 0.2, 0.3], 2, 0.0, True),  # as good is not better
        ([0.3, 0.2, 0.31], 2, 0.0, False),
        ([0.3, 0.31, 0.32], 2, 0.05, True),  # each step too small, and both together
        ([0.3, 0.33, 0.36, 0.37], 2, 0.05, False),  # small steps add up to an improvement
        ([math.nan, math.nan], 2, 0.0, True),
        ([0.5, 0.1, 0.1, 0.1], None, 0.0, False),
    ],
)
def test_training_stops_when_nothing_improves(tmp_path, values, patience, min_delta, stops):
    made = history(tmp_path, values, StoppingRule(MAP, patience=patience, min_delta=min_delta))
    assert bool(made.reason_to_stop()) is stops


def test_the_reason_names_the_best_and_the_patience(tmp_path):
    made = history(tmp_path, [0.25, 0.5, 0.5, 0.4])
    assert made.reason_to_stop() == (
        "DetectionBoxes_Precision/mAP was 0.5000 at step 200 and has not improved in 2 evaluations since "
        "(extensions.early_stopping.patience is 2)"
    )
    assert made.best == (200, 0.5)


def test_a_loss_is_better_when_it_is_lower(tmp_path):
    rule = StoppingRule("Loss/total_loss", patience=2)
    made = history(tmp_path, [3.0, 2.0, 2.5], rule)
    assert made.best == (200, 2.0)
    assert not made.reason_to_stop()
    assert made.would_be_best({"Loss/total_loss": 1.9})
    assert not made.would_be_best({"Loss/total_loss": 2.0})


def test_a_restart_remembers_what_came_before_its_checkpoint(tmp_path):
    history(tmp_path, [0.5, 0.4, 0.6])
    assert [step for step, _ in EvaluationHistory(tmp_path, StoppingRule(MAP), 250).evaluations] == [100, 200]
    resumed = history(tmp_path, [0.45], step=250)
    assert resumed.best == (100, 0.5)
    assert resumed.has(300) and not resumed.has(400)
    assert resumed.reason_to_stop()
    written = json.loads((tmp_path / HISTORY_NAME).read_text())
    assert [entry["value"] for entry in written["evaluations"]] == [0.5, 0.4, 0.45]
    assert EvaluationHistory(tmp_path, StoppingRule("Loss/total_loss"), 250).evaluations == []
    assert EvaluationHistory(tmp_path / "empty", StoppingRule(MAP), 0).evaluations == []


def test_a_value_that_is_no_number_survives_a_restart(tmp_path):
    history(tmp_path, [0.5, math.nan])
    (_, first), (_, second) = EvaluationHistory(tmp_path, StoppingRule(MAP), 200).evaluations
    assert first == 0.5 and math.isnan(second)


def test_a_metric_that_is_not_measured(tmp_path):
    with pytest.raises(UserError, match=r"early_stopping\.metric: the evaluation has no mAPP; did you mean mAP\?"):
        history(tmp_path, [], StoppingRule("mAPP")).add(1, {"mAP": 0.5})
    # Nobody chose: the evaluation's own mean average precision counts.
    rule = StoppingRule.of(read_settings_text(Extensions, ""))
    assert not rule.is_chosen and rule.patience is None and rule.metric == MAP
    made = EvaluationHistory(tmp_path, rule, 0)
    assert made.would_be_best({"Loss/total_loss": 3.0, "PascalBoxes_Precision/mAP@0.5IOU": 0.1})
    assert not made.would_be_best({"Loss/total_loss": 3.0})


def test_a_config_says_what_to_watch():
    extensions = read_settings_text(Extensions, "early_stopping { patience: 3 min_delta: 0.25 }")
    assert StoppingRule.of(extensions) == StoppingRule(MAP, is_chosen=False, patience=3, min_delta=0.25)
    extensions = read_settings_text(Extensions, "early_stopping { metric: 'Loss/total_loss' }")
    assert StoppingRule.of(extensions) == StoppingRule("Loss/total_loss", is_chosen=True, patience=5)


def test_a_damaged_history_is_one_line(tmp_path):
    (tmp_path / HISTORY_NAME).write_text('{"evaluations": [{"step": "x"')
    with pytest.raises(UserError, match=r"cannot be read .* delete it to forget the evaluations"):
        EvaluationHistory(tmp_path, StoppingRule(MAP), 0)
