"""Metrics of the local server, under TensorFlow Serving's names, written as Prometheus reads it."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER_MODELS = "(unknown)"  # one name for all that is not served, or callers could invent names without end

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
RUNTIME_LATENCY = ":tensorflow:serving:runtime_latency"
WARMUP_LATENCY = ":tensorflow:serving:model_warmup_latency"
LOAD_ATTEMPT_COUNT = ":tensorflow:cc:saved_model:load_attempt_count"
LOAD_LATENCY = ":tensorflow:cc:saved_model:load_latency"
QUEUING_LATENCY = ":tensorflow:serving:batching_session:queuing_latency"
INPUT_BATCH_SIZE = ":tensorflow:serving:batching_session:input_batch_size"
PROCESSED_BATCH_SIZE = ":tensorflow:serving:batching_session:processed_batch_size"
PADDING_SIZE = ":tensorflow:serving:batching_session:padding_size"


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Returns the upper bounds of `count` buckets that begin with `start` and grow by `factor`."""
    return tuple(start * factor**exponent for exponent in range(count))


# The bounds are TensorFlow Serving's: of latencies in microseconds, and of sizes in images.
_LATENCY_BOUNDS = exponential(10, 1.8, 33)
_QUEUING_BOUNDS = exponential(100, 1.2, 52)
_SIZE_BOUNDS = exponential(1, 2, 11)
_COUNTERS: dict[str, str] = {
    REQUEST_COUNT: "The total number of requests.",
    LOAD_ATTEMPT_COUNT: "How often a SavedModel was tried to be loaded.",
    LOAD_LATENCY: "Microseconds that loading SavedModels took.",
}
_HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    REQUEST_LATENCY: ("Distribution of wall time (in microseconds) of requests.", _LATENCY_BOUNDS),
    RUNTIME_LATENCY: ("Distribution of wall time (in microseconds) of TensorFlow's part.", _LATENCY_BOUNDS),
    WARMUP_LATENCY: ("Distribution of wall time (in microseconds) of warming a version.", _LATENCY_BOUNDS),
    QUEUING_LATENCY: ("Distribution of wall time (in microseconds) spent waiting for a batch.", _QUEUING_BOUNDS),
    INPUT_BATCH_SIZE: ("Distribution of the number of images in a request that is batched.", _SIZE_BOUNDS),
    PROCESSED_BATCH_SIZE: ("Distribution of the number of images in a batch, padding included.", _SIZE_BOUNDS),
    PADDING_SIZE: ("Distribution of the number of images that only fill a batch.", (0, *_SIZE_BOUNDS)),
}
_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms of one server; any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[_Labels, int]] = {name: {} for name in _COUNTERS}
        self._histograms: dict[str, dict[_Labels, _Histogram]] = {name: {} for name in _HISTOGRAMS}

    def count(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None:
        """Adds to the counter `name` with `labels`."""
        key = tuple(labels.items())
        with self._lock:
            counts = self._counts[name]
            counts[key] = counts.get(key, 0) + amount

    def observe(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Adds one value to the histogram `name` with `labels`."""
        key = tuple(labels.items())
        with self._lock:
            histograms = self._histograms[name]
            if key not in histograms:
                histograms[key] = _Histogram(_HISTOGRAMS[name][1])
            histograms[key].add(value)

    def text(self) -> str:
        """Returns all of them in Prometheus's text format."""
        lines: list[str] = []
        with self._lock:
            for name, counts in self._counts.items():
                if counts:
                    lines += [f"# HELP {name} {_COUNTERS[name]}", f"# TYPE {name} counter"]
                    lines += [f"{name}{{{_text_of(labels)}}} {count}" for labels, count in counts.items()]
            for name, histograms in self._histograms.items():
                if histograms:
                    lines += [f"# HELP {name} {_HISTOGRAMS[name][0]}", f"# TYPE {name} histogram"]
                    for labels, histogram in histograms.items():
                        lines += histogram.lines(name, _text_of(labels))
        return "\n".join([*lines, *_process_lines()]) + "\n"


class _Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        totals = list(itertools.accumulate(self._counts))
        prefix = f"{labels}," if labels else ""
        return [
            *(f'{name}_bucket{{{prefix}le="{bound}"}} {total}' for bound, total in zip(bounds, totals, strict=True)),
            f"{name}_sum{{{labels}}} {self._sum:g}",
            f"{name}_count{{{labels}}} {totals[-1]}",
        ]


def _process_lines() -> list[str]:
    """Returns what this process has used, under the names of Prometheus's own clients; its memory on Linux alone."""
    used = os.times()
    lines = [
        "# HELP process_cpu_seconds_total Seconds of all cores together that this process has used.",
        "# TYPE process_cpu_seconds_total counter",
        f"process_cpu_seconds_total {used.user + used.system:.2f}",
    ]
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        lines += [
            "# HELP process_resident_memory_bytes Resident memory of this process.",
            "# TYPE process_resident_memory_bytes gauge",
            f"process_resident_memory_bytes {pages * os.sysconf('SC_PAGE_SIZE')}",
        ]
    return lines


def _text_of(labels: _Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
