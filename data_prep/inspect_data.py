"""Writes one HTML page to look through a data set with; see `data_prep.inspection.command`."""

import os

from data_prep.inspection.command import main
from data_prep.records.image_checks import TENSORFLOW_ENVIRONMENT
from data_prep.runtime.command_line import run_command

__all__ = ["main"]

if __name__ == "__main__":
    os.environ.update(TENSORFLOW_ENVIRONMENT)
    run_command(main)
