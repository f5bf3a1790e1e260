"""Another batch size than the config's, with learning rates to match: `--scale_learning_rate_to_batch_size`.

The linear rule: with k times the batch size, k times the learning rate. Goyal et al., "Accurate, Large Minibatch SGD:
Training ImageNet in 1 Hour", 2017, https://arxiv.org/abs/1706.02677, section 2.1. It was found with momentum.
"""

from __future__ import annotations

from typing import Any

from configs.settings.annealing import ANNEALED
from configs.settings.declaration import Settings
from configs.settings.learning_rates import ManualSteps, Schedule, rate_names
from configs.settings.reading import read_choice, read_settings
from configs.settings.training import TrainConfig


def scale_to_batch_size(config: Any, batch_size: int) -> tuple[Any, str]:
    """Sets the batch size, and multiplies every rate of the schedule by how much larger it became.

    The numbers of steps stay: a run with k times the batch size sees k times as many images.

    Args:
        config: The `TrainEvalPipelineConfig` message; stays as it is.
        batch_size: To train with, over all replicas.

    Returns:
        The config to train with, and a line that says what was changed.

    Raises:
        SettingsError: There is no batch size or no learning rate to begin with.
    """
    scaled = type(config)()
    scaled.CopyFrom(config)
    settings = read_settings(TrainConfig, config.train_config, "train_config")
    schedule, path = schedule_and_path(config, settings)
    factor = batch_size / settings.batch_size
    changes = [f"train_config.batch_size {settings.batch_size} -> {batch_size}"]
    message = scaled
    for name in path:
        message = getattr(message, name)
    places: list[tuple[Any, Settings, str]] = [(message, schedule, "")]
    if isinstance(schedule, ManualSteps):
        entries = zip(message.schedule, schedule.schedule, strict=True)
        places += [(entry, step, f"schedule[{index}].") for index, (entry, step) in enumerate(entries)]
    for owner, rates, prefix in places:
        for name in rate_names(rates):
            old = getattr(rates, name)
            # 0 stands for "none" or "the initial one" in fields that have it for their default.
            if old:
                setattr(owner, name, old * factor)
                changes.append(f"{prefix}{name} {old:.6g} -> {old * factor:.6g}")
    scaled.train_config.batch_size = batch_size
    words = (
        f"linear rule, {factor:.4g} times the batch size and {path[-1]}: {', '.join(changes)}; steps stay as written"
    )
    return scaled, words


def schedule_and_path(config: Any, settings: TrainConfig) -> tuple[Schedule, list[str]]:
    """The schedule that trains, and the fields that lead from a config to its message.

    Args:
        config: The `TrainEvalPipelineConfig` message.
        settings: Of its `train_config`.
    """
    if config.extensions.HasField("learning_rate"):
        schedule = read_choice(ANNEALED, config.extensions.learning_rate, "extensions.learning_rate")
        return schedule, ["extensions", "learning_rate", ANNEALED.name_of(schedule)]
    kind = settings.optimizer.path_of("optimizer")
    optimizer = settings.optimizer.optimizer
    return optimizer.learning_rate, [
        *("train_config", "optimizer", kind),
        *optimizer.path_of("learning_rate").split("."),
    ]
