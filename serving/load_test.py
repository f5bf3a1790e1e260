"""Puts a served detector under load and says how fast it answers, and from where on it only gets slower."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.runtime import atomic_files
from data_prep.runtime.command_line import (
    EXIT_DONE,
    EXIT_FAILED,
    ArgumentParser,
    UsageError,
    fraction,
    number_above_zero,
    positive_int,
    run_command,
)
from serving.client_library.channels import is_loopback
from serving.client_library.client_errors import ImageRequestError
from serving.client_library.client_flags import add_connection_flags, add_model_flags, connection_of
from serving.client_library.connection import Connection
from serving.client_library.detection_client import DetectionClient
from serving.client_library.image_requests import find_images
from serving.load.generator import CONSTANT, POISSON, LoadBounds, measure
from serving.load.knee import find_knee
from serving.load.measurement import OK, Pace, Step
from serving.load.report import html_report, text_header, text_line
from serving.load.server_counts import BatchCounts, parse_batch_counts, read_metrics
from serving.load.server_use import ServerUse, listening_process, process_name, use_of_metrics, use_of_process

DESCRIPTION = """Asks a served detector about images, over and over, and prints latencies, throughput and errors.

--concurrency keeps so many requests on their way (closed loop: a slow server is asked less); --rate lets so many fall
due in a second whether or not the earlier are answered (open loop: as the world asks; latencies count from when a
request was due). Several numbers, or --sweep, are measured one after the other. The knee of an open loop is the last
load before answers fall behind what is offered, or before p99 crosses --max_p99_milliseconds; that of a closed loop the
least load that has nine tenths of the best throughput, within the same bound. Nothing is retried. What the server used
of its machine is printed where its metrics tell (process_cpu_seconds_total, process_resident_memory_bytes), or where it
is a process of this machine."""
EXAMPLE = """  python -m serving.load_test --model_name detector photo.jpg --sweep --report_path load.html \\
      --monitoring_url http://localhost:8501/monitoring/prometheus/metrics
  python -m serving.load_test --model_name detector photos/ --rate 50 --max_p99_milliseconds 200"""
SWEEP_GROWTH = 1.05  # a doubling that brings less than this is the end of a sweep
BUSY_CLIENT = 0.9
_FORWARDERS = ("docker-proxy", "kubectl", "ssh", "sshd")  # that listen for a server which is elsewhere


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=DESCRIPTION, example=EXAMPLE)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="images, or folders of them, asked about in turn")
    add_connection_flags(parser)
    add_model_flags(parser)
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--concurrency", nargs="+", type=positive_int, help="requests on their way at the same time")
    pace.add_argument("--rate", nargs="+", type=_rate, help="requests that fall due in a second")
    pace.add_argument(
        "--sweep", action="store_true", help="double the concurrency from 1 until the throughput no longer grows"
    )
    parser.add_argument("--max_concurrency", type=positive_int, default=256, help="where a sweep ends at the latest")
    parser.add_argument("--arrivals", choices=(POISSON, CONSTANT), default=POISSON, help="how --rate spaces requests")
    parser.add_argument("--max_in_flight", type=positive_int, default=1000, help="with --rate: more are not sent")
    parser.add_argument("--batch_size", type=positive_int, default=1, help="images in a request")
    parser.add_argument(
        "--max_images",
        "--max_pictures",
        type=positive_int,
        default=100,
        help="of the images, the first so many; --max_pictures is its name in earlier versions",
    )
    parser.add_argument("--warm_up_seconds", type=_seconds_or_0, default=2.0, help="at each pace first, not counted")
    parser.add_argument(
        "--duration_seconds", type=number_above_zero, default=10.0, help="how long each pace is measured"
    )
    parser.add_argument("--max_requests", type=positive_int, default=100_000, help="a pace ends early after so many")
    parser.add_argument(
        "--max_total_seconds", type=number_above_zero, default=600.0, help="no pace is begun after so long"
    )
    parser.add_argument("--timeout_seconds", type=number_above_zero, default=60.0, help="the deadline of each request")
    parser.add_argument("--monitoring_url", help="the server's Prometheus endpoint, which tells its batch sizes")
    parser.add_argument("--report_path", type=Path, help="where to write the charts and figures: one HTML file")
    parser.add_argument("--json_path", type=Path, help="where to write the figures as JSON")
    parser.add_argument(
        "--max_p99_milliseconds", type=number_above_zero, help="exit with 1 where a pace's p99 is above it"
    )
    parser.add_argument(
        "--max_error_fraction", type=fraction, default=1.0, help="exit with 1 where a pace has more errors than this"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measures; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    for path in (arguments.report_path, arguments.json_path):
        if path is not None and path.is_dir():
            raise UsageError(f"{path} is a folder; name a file")
    images = find_images(arguments.images)[: arguments.max_images]
    connection = connection_of(arguments)
    requests = _requests(arguments, connection, images)
    observer = _Observer(arguments)
    columns = {"has_batches": bool(arguments.monitoring_url), "has_use": observer.look()[1] is not None}
    print(observer.about, file=sys.stderr, flush=True)
    print(text_header(**columns), flush=True)
    steps: list[Step] = []
    start = time.monotonic()
    for pace in _paces(arguments, steps):
        if steps and time.monotonic() - start > arguments.max_total_seconds:
            print(f"ended after --max_total_seconds {arguments.max_total_seconds:g}", file=sys.stderr)
            break
        steps.append(_measure(arguments, connection, requests, pace, observer))
        print(text_line(steps[-1], **columns), flush=True)
    _write(arguments, steps, len(images))
    return _verdict(arguments, steps)


def _requests(arguments: argparse.Namespace, connection: Connection, images: list[Path]) -> list[bytes]:
    """Returns the requests, after the server has answered one: a wrong name is reported once, not a thousand times."""
    with DetectionClient(
        connection,
        arguments.model_name,
        model_version=arguments.model_version,
        version_label=arguments.version_label,
        signature_name=arguments.signature_name,
        timeout_seconds=arguments.timeout_seconds,
    ) as client:
        client.connect()
        turns = itertools.cycle(images)
        count = len(images) if arguments.batch_size == 1 else math.ceil(len(images) / arguments.batch_size)
        try:
            requests = [
                client.request_for([next(turns) for _ in range(arguments.batch_size)]).SerializeToString()
                for _ in range(count)
            ]
            client.detect(images[0])
        except ImageRequestError as error:
            raise UsageError(f"an image cannot be asked about: {error}") from error
    return requests


def _paces(arguments: argparse.Namespace, steps: list[Step]) -> Iterator[Pace]:
    """Yields what to measure next, by what was measured so far."""
    if arguments.rate:
        yield from (Pace(rate_per_second=rate) for rate in sorted(arguments.rate))
    elif not arguments.sweep:
        yield from (Pace(concurrency=number) for number in sorted(arguments.concurrency or [1]))
    else:
        concurrency, flat = 1, 0
        while concurrency <= arguments.max_concurrency and flat < 2:
            best = max((step.requests_per_second for step in steps), default=0.0)
            yield Pace(concurrency=concurrency)
            flat = flat + 1 if steps[-1].requests_per_second < SWEEP_GROWTH * best else 0
            concurrency *= 2


class _Observer:
    """Looks at a server between two steps: at its metrics, and at its process where that is on this machine."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._url: str | None = arguments.monitoring_url
        self._process: int | None = None
        host, _, port = arguments.server.rpartition(":")
        if is_loopback(arguments.server) and port.isdecimal() and host:
            self._process = listening_process(int(port))
        if self._process is not None and process_name(self._process) in _FORWARDERS:
            self._process = None

    @property
    def about(self) -> str:
        """Whose use of the machine is told."""
        if self._url and use_of_metrics(read_metrics(self._url)) is not None:
            return f"what the server used is what {self._url} says"
        if self._process is not None:
            return f"what the server used is that of process {self._process} ({process_name(self._process)})"
        return "what the server used is not known: its metrics do not say, and it is no process of this machine"

    def look(self) -> tuple[BatchCounts, ServerUse | None, float]:
        """Returns the server's batches, what it has used if that is known, and when that was, in seconds.

        Raises:
            UserError: The metrics cannot be read.
        """
        metrics = read_metrics(self._url) if self._url else ""
        use = use_of_metrics(metrics)
        if use is None and self._process is not None:
            use = use_of_process(self._process)
        return parse_batch_counts(metrics), use, time.monotonic()


