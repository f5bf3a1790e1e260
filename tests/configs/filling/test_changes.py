"""Fields changed in a config's text: whatever its layout, what it says is what the changed message says."""

from __future__ import annotations

from typing import Any

import pytest

from configs.filling.changes import Change, changed_text
from configs.schema.pipeline_file import parse_pipeline_config
from configs.schema.problem import ConfigError

STEPS = "train_config.num_steps"
INPUT = "train_input_reader.tf_record_input_reader.input_path"


def change(text: str, *changes: tuple[str, Any]) -> str:
    return changed_text(text, parse_pipeline_config(text), [Change(*one) for one in changes], "a.config")


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("train_config { num_steps: 1 }  # mine\n", STEPS, 7, "train_config { num_steps: 7 }  # mine\n"),
        ("train_config < num_steps:1; >", STEPS, 7, "train_config < num_steps:7; >"),
        ("train_config: { num_steps : 1, batch_size: 2 }", STEPS, 7, "train_config: { num_steps : 7, batch_size: 2 }"),
        ("train_config { }", STEPS, 7, "train_config { num_steps: 7 }"),
        ("train_config { batch_size: 2 }", STEPS, 7, "train_config { batch_size: 2 num_steps: 7 }"),
        (
            "train_config {\n  batch_size: 2  # two\n}\n",
            STEPS,
            7,
            "train_config {\n  batch_size: 2  # two\n  num_steps: 7\n}\n",
        ),
        ("# nothing", STEPS, 7, "# nothing\ntrain_config { num_steps: 7 }\n"),
        (
            "train_input_reader { }",
            INPUT,
            "x",
            'train_input_reader { tf_record_input_reader { input_path: "x" } }',
        ),
        (
            "train_input_reader { tf_record_input_reader { input_path: ['a', \"b\" # c ]\n, 'd'] } }",
            INPUT,
            'q"\\ü',
            'train_input_reader { tf_record_input_reader { input_path: "q\\"\\\\ü" } }',
        ),
        (
            "train_input_reader { tf_record_input_reader {\n input_path: 'a'\n  'b'  # in two\n input_path: 'c'\n} }",
            INPUT,
            "x",
            'train_input_reader { tf_record_input_reader {\n input_path: "x"  # in two\n} }',
        ),
        (
            "train_config {\n  num_steps: 1 # a\n  batch_size: 2 }",
            STEPS,
            None,
            "train_config {\n   # a\n  batch_size: 2 }",
        ),
        ("train_config {\n  num_steps: 1;\n  batch_size: 2 }", STEPS, None, "train_config {\n  batch_size: 2 }"),
        (
            "eval_input_reader { name: 'a' }\neval_input_reader {\n  name: '}'\n}\neval_input_reader { name: 'c' }\n",
            "eval_input_reader[1]",
            None,
            "eval_input_reader { name: 'a' }\neval_input_reader { name: 'c' }\n",
        ),
    ],
)
def test_one_field_changes_and_the_rest_stays(text: str, path: str, value: Any, expected: str) -> None:
    assert change(text, (path, value)) == expected


def test_elements_are_told_apart_however_the_list_is_written() -> None:
    manual = "train_config.optimizer.momentum_optimizer.learning_rate.manual_step_learning_rate"
    start = "train_config { optimizer { momentum_optimizer { learning_rate { manual_step_learning_rate { "
    for steps in (
        "schedule { step: 10 } schedule { learning_rate: 0.1 } schedule { step: 30 }",
        "schedule [{ step: 10 }, { learning_rate: 0.1 }] schedule: { step: 30 }",
    ):
        text = change(
            f"{start}{steps} }} }} }} }} }}", (f"{manual}.schedule[1].step", 2), (f"{manual}.schedule[2].step", 3)
        )
        rate = parse_pipeline_config(text).train_config.optimizer.momentum_optimizer.learning_rate
        assert [one.step for one in rate.manual_step_learning_rate.schedule] == [10, 2, 3]


def test_what_cannot_be_edited_is_refused_and_not_written_wrongly() -> None:
    with pytest.raises(ConfigError, match=r"a.config: cannot be edited in place \(eval_input_reader\[1\]\)"):
        change(
            "eval_input_reader [{ name: 'a' }, { name: 'b' }]\neval_input_reader { }", ("eval_input_reader[1]", None)
        )
