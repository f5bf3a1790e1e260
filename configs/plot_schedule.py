"""Draws the learning rate of a pipeline config over its steps, and prints the numbers where its course changes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.schema.problem import ConfigError
from configs.settings.annealing import ANNEALED
from configs.settings.declaration import SettingsError
from configs.settings.learning_rates import Schedule
from configs.settings.loading import ConfigArgumentParser, load_config
from configs.settings.optimizers import Optimizer
from configs.settings.reading import read_choice, read_settings
from configs.views.schedule_plot import draw_schedule
from configs.views.summary import describe_schedule
from data_prep.runtime.atomic_files import write_bytes
from data_prep.runtime.command_line import EXIT_DONE, run_command

_FALLBACK_STEPS = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ConfigArgumentParser(
        description=__doc__ or "",
        example="  python -m configs.plot_schedule pipeline.config --output schedule.png",
    )
    parser.add_argument("--output", type=Path, help="the PNG to write; by default CONFIG.learning_rate.png, right here")
    arguments = parser.parse_args(argv)
    (path,) = arguments.paths
    loaded = load_config(path, arguments.config_override, arguments.ignore_unsupported)
    try:
        schedule, kind = _read_schedule(loaded.config)
    except SettingsError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from error
    last_turn = max(turn.step for turn in schedule.turns())
    # Without an end of its own, a run is shown until a little after its last turn.
    num_steps = loaded.config.train_config.num_steps or last_turn * 5 // 4 or _FALLBACK_STEPS
    name = Path(path).name
    image = draw_schedule(schedule, num_steps, f"{name}: {kind}, {num_steps:,} steps")
    output = arguments.output or Path(f"{name.removesuffix('.config')}.learning_rate.png")
    content = io.BytesIO()
    image.save(content, format="PNG")
    write_bytes(output, content.getvalue())
    print("\n".join(describe_schedule(schedule)))
    beyond = [turn for turn in schedule.turns() if turn.step > num_steps]
    if beyond:
        print(f"training ends at step {num_steps}, before {', '.join(f'{turn.step}: {turn.what}' for turn in beyond)}")
    print(f"wrote {output}")
    return EXIT_DONE


def _read_schedule(config: Any) -> tuple[Schedule, str]:
    """Reads the learning rate that trains, whatever the rest of the config is like; with the name of its kind."""
    if config.extensions.HasField("learning_rate"):
        schedule = read_choice(ANNEALED, config.extensions.learning_rate, "extensions.learning_rate")
        return schedule, ANNEALED.name_of(schedule)
    optimizer = read_settings(Optimizer, config.train_config.optimizer, "train_config.optimizer").optimizer
    return optimizer.learning_rate, optimizer.path_of("learning_rate").removeprefix("learning_rate.")


if __name__ == "__main__":
    run_command(main)
