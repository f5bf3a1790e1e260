"""Steps of a learning rate's schedule, and the intervals of a training, stretched with its number of steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from configs.filling.changes import Change
from configs.schema.descriptors import short_name
from configs.schema.fields import children

_ENDS = ("CosineDecayLearningRate", "OneCycleLearningRate", "PolynomialDecayLearningRate")  # they have total_steps
_MANUAL_STEPS = "ManualStepLearningRate"
# For each message, its fields that count steps, and the least that each may be.
_STEP_FIELDS = {
    "CosineDecayLearningRate": {"total_steps": 1, "warmup_steps": 0, "hold_base_rate_steps": 0},
    "ExponentialDecayLearningRate": {"decay_steps": 1, "burnin_steps": 0},
    "OneCycleLearningRate": {"total_steps": 1},
    "PolynomialDecayLearningRate": {"total_steps": 1, "warmup_steps": 0},
    "Mixing": {"off_for_last_n_steps": 0},
    "Extensions": {"evaluate_every_n_steps": 1, "checkpoint_every_n_steps": 1},
}
_LARGEST = 2**32 - 1  # of a uint32
_MOST_BETWEEN_CHECKPOINTS = 1000  # what train.train has by default: longer, a stopped run would lose much


def steps_of_recipe(config: Any) -> int:
    """Returns how many steps a recipe is made for: its `num_steps`, else its schedule's `total_steps`, else 0."""
    if config.train_config.num_steps:
        return int(config.train_config.num_steps)
    totals = [message.total_steps for _, message in _messages(config) if short_name(message.DESCRIPTOR) in _ENDS]
    return int(totals[0]) if totals else 0


def stretched(config: Any, before: int, after: int) -> list[Change]:
    """Returns what becomes of everything in a config that counts steps, when the training becomes longer or shorter.

    Args:
        config: A `TrainEvalPipelineConfig`.
        before: The number of steps that it is made for, from 1.
        after: The number that it is to have, from 1.
    """
    changes = []
    for path, message in _messages(config):
        name = short_name(message.DESCRIPTOR)
        for field, least in _STEP_FIELDS.get(name, {}).items():
            value = getattr(message, field)
            new = max(least, _scaled(value, before, after)) if value else 0
            if field == "checkpoint_every_n_steps":
                new = min(new, max(value, _MOST_BETWEEN_CHECKPOINTS))
            if new != value:
                changes.append(Change(f"{path}.{field}", new))
        if name == _MANUAL_STEPS:
            changes += _manual_steps(path, message, before, after)
    return changes


def _manual_steps(path: str, message: Any, before: int, after: int) -> Iterator[Change]:
    """Stretches steps that must rise, the first of them above 0 where a warm-up leads to it."""
    earlier = 0 if message.warmup else -1
    for index, change in enumerate(message.schedule):
        new = max(_scaled(change.step, before, after), earlier + 1)
        if new != change.step:
            yield Change(f"{path}.schedule[{index}].step", new)
        earlier = new


def _scaled(value: int, before: int, after: int) -> int:
    return min((2 * value * after + before) // (2 * before), _LARGEST)


def _messages(config: Any) -> Iterator[tuple[str, Any]]:
    """Lists the messages of a training: the optimizer, the extensions, and all in them; each with its path."""
    found: list[tuple[str, Any]] = [("train_config.optimizer", config.train_config.optimizer)]
    if config.HasField("extensions"):
        found.append(("extensions", config.extensions))
    while found:
        path, message = found.pop(0)
        yield path, message
        found += [(f"{path}.{name}", value) for name, _, value in children(message) if isinstance(value, Message)]
