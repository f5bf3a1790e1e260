"""A server's own counts, read from its Prometheus endpoint: how large its batches were, and what it used."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import requests

from data_prep.runtime.command_line import UserError

MAX_BYTES = 16 << 20
TIMEOUT_SECONDS = 5.0

# TensorFlow Serving has said `batching_session` and `batching` over the years.
_BATCH_SIZE = re.compile(
    r"^:tensorflow:serving:batching\w*:processed_batch_size_(?P<kind>bucket|sum|count)\{(?P<labels>.*)\} (?P<value>\S+)"
)
_LIMIT = re.compile(r'\ble="([^"]*)"')


@dataclass
class BatchCounts:
    """Batches that a server has run since it started.

    Attributes:
        up_to: By size limit (as text, `+Inf` the last), how many batches were at most so large.
        images: How many images they held together, padding included.
        batches: How many there were.
    """

    up_to: dict[str, int] = field(default_factory=dict)
    images: float = 0.0
    batches: int = 0

    def since(self, earlier: BatchCounts) -> tuple[dict[str, int], float | None]:
        """Returns what came after `earlier`: batches by size (`1`, `2`, `3-4`, ...) and their mean size."""
        sizes: dict[str, int] = {}
        below, lower = 0, 0.0
        for limit in sorted(self.up_to, key=float):
            total = self.up_to[limit] - earlier.up_to.get(limit, 0)
            if total > below:
                sizes[_range(lower, float(limit), limit)] = total - below
            below, lower = total, float(limit)
        batches = self.batches - earlier.batches
        return sizes, (self.images - earlier.images) / batches if batches > 0 else None


def read_metrics(url: str) -> str:
    """Reads a Prometheus endpoint.

    Raises:
        UserError: It does not answer, or not with text of a bearable size.
    """
    try:
        with requests.get(url, timeout=TIMEOUT_SECONDS, stream=True) as response:
            response.raise_for_status()
            content = response.raw.read(MAX_BYTES + 1, decode_content=True)
    except requests.RequestException as error:
        raise UserError(f"--monitoring_url {url}: {error}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"--monitoring_url {url}: more than {MAX_BYTES >> 20} MiB, which no server's counts take")
    return content.decode("utf-8", "replace")


def parse_batch_counts(text: str) -> BatchCounts:
    """Returns the batch sizes in Prometheus's text format, of all models together."""
    counts = BatchCounts()
    for line in text.splitlines():
        match = _BATCH_SIZE.match(line)
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        if match["kind"] == "sum":
            counts.images += value
        elif match["kind"] == "count":
            counts.batches += int(value)
        elif limit := _LIMIT.search(match["labels"]):
            counts.up_to[limit[1]] = counts.up_to.get(limit[1], 0) + int(value)
    return counts


def _range(lower: float, upper: float, text: str) -> str:
    if text == "+Inf":
        return f"over {lower:g}"
    return f"{upper:g}" if upper - lower <= 1 else f"{lower + 1:g}-{upper:g}"