def _measure(
    arguments: argparse.Namespace, connection: Connection, requests: list[bytes], pace: Pace, observer: _Observer
) -> Step:
    before = observer.look()

    def when_warm() -> None:
        nonlocal before
        before = observer.look()

    bounds = LoadBounds(
        warm_up_seconds=arguments.warm_up_seconds,
        duration_seconds=arguments.duration_seconds,
        max_requests=arguments.max_requests,
        timeout_seconds=arguments.timeout_seconds,
        max_in_flight=arguments.max_in_flight,
        arrivals=arguments.arrivals,
    )
    step = asyncio.run(
        measure(connection, requests, pace, bounds, images_per_request=arguments.batch_size, when_warm=when_warm)
    )
    batches, use, now = observer.look()
    if arguments.monitoring_url:
        step.batch_sizes, step.mean_batch_size = batches.since(before[0])
    if use is not None and before[1] is not None:
        step.server_cores = (use.cpu_seconds - before[1].cpu_seconds) / max(now - before[2], 1e-9)
        step.server_memory_bytes = use.memory_bytes
    return step


def _write(arguments: argparse.Namespace, steps: list[Step], images: int) -> None:
    about = (
        f"{arguments.server}, model {arguments.model_name}; {images} images, {arguments.batch_size} in a request; "
        f"{arguments.duration_seconds:g} s at each pace after {arguments.warm_up_seconds:g} s of warm-up"
    )
    found = find_knee(steps, arguments.max_p99_milliseconds)
    if arguments.report_path is not None:
        atomic_files.write_text(arguments.report_path, html_report(steps, found, title="Load test", about=about))
    if arguments.json_path is not None:
        content = {
            "about": about,
            "steps": [step.as_json() for step in steps],
            # With a step after it at which the server no longer keeps up: else it is not known to be one.
            "knee": found.step.as_json() if found and found.step and found.beyond else None,
            "verdict": None if found is None else str(found),
        }
        atomic_files.write_json(arguments.json_path, content, indent=2)


