"""What many images cost: the arithmetic against a published one, and that what is timed is timed."""

from __future__ import annotations

import time

import pytest

from data_prep.runtime.command_line import UserError
from serving.client_library.detections import Failure, ImageDetections
from serving.folders.cost import Timing, cost_of, cost_table, time_detector


def test_half_a_billion_images_on_a_p100_cost_what_others_reckoned():
    cost = cost_of(500_000_000, 0.2, 1.46)
    assert cost.machine_hours == pytest.approx(27_778, abs=1)
    assert cost.price == pytest.approx(40_555.55, abs=0.01)


class Sleeper:
    """A detector that takes 2 ms a batch and 1 ms an image."""

    batch_size = 1

    def detect_many(self, images):
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            time.sleep(0.002 + 0.001 * len(batch))
            for image in batch:
                yield ImageDetections(image, failure=Failure("broken") if image == "broken" else None)


def test_larger_batches_are_timed_as_faster():
    one, eight = time_detector(Sleeper(), "sleeper", ["p"] * 16, [1, 8])
    assert (one.batch_size, eight.batch_size) == (1, 8)
    assert 0.003 <= one.seconds_per_image <= one.slowest_seconds_per_image
    assert 0.00125 <= eight.seconds_per_image < one.seconds_per_image


def test_failures_are_not_timed():
    with pytest.raises(UserError, match="broken"):
        time_detector(Sleeper(), "sleeper", ["p", "broken"], [1])


def test_the_table_says_hours_days_and_money():
    header, line = cost_table([Timing("P100", 4, 0.2, 0.25)], 500_000_000, 1.46, 10)
    assert header.split()[:2] == ["device", "batch"] and "days on 10" in header
    assert line.split() == ["P100", "4", "200.0", "250.0", "5.0", "27,777.8", "115.7", "40,555.56"]
