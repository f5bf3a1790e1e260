"""Rows of a sweep, its table, and python -m train.sweep, which is killed and goes on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs.schema import pipeline_file
from configs.schema.problem import ConfigError
from data_prep.runtime.command_line import EXIT_DONE, EXIT_FAILED, UsageError
from train.experiments.sweep_rows import Row, configured_rows, read_rows
from train.experiments.sweep_runs import Result
from train.experiments.sweep_table import markdown_table, rows_csv
from train.sweep import main

ROOT = Path(__file__).resolve().parents[3]


def config_of(row: Row, path: Path):
    (configured,) = configured_rows([row], str(path))
    return pipeline_file.parse_pipeline_config(configured.text)


class TestRows:
    def test_clearing_comes_before_merging(self, block_config) -> None:
        path = block_config("ssd")
        row = Row(
            "crop alone",
            clear=("train_config.data_augmentation_options",),
            override="train_config { data_augmentation_options { ssd_random_crop {} } }",
        )
        (option,) = config_of(row, path).train_config.data_augmentation_options
        assert option.WhichOneof("preprocessing_step") == "ssd_random_crop"
        (option,) = config_of(Row("as it is"), path).train_config.data_augmentation_options
        assert option.WhichOneof("preprocessing_step") == "random_horizontal_flip"

    def test_steps_stretch_the_schedule(self, block_config) -> None:
        schedule = "cosine_decay_learning_rate { learning_rate_base: 0.1 total_steps: 4 warmup_steps: 2 }"
        override = f"train_config {{ optimizer {{ momentum_optimizer {{ learning_rate {{ {schedule} }} }} }} }}"
        config = config_of(Row("longer", override=override, num_steps=40), block_config("ssd"))
        changed = config.train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate
        assert (config.train_config.num_steps, changed.total_steps, changed.warmup_steps) == (40, 40, 20)

    def test_folders_tell_configs_and_starts_apart(self, block_config) -> None:
        path = str(block_config("ssd"))
        rows = [Row("A / B"), Row("A / B", override="train_config { batch_size: 4 }")]
        first, second = (row.folder for row in configured_rows(rows, path))
        (other_start,) = (row.folder for row in configured_rows(rows[:1], path, start="a label map"))
        assert len({first, second, other_start}) == 3
        assert all(folder.startswith("a_b-") for folder in (first, second, other_start))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{}", "array of 1 to"),
            ("[", "not JSON"),
            ('[{"name": "a"}, {"name": "a"}]', 'two rows are named "a"'),
            ('[{"name": " "}]', "row 1: name must be"),
            ('[{"name": "a"}, {"name": "b", "steps": 3}]', "row 2: must be an object with clear, name, num_steps"),
            ('[{"name": "a", "num_steps": true}]', "num_steps must be a whole number"),
            ('[{"name": "a", "clear": "train_config"}]', "clear must be a list"),
        ],
    )
    def test_what_is_no_row_is_refused_by_its_place(self, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "rows.json"
        path.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_rows(path)

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            (Row("x", clear=("train_config.freeze_variables",)), "freeze_variables is not set"),
            (Row("x", override="train_config { batch_sise: 4 }"), 'row "x", override.*batch_size'),
            (Row("x", override="graph_rewriter { quantization {} }"), 'row "x".*graph_rewriter'),
            (Row("x", clear=("eval_input_reader",)), "has no eval_input_reader"),
        ],
    )
    def test_a_row_that_cannot_be_trained_is_refused_before_any_is(self, block_config, row: Row, words: str) -> None:
        with pytest.raises((UsageError, ConfigError), match=words):
            configured_rows([Row("fine"), row], str(block_config("ssd")))


def test_the_rows_of_the_fine_tuning_table_can_all_be_trained(tmp_path: Path) -> None:
    recipe = (ROOT / "configs" / "ssd_mobilenet_v2_428_finetune.config").read_text()
    path = tmp_path / "pipeline.config"
    path.write_text(recipe.replace("PATH_TO_BE_CONFIGURED", "/data"))
    rows = read_rows(ROOT / "tests" / "benchmarks" / "finetune_rows.json")
    texts = [row.text for row in configured_rows(rows, str(path))]
    assert len(set(texts)) == len(rows), "each row changes something"


def test_the_table_has_mean_and_spread() -> None:
    results = {
        "the recipe": {0: Result(0.1, 0.2, 5, 10.0), 1: Result(0.2, 0.3, 5, 20.0), 2: Result(0.6, 0.7, 5, 30.0)},
        "not trained": {},
    }
    *_, line = markdown_table(results).splitlines()
    assert line == "| the recipe | 0.300 (0.100 to 0.600) | 0.400 (0.200 to 0.700) | 3 | 20 |"
    (row,) = csv.DictReader(rows_csv(results).splitlines())
    assert (row["seeds"], row["AP"], row["AP_lowest"], row["AP_highest"]) == ("3", "0.3000", "0.1000", "0.6000")


def test_what_is_there_is_not_trained_again_and_failures_are_told(block_config, tmp_path: Path, capsys) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"name": "one step", "num_steps": 1}, {"name": "fails", "override": MISSING_START}]))
    words = ["--pipeline_config_path", str(block_config("ssd")), "--rows_path", str(rows)]
    words += ["--output_directory", str(tmp_path / "out"), "--seeds", "3"]
    assert main([*words, "--only", "one step"]) == EXIT_DONE
    (run,) = csv.DictReader((tmp_path / "out" / "runs.csv").read_text().splitlines())
    assert (run["row"], run["seed"], run["steps"]) == ("one step", "3", "1")
    assert float(run["cpu_seconds"]) > 0
    capsys.readouterr()
    assert main(words) == EXIT_FAILED
    output = capsys.readouterr().out
    assert "1 of 2 trainings are there already" in output
    assert "fails, seed 3: FAILED with exit code" in output
    (log,) = (tmp_path / "out").glob("fails-*/seed-3/train.log")
    assert "no_such_checkpoint" in log.read_text()
    assert "| one step |" in output, "the table has what was measured"


MISSING_START = (
    'train_config { num_steps: 1 fine_tune_checkpoint: "no_such_checkpoint" fine_tune_checkpoint_type: "full" }'
)


@pytest.mark.slow
def test_killed_it_goes_on_with_what_is_left(block_config, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"name": "first", "num_steps": 1}, {"name": "second", "num_steps": 100000}]))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "train.sweep", "--pipeline_config_path", str(block_config("ssd"))]
    command += ["--rows_path", str(rows), "--output_directory", str(out), "--seeds", "0", "--at_a_time", "2"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        deadline = time.monotonic() + 300
        while not list(out.glob("first-*/seed-0/result.json")) and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    (result,) = out.glob("first-*/seed-0/result.json")
    at = result.stat().st_mtime_ns
    rows.write_text(json.dumps([{"name": "first", "num_steps": 1}, {"name": "third", "num_steps": 1}]))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    assert "1 of 2 trainings are there already" in done.stdout
    assert "third, seed 0: AP" in done.stdout
    assert result.stat().st_mtime_ns == at
    assert not _processes_naming(str(out)), "a killed sweep leaves no training behind"


@pytest.mark.slow
def test_ctrl_c_saves_what_was_trained(block_config, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"name": "long", "num_steps": 100000}]))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "train.sweep", "--pipeline_config_path", str(block_config("ssd"))]
    command += ["--rows_path", str(rows), "--output_directory", str(out), "--seeds", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not any("step 20/" in log.read_text() for log in out.glob("long-*/seed-0/train.log")):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert "running the same command again goes on from here" in errors
    (log,) = out.glob("long-*/seed-0/train.log")
    assert "it is saved, and the same command goes on from step" in log.read_text()


def _processes_naming(text: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in words and folder.name != str(os.getpid()):
            found.append(words)
    return found
