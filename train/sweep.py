"""Trains a config with one thing changed at a time, with several seeds, and tabulates what each change does to AP.

Rows are a JSON array of {"name": ..., "clear": [field paths], "override": "protobuf text", "num_steps": N}; one with a
name alone is the config as it is. Stopped or killed, the same command goes on; with more rows or seeds, it trains only
those.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import add_config_arguments
from data_prep.formats.label_map import read_label_map
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.command_line import (
    EXIT_DONE,
    EXIT_FAILED,
    ArgumentParser,
    UsageError,
    int_from_zero,
    positive_int,
    run_command,
)
from train.experiments.sweep_rows import configured_rows, read_rows
from train.experiments.sweep_runs import result_of, run_all, runs_of
from train.experiments.sweep_table import markdown_table, rows_csv, runs_csv


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    rows = read_rows(arguments.rows_path)
    if arguments.only:
        unknown = set(arguments.only) - {row.name for row in rows}
        if unknown:
            known = ", ".join(row.name for row in rows)
            raise UsageError(f"--only: {arguments.rows_path} has no row {', '.join(sorted(unknown))}; it has {known}")
        rows = tuple(row for row in rows if row.name in arguments.only)
    configured = configured_rows(
        rows,
        arguments.pipeline_config_path,
        override=arguments.config_override,
        ignore=arguments.ignore_unsupported,
        start=str(read_label_map(arguments.map_classes)) if arguments.map_classes else "",
    )
    seeds = list(dict.fromkeys(arguments.seeds))
    runs = runs_of(configured, seeds, arguments.output_directory)
    failed = run_all(runs, at_a_time=arguments.at_a_time, words=_words_of_training(arguments))
    results = {
        row.row.name: {run.seed: result for run in runs if run.row is row and (result := result_of(run)) is not None}
        for row in configured
    }
    write_text(arguments.output_directory / "runs.csv", runs_csv(results))
    write_text(arguments.output_directory / "rows.csv", rows_csv(results))
    print(f"\n{markdown_table(results)}\n\nwritten to {arguments.output_directory}: rows.csv and runs.csv")
    if failed:
        print(f"{len(failed)} of {len(runs)} trainings failed: {'; '.join(run.title for run in failed)}")
    return EXIT_FAILED if failed else EXIT_DONE


def _words_of_training(arguments: argparse.Namespace) -> list[str]:
    """The flags that a training gets as they are."""
    words = [f"--plugin={module}" for module in arguments.plugin]
    if arguments.ignore_unsupported:
        words += ["--ignore_unsupported", *arguments.ignore_unsupported]
    if arguments.map_classes:
        words += ["--map_classes", str(arguments.map_classes)]
    return words


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.sweep --pipeline_config_path data/pipeline.config --rows_path rows.json \\\n"
        "      --output_directory sweep",
    )
    add_config_arguments(parser)
    parser.add_argument("--rows_path", type=Path, required=True, metavar="JSON", help="what each row changes")
    parser.add_argument(
        "--output_directory", type=Path, required=True, help="gets a folder a training, rows.csv and runs.csv"
    )
    parser.add_argument("--seeds", type=int_from_zero, nargs="+", default=[0, 1, 2], help="of each row's trainings")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the rows, train those of these names")
    parser.add_argument(
        "--at_a_time",
        type=positive_int,
        default=1,
        help="trainings at a time, the cores divided among them",
    )
    parser.add_argument("--map_classes", type=Path, metavar="LABEL_MAP", help="as train.train has it")
    return parser


if __name__ == "__main__":
    run_command(main)
