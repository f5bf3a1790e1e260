"""Finds a learning rate by Smith's range test: some steps on the real data and model, with a rate that rises.

Nothing but the plot is written: no checkpoint, no log.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import ConfigArgumentParser
from data_prep.runtime.atomic_files import write_bytes
from data_prep.runtime.command_line import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    UsageError,
    int_between,
    number_above_zero,
    run_command,
)
from train.experiments.learning_rate_range import FEWEST_STEPS, MOST_STEPS, RangeCurve, suggest
from train.loop.processor import prepare_tensorflow
from train.loop.strategies import add_device_arguments
from train.pipeline import pipeline_from


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ConfigArgumentParser(
        description=__doc__ or "",
        example="  python -m train.find_learning_rate data/pipeline.config --output rates.png",
    )
    parser.add_argument("--output", type=Path, help="the PNG to write; by default CONFIG.learning_rate_range.png here")
    parser.add_argument("--lowest_rate", type=number_above_zero, default=1e-6, help="of the first step")
    parser.add_argument("--highest_rate", type=number_above_zero, default=10.0, help="of the last step")
    parser.add_argument(
        "--num_steps",
        type=int_between(FEWEST_STEPS, MOST_STEPS, "number of steps"),
        default=100,
        help=f"how many steps to make at most, from {FEWEST_STEPS} to {MOST_STEPS}; fewer where the loss explodes",
    )
    add_device_arguments(parser)
    parser.add_argument("--seed", type=int, help="makes batches and initial weights repeatable")
    arguments = parser.parse_args(argv)
    if arguments.highest_rate <= arguments.lowest_rate:
        raise UsageError(
            f"--highest_rate {arguments.highest_rate:g} must be above --lowest_rate {arguments.lowest_rate:g}"
        )
    (arguments.pipeline_config_path,) = arguments.paths
    name = Path(arguments.pipeline_config_path).name
    output = arguments.output or Path(f"{name.removesuffix('.config')}.learning_rate_range.png")
    pipeline = pipeline_from(arguments)
    for note in pipeline.notes:
        print(f"note: {note}")
    prepare_tensorflow()
    try:
        from train.experiments.range_training import field_of_largest_rate, run_range_test

        curve = run_range_test(
            pipeline,
            lowest_rate=arguments.lowest_rate,
            highest_rate=arguments.highest_rate,
            num_steps=arguments.num_steps,
            seed=arguments.seed,
            strategy_name=arguments.strategy,
            virtual_devices=arguments.virtual_devices,
        )
    except KeyboardInterrupt:
        print("interrupted before the first step; nothing is written")
        return EXIT_INTERRUPTED
    return _report(curve, field_of_largest_rate(pipeline), name, output)


def _report(curve: RangeCurve, field: str, name: str, output: Path) -> int:
    """Prints what a curve suggests, and draws it; returns the exit code."""
    from train.experiments.range_plot import draw_range

    print(f"steps made: {len(curve.losses)}; {curve.end}")
    code = EXIT_INTERRUPTED if curve.is_interrupted else EXIT_DONE
    if len(curve.losses) < FEWEST_STEPS:
        print(
            f"too few to suggest a rate: {FEWEST_STEPS} are needed; where the loss ended them, try a smaller "
            "--lowest_rate; nothing is written"
        )
        return code or EXIT_FAILED
    suggestion = suggest(curve)
    if suggestion is None:
        print("no rate is suggested: the loss was never lower than at the first step; try a smaller --lowest_rate")
        code = code or EXIT_FAILED
    else:
        print(f"suggested learning rate: {suggestion.rate:g}, {suggestion.reason}")
        if suggestion.warning:
            print(f"note: {suggestion.warning}")
        print(f"write it to {field}, and scale the schedule's other rates with it")
    content = io.BytesIO()
    draw_range(curve, suggestion, f"{name}: range test, {len(curve.losses)} steps").save(content, format="PNG")
    write_bytes(output, content.getvalue())
    print(f"wrote {output}")
    return code


if __name__ == "__main__":
    run_command(main)