def _verdict(arguments: argparse.Namespace, steps: list[Step]) -> int:
    """Prints what the figures mean and returns the exit code."""
    found = find_knee(steps, arguments.max_p99_milliseconds)
    if found is not None and (len(steps) > 1 or found.beyond is not None):
        print(found)
    code = EXIT_DONE
    for step in steps:
        if step.errors:
            statuses = ", ".join(f"{count} {name}" for name, count in step.statuses.most_common() if name != OK)
            print(f"{step.pace}: {step.errors} of {step.requests} failed: {statuses}", file=sys.stderr)
        if step.batch_sizes:
            sizes = ", ".join(f"{count} of {size}" for size, count in step.batch_sizes.items())
            print(f"{step.pace}: the server's batches by size: {sizes}")
        if step.client_cpu_fraction > BUSY_CLIENT:
            print(
                f"{step.pace}: this process took {step.client_cpu_fraction:.0%} of a core; its own slowness is in the "
                "figures, ask from more processes or another machine",
                file=sys.stderr,
            )
        late = arguments.max_p99_milliseconds is not None and not (
            step.milliseconds_at(99) <= arguments.max_p99_milliseconds
        )
        if late or step.errors > arguments.max_error_fraction * step.requests:
            print(f"{step.pace}: beyond the bounds that were given", file=sys.stderr)
            code = EXIT_FAILED
    if not any(step.statuses[OK] for step in steps):
        print("error: no request was answered", file=sys.stderr)
        code = EXIT_FAILED
    return code


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number of requests a second above 0, up to 100000")
    return value


def _seconds_or_0(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0")
    return value


if __name__ == "__main__":
    run_command(main)
