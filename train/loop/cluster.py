"""The machines of a training that runs on several, as `TF_CONFIG` names them.

Kubeflow and Vertex AI set this variable in each process; `train/deploy/slurm_worker.sh` sets it under SLURM.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
from collections.abc import Mapping
from typing import Any

from data_prep.runtime.command_line import UsageError, printable

VARIABLE = "TF_CONFIG"
_EXAMPLE = '{"cluster": {"worker": ["host-a:12345", "host-b:12345"]}, "task": {"type": "worker", "index": 0}}'
_CHIEFS = ("chief", "master")  # "master" is what TensorFlow 1 called it, and older launchers still do
_WORKER = "worker"
_ADDRESS = re.compile(r"[^\s/]+:(\d{1,5})")
_REFUSED = {
    "ps": "parameter servers are not used: all workers are in step",
    "evaluator": "evaluations are made by the chief; to have them in a process of their own, run train.evaluate there",
}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train one model together.

    Attributes:
        addresses: `host:port` of each, the chief's first.
        index: Which of them this process is; the chief is 0.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def num_workers(self) -> int:
        """How many processes there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    def to_tf_config(self) -> str:
        """The variable as TensorFlow 2 reads it, which knows no "master" and no index in quotes."""
        task = {"type": _WORKER, "index": self.index}
        return json.dumps({"cluster": {_WORKER: self.addresses}, "task": task})

    def name_of(self, index: int) -> str:
        """A worker for messages."""
        return f"worker {index} ({self.addresses[index]})"

    def require_free_port(self) -> None:
        """Makes sure that this process can listen where the others expect it.

        Raises:
            UsageError: Another process listens there.
        """
        port = int(self.addresses[self.index].rpartition(":")[2])
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as error:
                raise UsageError(
                    f"{VARIABLE}: port {port} of {self.name_of(self.index)} cannot be listened on "
                    f"({error.strerror}); end what uses it, or give the cluster another port"
                ) from None


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads which processes train together.

    Args:
        environment: Where `TF_CONFIG` may be.

    Returns:
        None where there is no `TF_CONFIG`, or it names this process alone.

    Raises:
        UsageError: It cannot be understood, or names a task that has no part in a training.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        written = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"{VARIABLE} is no JSON ({error}): {printable(text, 80)}; it should be as {_EXAMPLE}"
        ) from None
    if not isinstance(written, dict) or not written:
        raise UsageError(f"{VARIABLE} should be as {_EXAMPLE}, but is {printable(text, 80)}")
    addresses, num_chiefs = _addresses(written.get("cluster"))
    task = written.get("task")
    if not isinstance(task, dict) or not isinstance(task.get("type"), str):
        raise UsageError(f"{VARIABLE}.task does not say which process this is; it should be as in {_EXAMPLE}")
    kind = task["type"]
    if kind in _REFUSED:
        raise UsageError(f'{VARIABLE}.task.type is "{kind}": {_REFUSED[kind]}')
    if kind not in (*_CHIEFS, _WORKER):
        raise UsageError(f'{VARIABLE}.task.type is {printable(kind, 40)}; it should be "chief" or "worker"')
    number = task.get("index")
    if isinstance(number, str) and number.isdecimal():  # shell scripts write it so
        number = int(number)
    first, count = (0, num_chiefs) if kind in _CHIEFS else (num_chiefs, len(addresses) - num_chiefs)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < count:
        there = f"0 to {count - 1}" if count else "none"
        raise UsageError(f"{VARIABLE}.task.index is {number!r}, but of {kind} the cluster has {there}")
    cluster = Cluster(addresses, first + number)
    return cluster if cluster.num_workers > 1 else None


def _addresses(written: Any) -> tuple[tuple[str, ...], int]:
    """Returns all workers' addresses, the chief's first, and how many of them are called chief."""
    if not isinstance(written, dict):
        raise UsageError(f"{VARIABLE}.cluster does not say which processes there are; it should be as in {_EXAMPLE}")
    if written.get("ps"):
        raise UsageError(f'{VARIABLE}.cluster names "ps": {_REFUSED["ps"]}')
    found: dict[str, list[str]] = {}
    for kind in (*_CHIEFS, _WORKER):
        listed = written.get(kind, [])
        if not isinstance(listed, list) or not all(isinstance(address, str) for address in listed):
            raise UsageError(f"{VARIABLE}.cluster.{kind} is not a list of addresses; it should be as in {_EXAMPLE}")
        found[kind] = listed
    chiefs = [address for kind in _CHIEFS for address in found[kind]]
    if len(chiefs) > 1:
        raise UsageError(f"{VARIABLE}.cluster names {len(chiefs)} chiefs; there is one, the others are workers")
    addresses = (*chiefs, *found[_WORKER])
    if not addresses:
        raise UsageError(f"{VARIABLE}.cluster names no worker; it should be as in {_EXAMPLE}")
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match.group(1)) < 2**16:
            raise UsageError(f'{VARIABLE}.cluster: {printable(address, 80)} is no address; write "host:port"')
        if addresses.count(address) > 1:
            raise UsageError(f"{VARIABLE}.cluster names {address} twice; each process needs a port of its own")
    return addresses, len(chiefs)
