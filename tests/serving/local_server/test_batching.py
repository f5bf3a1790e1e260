"""Concurrent requests in one batch: each gets its own answer, bounds are kept, and one that is wrong harms no other."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from data_prep.runtime.command_line import UsageError
from serving.client_library.detection_client import DetectionClient, ImageRequestError
from serving.local_server import LoadingOptions, LocalServer, ServerOptions
from serving.local_server.batching import BatchScheduler
from serving.local_server.batching_options import BatchingOptions, batching_options
from serving.local_server.caller import Caller
from serving.local_server.metrics import PADDING_SIZE, PROCESSED_BATCH_SIZE, Metrics
from serving.saved_models.loaded_model import LoadedModel
from serving.saved_models.status_errors import StatusError
from serving.wire.server_files import BatchingParameters, parse_server_file


@pytest.fixture(scope="module")
def model(encoded_model):
    loaded = LoadedModel(1, encoded_model / "1", intra_op_threads=1)
    yield loaded
    loaded.close()


@pytest.fixture
def scheduler():
    """Makes schedulers and ends them."""
    made = []

    def make(**options):
        counted = Metrics()
        made.append(BatchScheduler(BatchingOptions(**options), counted))
        return made[-1], counted

    yield make
    for one in made:
        one.stop()


def ask(scheduler, model, images, caller=None, outputs=("detection_boxes", "num_detections")):
    array = np.empty(len(images), object)
    array[:] = images
    signature = model.signatures["serving_default"]
    return scheduler.run(model, signature, {"input_tensor": array}, list(outputs), caller or Caller())


def box_of(image_number):
    left = 2 + image_number % 40
    return (left, 5, left + 10, 30)


def refuse(scheduler, model, array, caller=None):
    """Asks what is refused, and keeps nothing of it but the code."""
    try:
        scheduler.run(model, model.signatures["serving_default"], {"input_tensor": array}, ["num_detections"], caller)
    except StatusError as error:
        return error.code
    return None


def test_a_refused_request_is_let_go_at_once_and_not_by_the_garbage_collector(scheduler, model, image):
    """Sixty megabytes each: by the time the collector comes, hundreds of them may be waiting for it."""
    one, _ = scheduler(max_batch_size=4, num_batch_threads=1)
    gone = Caller(is_connected=lambda: len(asked) == 0)
    gc.collect()
    gc.disable()
    try:
        for caller, code in ((Caller(), "INVALID_ARGUMENT"), (gone, "CANCELLED")):
            asked = [1] if caller is gone else []
            array = np.empty(1, object)
            array[0] = image((1, 2, 3, 4), format="JPEG")[:-200]
            left = weakref.ref(array)
            assert refuse(one, model, array, caller).name == code
            del array
            end = time.monotonic() + 10
            while left() is not None and time.monotonic() < end:
                time.sleep(0.01)  # the batch's thread may not be through with it
            assert left() is None
    finally:
        gc.enable()


def test_images_that_do_not_decode_leave_nothing_behind(model, image):
    array = np.empty(1, object)
    array[0] = image((1, 2, 3, 4), format="JPEG")[:-200]

    def objects_after(requests):
        for _ in range(requests):
            with pytest.raises(StatusError, match=r"^input_tensor\[0\] does not decode: \S+ \S"):
                model.run(model.signatures["serving_default"], {"input_tensor": array}, ["num_detections"])
        gc.collect()
        return len(gc.get_objects())

    before = objects_after(5)
    assert objects_after(200) < before + 100


def sizes(counted, name):
    """Returns the number of values and their sum."""
    lines = dict(line.rsplit(" ", 1) for line in counted.text().splitlines() if line.startswith(name))
    return tuple(
        float(next(value for key, value in lines.items() if key.startswith(f"{name}_{what}")))
        for what in ("count", "sum")
    )


def test_requests_at_the_same_time_run_together_and_each_gets_its_own_answer(scheduler, model, image):
    one, counted = scheduler(max_batch_size=8, batch_timeout_micros=500_000, num_batch_threads=1)
    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: ask(one, model, [image(box_of(number))]), range(16)))
    for number, answer in enumerate(answers):
        assert answer["detection_boxes"].shape == (1, 2, 4)
        left, top, right, bottom = box_of(number)
        np.testing.assert_allclose(
            answer["detection_boxes"][0, 0] * [48, 64, 48, 64], [top, left, bottom, right], atol=0.01
        )
    count, total = sizes(counted, PROCESSED_BATCH_SIZE)
    assert total == 16 and count <= 4
    assert time.monotonic() - started < 10


def test_a_lonely_request_waits_no_longer_than_the_timeout(scheduler, model, image):
    one, _ = scheduler(max_batch_size=8, batch_timeout_micros=300_000, num_batch_threads=1)
    ask(one, model, [image(None)] * 8)
    started = time.monotonic()
    ask(one, model, [image(None)])
    assert 0.3 <= time.monotonic() - started < 5


def test_batches_are_filled_up_to_an_allowed_size(scheduler, model, image):
    one, counted = scheduler(max_batch_size=8, allowed_batch_sizes=(4, 8), num_batch_threads=1)
    answer = ask(one, model, [image(box_of(1)), image(None), image(box_of(2))])
    assert answer["num_detections"].tolist() == [2, 1, 2]
    assert sizes(counted, PROCESSED_BATCH_SIZE) == (1, 4) and sizes(counted, PADDING_SIZE) == (1, 1)


def test_one_broken_image_fails_its_own_request_and_no_other(scheduler, model, image):
    one, _ = scheduler(max_batch_size=8, batch_timeout_micros=500_000, num_batch_threads=1)
    broken = image((1, 2, 3, 4), (640, 480), "JPEG")[:-1500]

    def outcome(number):
        contents = [image(box_of(number)), broken] if number == 3 else [image(box_of(number))]
        try:
            return ask(one, model, contents)["num_detections"].tolist()
        except StatusError as error:
            return error

    with ThreadPoolExecutor(7) as pool:
        outcomes = list(pool.map(outcome, range(7)))
    error = outcomes.pop(3)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT and "input_tensor[1] does not decode" in error.message
    assert outcomes == [[2.0]] * 6


def test_a_full_queue_refuses_and_a_large_request_is_refused(scheduler, model, image):
    one, _ = scheduler(max_batch_size=2, max_enqueued_batches=2, batch_timeout_micros=60_000_000, num_batch_threads=1)
    with pytest.raises(StatusError, match="Task size 3 is larger than maximum input batch size 2"):
        ask(one, model, [image(None)] * 3)
    release = threading.Event()
    slow = _Held(model, release)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(ask, one, slow, [image(None)] * 2)
        assert slow.entered.wait(10)
        waiting = [pool.submit(ask, one, slow, [image(None)] * 2) for _ in range(2)]
        while sum(future.running() for future in waiting) < 2:
            time.sleep(0.01)
        time.sleep(0.2)
        with pytest.raises(StatusError) as error:
            ask(one, slow, [image(None)] * 2)
        assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        release.set()
        assert all(future.result(60)["num_detections"].tolist() == [1, 1] for future in (first, *waiting))


class _Held:
    """A real model that runs only when it is let; what waits behind it can then be looked at."""

    def __init__(self, model, release):
        self.signatures = model.signatures
        self.entered = threading.Event()
        self._model, self._release = model, release
        self.sizes = []

    def run(self, signature, inputs, output_names, **more):
        self.entered.set()
        assert self._release.wait(60)
        self.sizes.append(len(inputs["input_tensor"]))
        return self._model.run(signature, inputs, output_names, **more)


def test_nobody_works_for_callers_who_have_gone_or_are_too_late(scheduler, model, image):
    one, _ = scheduler(max_batch_size=4, batch_timeout_micros=0, num_batch_threads=1)
    release, there = threading.Event(), threading.Event()
    there.set()
    held = _Held(model, release)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, one, held, [image(None)])
        assert held.entered.wait(10)
        late = pool.submit(ask, one, held, [image(None)], Caller(time.monotonic() + 0.2))
        gone = pool.submit(ask, one, held, [image(None)], Caller(None, there.is_set))
        patient = pool.submit(ask, one, held, [image(None)])
        assert late.exception(10).code is grpc.StatusCode.DEADLINE_EXCEEDED  # before the model is let go on
        there.clear()
        release.set()
        assert gone.exception(60).code is grpc.StatusCode.CANCELLED
        assert len(patient.result(60)["num_detections"]) == len(first.result(60)["num_detections"]) == 1
    assert held.sizes == [1, 1]  # the first, and the patient one


def test_a_server_with_batching_answers_rightly_and_faster_than_one_by_one(tmp_path, write_model, image):
    """The model takes 0.1 s a run, whatever the number of images: 24 requests need 2.4 s one by one."""
    write_model(tmp_path / "1", busy_seconds=0.1)
    options = BatchingOptions(max_batch_size=8, batch_timeout_micros=50_000, num_batch_threads=1)
    with (
        LocalServer.of_model(
            "detector",
            tmp_path,
            ServerOptions(batching=options, loading=LoadingOptions(poll_wait_seconds=0, intra_op_threads=1)),
        ) as server,
        DetectionClient(server.address, "detector", timeout_seconds=60, max_retries=0, min_score=0.0) as client,
    ):
        client.detect(image(None))

        def detect(number):
            content = image(box_of(number)) if number % 12 else b"\xff\xd8\xff broken"
            try:
                return client.detect(content).detections[0].box_pixels
            except ImageRequestError as error:
                return error.failure.reason

        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(detect, range(24)))
        for number, answer in enumerate(answers):
            if number % 12:
                left, top, right, bottom = box_of(number)
                assert answer == pytest.approx((top, left, bottom, right), abs=0.01)
            else:
                assert isinstance(answer, str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size is 0"),
        ("num_batch_threads { value: 100000 }", "at most 256"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]", "have to ascend"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]", "end with the largest batch, 8"),
        ("pad_variable_length_inputs: true", "move their boxes"),
    ],
)
def test_batching_parameters_that_cannot_be_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        batching_options(parse_server_file(text, BatchingParameters, "batching.config"))


def test_what_a_parameters_file_leaves_out_has_tensorflow_servings_default():
    options = batching_options(parse_server_file("batch_timeout_micros { value: 7 }", BatchingParameters, "file"))
    assert (options.max_batch_size, options.batch_timeout_micros, options.max_enqueued_batches) == (1000, 7, 10)
