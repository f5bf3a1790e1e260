"""Cost of predicting very many images: a sample is timed, and hours and money follow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from data_prep.runtime.command_line import UserError
from serving.client_library.detections import ImageDetections
from serving.client_library.image_sources import ImageSource

SECONDS_PER_HOUR = 3600.0
ROUNDS = 3


class TimedDetector(Protocol):
    """Detector that can be timed: a `DetectionClient` or a `InProcessDetector`."""

    batch_size: int

    def detect_many(self, images: Sequence[ImageSource]) -> Iterator[ImageDetections]:
        """Yields what is in each image."""
        ...


@dataclass(frozen=True)
class Timing:
    """Time of an image, one after another at full load.

    Attributes:
        device: What the model runs on, or where the server is.
        batch_size: Images that went through the model together.
        seconds_per_image: Wall-clock, reading and decoding in it; the median of the rounds.
        slowest_seconds_per_image: Of the slowest round.
    """

    device: str
    batch_size: int
    seconds_per_image: float
    slowest_seconds_per_image: float


@dataclass(frozen=True)
class Cost:
    """Time and money that many images take.

    Attributes:
        machine_hours: Hours of one machine.
        price: In the currency of the price an hour.
    """

    machine_hours: float
    price: float


def cost_of(num_images: float, seconds_per_image: float, price_per_hour: float) -> Cost:
    """Returns what `num_images` take: images x seconds / 3600 hours, at the price an hour.

    The same however many machines share the work: twice as many take half as long.
    """
    hours = num_images * seconds_per_image / SECONDS_PER_HOUR
    return Cost(hours, hours * price_per_hour)


def time_detector(
    detector: TimedDetector, device: str, images: Sequence[ImageSource], batch_sizes: Sequence[int]
) -> list[Timing]:
    """Times the images at each batch size, `ROUNDS` times in turn, after each size has been run once unmeasured.

    Raises:
        UserError: An image has no answer; times of failures say nothing of images.
    """

    def seconds_per_image(batch_size: int) -> float:
        detector.batch_size = batch_size
        start = time.perf_counter()
        for result in detector.detect_many(images):
            if result.failure is not None:
                raise UserError(f"{result.image} cannot be timed: {result.failure}")
        return (time.perf_counter() - start) / len(images)

    for batch_size in batch_sizes:
        seconds_per_image(batch_size)
    seconds: dict[int, list[float]] = {batch_size: [] for batch_size in batch_sizes}
    for _ in range(ROUNDS):
        for batch_size, values in seconds.items():
            values.append(seconds_per_image(batch_size))
    return [Timing(device, size, statistics.median(values), max(values)) for size, values in seconds.items()]


def cost_table(timings: Sequence[Timing], num_images: int, price_per_hour: float, num_machines: int = 1) -> list[str]:
    """Returns the lines of a table: device, batch size, an image's time, hours, days on the machines, money."""
    width = max(len("device"), *(len(timing.device) for timing in timings))
    header = f"{'device':<{width}}  batch  ms/image  slowest  images/s  machine hours"
    lines = [f"{header}  {'days on ' + str(num_machines):>11}  {'price':>12}"]
    for timing in timings:
        cost = cost_of(num_images, timing.seconds_per_image, price_per_hour)
        lines.append(
            f"{timing.device:<{width}}  {timing.batch_size:>5}  {1000 * timing.seconds_per_image:>8.1f}  "
            f"{1000 * timing.slowest_seconds_per_image:>7.1f}  {1 / timing.seconds_per_image:>8.1f}  "
            f"{cost.machine_hours:>13,.1f}  {cost.machine_hours / 24 / num_machines:>11,.1f}  {cost.price:>12,.2f}"
        )
    return lines
