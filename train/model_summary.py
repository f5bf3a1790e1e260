"""Says what the network of a pipeline config consists of: parameters by part, anchors by level, memory of a step.

Nothing is trained and no records are read, so that a recipe can be looked at as it is; `configs.show` shows the rest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from configs.settings.loading import add_config_arguments, load_config
from configs.settings.pipeline import PipelineSettings
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow

if TYPE_CHECKING:
    from train.models.model_size import AnchorLevel, Part, StepMemory


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.model_summary --pipeline_config_path configs/ssd_resnet50_v1_fpn_640.config",
    )
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args(argv)
    loaded = load_config(arguments.pipeline_config_path, arguments.config_override, arguments.ignore_unsupported)
    if loaded.settings is None:
        raise UsageError("\n".join(f"{loaded.where}: {problem}" for problem in loaded.problems))

    quiet_tensorflow()
    parts, levels, memory = _look_into(loaded.settings)
    lines = describe(parts, levels, memory)
    if not arguments.json:
        print("\n".join(lines))
        return EXIT_DONE
    found = {
        "parts": [dataclasses.asdict(part) for part in parts],
        "anchors": [dataclasses.asdict(level) for level in levels],
        "step_bytes": {**dataclasses.asdict(memory), "total": memory.total} if memory is not None else None,
        "lines": lines,
    }
    print(json.dumps(found))
    return EXIT_DONE


def describe(parts: Sequence[Part], levels: Sequence[AnchorLevel], memory: StepMemory | None) -> list[str]:
    """The page, a line each.

    Args:
        parts: Of the network.
        levels: Its anchors.
        memory: What a step takes; None where the config trains nothing.
    """
    width = max(len(part.name) for part in parts)
    lines = [f"parameters  {sum(part.parameters for part in parts):,}, {sum(part.trained for part in parts):,} trained"]
    lines += [f"  {part.name:<{width}}  {part.parameters:>12,}, {part.trained:,} trained" for part in parts]
    if levels:
        lines.append(f"anchors     {sum(level.count for level in levels):,}, height x width in pixels:")
        for index, level in enumerate(levels):
            lines.append(f"  map {index + 1}  {level.count:>9,}, {level.a_place} a place: {', '.join(level.sizes)}")
    else:
        lines.append("anchors     every image has its own, for images differ in size")
    if memory is not None:
        batch, height, image_width, _ = memory.batch_shape
        lines.append(
            f"memory      about {_bytes(memory.total)} a step with {batch} images of {height} x {image_width}: "
            f"weights {_bytes(memory.weights)}, gradients {_bytes(memory.gradients)}, optimizer "
            f"{_bytes(memory.optimizer)}, activations {_bytes(memory.activations)}"
        )
    return lines


def _look_into(settings: PipelineSettings) -> tuple[list[Part], list[AnchorLevel], StepMemory | None]:
    """Builds the network and measures it."""
    from train.loop.devices import set_precision
    from train.loop.variable_patterns import trainable_variables_of
    from train.models.build import build_or_explain
    from train.models.model_size import anchors_by_level, parts_of, step_memory

    set_precision(settings.precision_policy)
    detector = build_or_explain(settings)
    train = settings.train_config
    patterns = (train.update_trainable_variables, train.freeze_variables) if train is not None else ()
    trained = trainable_variables_of(detector.network, *patterns)
    memory = step_memory(train, settings.extensions, detector, trained) if train is not None else None
    return parts_of(detector.network, trained), anchors_by_level(detector), memory


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


if __name__ == "__main__":
    run_command(main)
