"""The project's commands, one after the other, as the steps of a `create_*_tf_record` script."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# isort: split
from configs.settings.api_flags import add_api_arguments, settle_api_flags
from data_prep.runtime.child_environment import command_environment
from data_prep.runtime.command_line import UsageError

Step = Sequence[object]


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Reads the command line, with absl's flags: those that have no effect are said, and others refused."""
    add_api_arguments(parser)
    arguments = parser.parse_args()
    try:
        settle_api_flags(arguments)
    except UsageError as error:
        parser.error(str(error))
    return arguments


def run_steps(*steps: Step) -> int:
    """Runs commands, each after its name and words are printed.

    Args:
        *steps: A command's module and its words, each.

    Returns:
        0, or the exit code of the first that did not end with 0; those after it are not run.
    """
    environment = command_environment()
    for step in steps:
        words = [str(word) for word in step]
        print(f"== python -m {' '.join(words)}", flush=True)
        code = subprocess.run([sys.executable, "-m", *words], env=environment, check=False).returncode
        if code:
            return code
    return 0


def records_step(work: Path, images: Path, label_map: Path, record: Path, num_shards: int) -> Step:
    """The step from `work`/points.json and images by their ids to records."""
    return [
        *("data_prep.make_tfrecords", "--datapoints_input_path", work / "points.json", "--image_directory", images),
        *("--label_map_path", label_map, "--record_output_path", record, "--num_shards", num_shards),
    ]


def refuse(parser: argparse.ArgumentParser, **flags: tuple[object, str]) -> None:
    """Ends with exit code 2 where a flag asks for what is not there.

    Args:
        parser: Of the script.
        **flags: What a flag was given, and why it is refused and what to do, by its name.
    """
    for name, (given, reason) in flags.items():
        if given:
            parser.error(f"--{name}: {reason}")
