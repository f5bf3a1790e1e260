"""Where the time from the command to the first step goes: `train.train` itself, from its process' start.

    python -m tests.benchmarks.first_step [--runs 3] [ssd_mobilenet_v2_fpnlite ...]

Prints the CPU seconds of each phase, the least of several runs, and those by the clock: reading and augmenting images,
restoring a checkpoint and making the evaluation ready included. Networks and batches are those of
`tests.benchmarks.train_step`; the images are sixteen of 1024x768.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.train_step import MODELS, config_of, last_json, started_seconds_ago

NUM_IMAGES = 16


def make_inputs(name: str, folder: Path) -> None:
    """Writes records, a label map, a checkpoint of an untrained network, and a config."""
    from configs.schema.pipeline_file import merge, write_pipeline_config
    from tests.benchmarks.evaluation import write_records
    from tests.small_models import build_detector
    from train.loop.processor import prepare_tensorflow

    prepare_tensorflow()
    import tensorflow as tf

    write_records(folder, NUM_IMAGES)
    config = config_of(name)
    reader = (
        f'label_map_path: "{folder}/label_map.pbtxt" tf_record_input_reader {{ input_path: "{folder}/test.record" }}'
    )
    config.ClearField("train_input_reader")
    config.ClearField("eval_input_reader")
    tf.train.Checkpoint(model=build_detector(config).network).write(str(folder / "checkpoint" / "ckpt-0"))
    words = f'batch_size: {MODELS[name][1]} fine_tune_checkpoint: "{folder}/checkpoint/ckpt-0"'
    config = merge(config, f"train_config {{ {words} fine_tune_checkpoint_type: 'full' }}")
    config = merge(config, f"train_input_reader {{ {reader} }} eval_input_reader {{ shuffle: false {reader} }}")
    write_pipeline_config(folder / "pipeline.config", config)


class Phases:
    """The times between the ends of a process' phases."""

    def __init__(self) -> None:
        """Begins with the process."""
        self.seconds: dict[str, tuple[float, float]] = {}
        self._last = (0.0, 0.0)

    def end(self, name: str) -> None:
        """Ends a phase, which began where the last one ended."""
        now = (time.process_time(), started_seconds_ago())
        before = self.seconds.get(name, (0.0, 0.0))
        self.seconds[name] = tuple(b + n - at for b, n, at in zip(before, now, self._last, strict=True))
        self._last = now

    def end_after(self, owner: Any, function: str, name: str, *, is_last: bool = False) -> None:
        """Ends a phase whenever a function returns, and after the last one prints all as JSON and ends the process."""
        original = getattr(owner, function)

        @functools.wraps(original)
        def ended(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self.end(name)
            if is_last:
                assert sys.__stdout__ is not None
                os.write(sys.__stdout__.fileno(), json.dumps(self.seconds).encode() + b"\n")
                os._exit(0)
            return result

        setattr(owner, function, ended)


def measure(folder: Path) -> None:
    """Trains one step in this process, which then ends, and prints JSON."""
    from train import train as command

    phases = Phases()
    prepare = command.prepare_tensorflow

    def prepare_and_measure() -> None:
        phases.end("Python, the command line, the config")
        prepare()
        import tensorflow  # noqa: F401

        phases.end("importing TensorFlow")
        from train.loop import outer_loop, run, step

        phases.end("importing the rest")
        phases.end_after(run, "build_parts", "building the network")
        phases.end_after(run, "_start", "restoring the checkpoint")
        phases.end_after(run, "create_slots", "making the optimizer's variables")
        phases.end_after(run, "draw_first_batch", "the input: tracing, and the first batch")
        phases.end_after(outer_loop.TrainingRun, "__init__", "making the evaluation ready")
        # The last that a step is traced from; AutoGraph, which would convert a wrapped step, leaves it alone.
        phases.end_after(step, "count_batch", "tracing the step")
        phases.end_after(step.DetectionTrainer, "train_loop_end", "running it for the first time", is_last=True)

    command.prepare_tensorflow = prepare_and_measure
    words = ["--pipeline_config_path", str(folder / "pipeline.config"), "--num_train_steps", "1"]
    command.main([*words, "--model_dir", str(folder / f"model-{os.getpid()}")])


def main(argv: Sequence[str] | None = None) -> int:
    """Measures each model in processes of their own, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", choices=[[], *MODELS], default=[])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--in_this_process", type=Path, metavar="FOLDER", help="measures one run and prints JSON")
    arguments = parser.parse_args(argv)
    if arguments.in_this_process:
        measure(arguments.in_this_process)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in arguments.models or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            make_inputs(name, Path(folder))
            command = [sys.executable, "-m", "tests.benchmarks.first_step", "--in_this_process", folder]
            runs: list[Any] = [last_json(command) for _ in range(arguments.runs)]
        print(f"{name}, batches of {MODELS[name][1]}, seconds of CPU (by the clock), of {arguments.runs} runs:")
        for phase in runs[0]:
            cpu, wall = (min(run[phase][index] for run in runs) for index in (0, 1))
            print(f"    {phase:<40} {cpu:6.2f} ({wall:6.2f})")
        cpu, wall = (min(sum(seconds[index] for seconds in run.values()) for run in runs) for index in (0, 1))
        print(f"    {'in all':<40} {cpu:6.2f} ({wall:6.2f})", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
