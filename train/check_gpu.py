"""Checks a machine's GPUs: whether training on them gives what it gives on the CPU, how fast, and with how much memory.

Both families are trained for some steps in float32, mixed float16 and mixed bfloat16, and over all GPUs at once where
there are two. The records are drawn, and nothing is left behind.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from data_prep.runtime.command_line import (
    EXIT_DONE,
    EXIT_FAILED,
    ArgumentParser,
    UserError,
    number_above_zero,
    positive_int,
    run_command,
)
from train.loop.processor import prepare_tensorflow
from train.pipeline import Pipeline, load_pipeline

_NO_GPU = (
    "TensorFlow sees no GPU: nvidia-smi must list one (if not, install NVIDIA's driver), and CUDA's libraries come "
    "with pip install 'tensorflow[and-cuda]==2.20.*'; to try this check without a GPU: --virtual_devices 2"
)
_BATCH_SIZE = 8
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(description=__doc__ or "", example="  python -m train.check_gpu")
    parser.add_argument(
        "--virtual_devices",
        type=positive_int,
        metavar="N",
        help="check so many parts of the CPU as if they were GPUs, to try the check itself",
    )
    parser.add_argument("--num_steps", type=positive_int, default=60, help="steps of each training")
    parser.add_argument(
        "--max_minutes", type=number_above_zero, default=10.0, help="what would begin later is not run, and has failed"
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=list(PRECISIONS),
        metavar="PRECISION",
        help=f"those to train in, of {', '.join(PRECISIONS)}",
    )
    parser.add_argument(
        "--pipeline_config_path",
        nargs="+",
        default=[],
        metavar="PATH",
        help="check configs of your own, on their own records, in place of the two that are built in",
    )
    arguments = parser.parse_args(argv)
    started = time.monotonic()
    prepare_tensorflow()
    from train.experiments.device_check import check_devices

    accelerators, cpus = _devices(arguments.virtual_devices)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.pipeline_config_path:
            pipelines = {Path(path).name: load_pipeline(path) for path in arguments.pipeline_config_path}
        else:
            pipelines = _built_in(Path(folder), len(accelerators))
        outcomes = check_devices(
            pipelines,
            accelerators=accelerators,
            cpus=cpus,
            precisions=arguments.precisions,
            num_steps=arguments.num_steps,
            seconds=60 * arguments.max_minutes - (time.monotonic() - started),
        )
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    if failed:
        print(f"{failed} of {len(outcomes)} trainings failed")
        return EXIT_FAILED
    print(f"all {len(outcomes)} trainings are as they should be")
    return EXIT_DONE


def _devices(virtual_devices: int | None) -> tuple[list[str], list[str]]:
    """Returns the logical devices to check, and as many logical CPUs."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and not virtual_devices:
        raise UserError(_NO_GPU)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    count = virtual_devices or len(gpus)
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    cpus = [f"CPU:{index}" for index in range(count)]
    if virtual_devices:
        print(f"as if they were GPUs: {count} parts of the CPU")
        return cpus[::-1], cpus
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        print(f"{gpu.name.removeprefix('/physical_device:')}: {details.get('device_name', 'unknown')}")
    return [f"GPU:{index}" for index in range(count)], cpus


def _built_in(folder: Path, replicas: int) -> dict[str, Pipeline]:
    """The families' recipes on drawn records, with a batch that divides by the devices."""
    from train.experiments.check_set import FAMILIES, recipe_and_override, write_check_set

    write_check_set(folder)
    batch_size = replicas * max(_BATCH_SIZE // replicas, 1)
    return {family: load_pipeline(*recipe_and_override(family, folder, batch_size)) for family in FAMILIES}


if __name__ == "__main__":
    run_command(main)
