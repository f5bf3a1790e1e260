"""Draws the learning rate of a pipeline config over its steps, and prints the numbers where its course changes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from configs.command_line import EXIT_DONE, ConfigArgumentParser, run_command
from configs.files import write_bytes_atomically
from configs.schema.errors import ConfigError
from configs.settings.learning_rates import ScheduleError, build_schedule
from configs.settings.loading import load_config
from configs.views.schedule_plot import draw_schedule
from configs.views.summary import describe_schedule

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
    optimizer = loaded.config.train_config.optimizer
    kind = optimizer.WhichOneof("optimizer")
    if kind is None:
        raise ConfigError(f"{path}: train_config.optimizer is not set: there is no learning rate to draw")
    message = getattr(optimizer, kind).learning_rate
    try:
        schedule = build_schedule(message)
    except ScheduleError as error:
        field = f"train_config.optimizer.{kind}.learning_rate" + (f".{error.field}" if error.field else "")
        raise ConfigError(f"{path}: {field}: {error.reason}") from error
    last_turn = max(turn.step for turn in schedule.turns())
    # Without an end of its own, a run is shown until a little after its last turn.
    num_steps = loaded.config.train_config.num_steps or last_turn * 5 // 4 or _FALLBACK_STEPS
    name = Path(path).name
    image = draw_schedule(schedule, num_steps, f"{name}: {message.WhichOneof('learning_rate')}, {num_steps:,} steps")
    output = arguments.output or Path(f"{name.removesuffix('.config')}.learning_rate.png")
    content = io.BytesIO()
    image.save(content, format="PNG")
    write_bytes_atomically(output, content.getvalue())
    print("\n".join(describe_schedule(schedule)))
    beyond = [turn for turn in schedule.turns() if turn.step > num_steps]
    if beyond:
        print(f"training ends at step {num_steps}, before {', '.join(f'{turn.step}: {turn.what}' for turn in beyond)}")
    print(f"wrote {output}")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
