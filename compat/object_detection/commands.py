"""The project's commands under the names of the API's scripts, with the defaults that those have."""

from __future__ import annotations

import runpy
import sys


def run(module: str, **defaults: list[str]) -> None:
    """Runs a command on this process's command line.

    Args:
        module: Of the command, such as `train.train`.
        **defaults: Values of flags that the command line does not give, by the flag's name.
    """
    given = {_flag_name(word) for word in sys.argv[1:] if word.startswith("-")}
    missing = [(name, values) for name, values in defaults.items() if name not in given]
    sys.argv[1:1] = [word for name, values in missing for word in (f"--{name}", *values)]
    runpy.run_module(module, run_name="__main__")


def _flag_name(word: str) -> str:
    """The name of a flag as argparse keeps it: `-input-type=x` is input_type."""
    return word.partition("=")[0].lstrip("-").replace("-", "_").removeprefix("no" if word.startswith("--no") else "")
