"""Names of the ways to spread a run over devices: the values of `--strategy`."""

from __future__ import annotations

AUTO = "auto"
ONE_DEVICE = "one_device"
MIRRORED = "mirrored"
MULTI_WORKER = "multi_worker_mirrored"
STRATEGIES = (AUTO, ONE_DEVICE, MIRRORED, MULTI_WORKER)
