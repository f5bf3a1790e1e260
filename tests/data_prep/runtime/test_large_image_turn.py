from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from data_prep.runtime.large_image_turn import LARGE_PIXELS, large_image_turn
from data_prep.runtime.worker_pool import process_pool


class Inside:
    """Counts how many are within a block at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1


def test_threads_decode_one_large_image_at_a_time() -> None:
    inside = Inside()

    def decode(_: int) -> None:
        with large_image_turn(LARGE_PIXELS + 1), inside:
            time.sleep(0.01)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(decode, range(16)))
    assert inside.most == 1


def test_ordinary_images_do_not_wait() -> None:
    both_in = threading.Barrier(2, timeout=30)

    def decode(_: int) -> None:
        with large_image_turn(LARGE_PIXELS):
            both_in.wait()

    with large_image_turn(LARGE_PIXELS + 1), ThreadPoolExecutor(2) as executor:
        list(executor.map(decode, range(2)))


def test_a_turn_within_a_turn_goes_on() -> None:
    with large_image_turn(LARGE_PIXELS + 1), large_image_turn(LARGE_PIXELS + 1):
        pass


def decode_in_process(folder: Path) -> int:
    """Returns how many are decoding at once, this one among them, as a folder's files tell."""
    with large_image_turn(LARGE_PIXELS + 1):
        mark = folder / f"{time.monotonic_ns()}-{threading.get_native_id()}"
        mark.touch()
        time.sleep(0.05)
        num_inside = len(list(folder.iterdir()))
        mark.unlink()
    return num_inside


def test_processes_of_a_pool_and_their_parent_take_turns(tmp_path: Path) -> None:
    with process_pool(3) as pool:
        futures = [pool.submit(decode_in_process, tmp_path) for _ in range(12)]
        here = [decode_in_process(tmp_path) for _ in range(4)]
        assert [*here, *(future.result() for future in futures)] == [1] * 16


def test_what_a_failed_decoder_made_goes_though_its_error_is_kept() -> None:
    made: list[weakref.ref[object]] = []

    def fail() -> None:
        pixels = np.zeros(10)
        made.append(weakref.ref(pixels))
        try:
            raise OSError("cut short")
        except OSError as error:
            raise ValueError("does not decode") from error

    errors = []
    for num_pixels in (1, LARGE_PIXELS + 1):
        with pytest.raises(ValueError, match="does not decode") as caught, large_image_turn(num_pixels):
            fail()
        errors.append(caught.value)
    gc.collect()
    assert [pixels() is None for pixels in made] == [False, True]
    assert all(error.__traceback__ is not None for error in errors)
