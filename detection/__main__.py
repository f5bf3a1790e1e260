"""`python -m detection` is the command `detection`, for a checkout that is not installed."""

from data_prep.runtime.command_line import run_command
from detection.main import run

if __name__ == "__main__":
    run_command(run)
