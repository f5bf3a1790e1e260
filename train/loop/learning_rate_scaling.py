"""Another batch size than the config's, with learning rates to match: `--scale_learning_rate_to_batch_size`.

The linear rule: with k times the batch size, k times the learning rate. Goyal et al., "Accurate, Large Minibatch SGD:
Training ImageNet in 1 Hour", 2017, https://arxiv.org/abs/1706.02677, section 2.1. It was found with momentum.
"""

from __future__ import annotations

from typing import Any

from data_prep.runtime.command_line import UsageError

_RATES = {
    "constant_learning_rate": ("learning_rate",),
    "exponential_decay_learning_rate": ("initial_learning_rate", "burnin_learning_rate", "min_learning_rate"),
    "manual_step_learning_rate": ("initial_learning_rate",),
    "cosine_decay_learning_rate": ("learning_rate_base", "warmup_learning_rate"),
}


def scale_to_batch_size(config: Any, batch_size: int) -> tuple[Any, str]:
    """Sets the batch size, and multiplies every rate of the schedule by how much larger it became.

    The numbers of steps stay: a run with k times the batch size sees k times as many images.

    Args:
        config: The `TrainEvalPipelineConfig` message; stays as it is.
        batch_size: To train with, over all replicas.

    Returns:
        The config to train with, and a line that says what was changed.

    Raises:
        UsageError: There is no batch size or no learning rate to begin with.
    """
    scaled = type(config)()
    scaled.CopyFrom(config)
    train_config = scaled.train_config
    kind = train_config.optimizer.WhichOneof("optimizer")
    rate = getattr(train_config.optimizer, kind).learning_rate if kind else None
    schedule = rate.WhichOneof("learning_rate") if rate is not None else None
    if train_config.batch_size < 1 or rate is None or schedule is None:
        raise UsageError(
            "--scale_learning_rate_to_batch_size needs a train_config.batch_size and a learning rate to begin with"
        )
    factor = batch_size / train_config.batch_size
    changes = [f"train_config.batch_size {train_config.batch_size} -> {batch_size}"]
    message = getattr(rate, schedule)
    entries = list(message.schedule) if schedule == "manual_step_learning_rate" else []
    places = [(message, name, name) for name in _RATES[schedule]]
    places += [(entry, "learning_rate", f"schedule[{index}].learning_rate") for index, entry in enumerate(entries)]
    for owner, field, name in places:
        old = getattr(owner, field)
        # 0 stands for "none" or "the initial one" in fields that have it for their default.
        if old:
            setattr(owner, field, old * factor)
            changes.append(f"{name} {old:.6g} -> {old * factor:.6g}")
    train_config.batch_size = batch_size
    words = (
        f"linear rule, {factor:.4g} times the batch size and {schedule}: {', '.join(changes)}; steps stay as written"
    )
    return scaled, words
