"""Two CPUs for a test, which TensorFlow must be told of before it starts: a process of their own."""

from __future__ import annotations

import subprocess
import sys


def run_on_two_cpus(module: str, function: str, *arguments: str) -> None:
    """Calls a function of a test module with a strategy over two CPUs, in a process that has them."""
    program = (
        "import importlib, sys\n"
        "from train.loop.devices import pick_strategy\n"
        "strategy = pick_strategy(virtual_devices=2)\n"
        "assert strategy.num_replicas_in_sync == 2\n"
        "getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(strategy, *sys.argv[3:])\n"
    )
    command = [sys.executable, "-c", program, module, function, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
