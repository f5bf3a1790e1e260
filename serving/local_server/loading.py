"""A version made ready: loaded, warmed, counted."""

from __future__ import annotations

import logging
import time

import grpc

from serving.local_server.loaded_model import LoadedModel, ModelLoadError
from serving.local_server.metrics import LOAD_ATTEMPT_COUNT, LOAD_LATENCY, WARMUP_LATENCY, Metrics
from serving.local_server.predictor import MICROSECONDS, replay_warm_up
from serving.local_server.request_checks import RequestLimits
from serving.operating.version_folders import VersionFolder

LOG = logging.getLogger(__name__)


def load_version(
    model_name: str,
    folder: VersionFolder,
    limits: RequestLimits,
    counted: Metrics,
    *,
    warm_up_iterations: int,
    intra_op_threads: int,
    inter_op_threads: int,
) -> LoadedModel:
    """Loads a version and runs its warm-up requests.

    Args:
        model_name: What requests call the model, for the log.
        folder: Where the version is.
        limits: How much a warm-up request may ask for.
        counted: Where attempts and times are counted.
        warm_up_iterations: How often each warm-up request is run; 0 leaves them out.
        intra_op_threads: Threads of one TensorFlow op; 0 leaves it to TensorFlow.
        inter_op_threads: TensorFlow ops at the same time; 0 leaves it to TensorFlow.

    Returns:
        The version, ready for requests.

    Raises:
        ModelLoadError: It cannot be loaded, or refuses a warm-up request.
    """
    path = {"model_path": str(folder.path)}
    started = time.monotonic()
    try:
        model = LoadedModel(
            folder.version, folder.path, intra_op_threads=intra_op_threads, inter_op_threads=inter_op_threads
        )
    except ModelLoadError:
        counted.count(LOAD_ATTEMPT_COUNT, {**path, "status": "fail"})
        raise
    loaded = time.monotonic()
    counted.count(LOAD_ATTEMPT_COUNT, {**path, "status": "success"})
    counted.count(LOAD_LATENCY, path, int((loaded - started) * MICROSECONDS))
    status = grpc.StatusCode.UNKNOWN
    count = 0
    try:
        if warm_up_iterations:
            count = replay_warm_up(model, model.warm_up_requests(folder.path), limits, iterations=warm_up_iterations)
        status = grpc.StatusCode.OK
    except ModelLoadError as error:
        status = error.code
        raise
    finally:
        if status is not grpc.StatusCode.OK:
            model.close()
        if count or status is not grpc.StatusCode.OK:
            seconds = time.monotonic() - loaded
            counted.observe(WARMUP_LATENCY, {**path, "status": status.name}, seconds * MICROSECONDS)
    LOG.info(
        "model %s: version %d loaded in %.1f s, %s",
        model_name,
        folder.version,
        loaded - started,
        f"{count} warm-up requests run in {time.monotonic() - loaded:.1f} s" if count else "no warm-up requests",
    )
    return model
