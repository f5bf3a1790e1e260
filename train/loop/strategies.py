"""The flags that say how to spread a run over devices."""

from __future__ import annotations

import argparse

from data_prep.runtime.command_line import positive_int

AUTO = "auto"
ONE_DEVICE = "one_device"
MIRRORED = "mirrored"
MULTI_WORKER = "multi_worker_mirrored"
STRATEGIES = (AUTO, ONE_DEVICE, MIRRORED, MULTI_WORKER)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--strategy` and `--virtual_devices`."""
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default=AUTO,
        help="how to use several devices; auto: several machines where TF_CONFIG names them, all GPUs of this one, or "
        "its CPU",
    )
    parser.add_argument(
        "--virtual_devices",
        type=positive_int,
        metavar="N",
        help="split the CPU into N devices, to try training on several without having them",
    )
