"""Loading of a model version: read, warmed up, and counted in the metrics."""

from __future__ import annotations

import logging
import time

import grpc

from serving.local_server.metrics import LOAD_ATTEMPT_COUNT, LOAD_LATENCY, WARMUP_LATENCY, Metrics
from serving.local_server.options import LoadingOptions, RequestLimits
from serving.local_server.predictor import MICROSECONDS, replay_warm_up
from serving.operating.version_folders import VersionFolder
from serving.saved_models.loaded_model import LoadedModel, ModelLoadError

LOG = logging.getLogger(__name__)


def load_version(
    model_name: str,
    folder: VersionFolder,
    *,
    options: LoadingOptions,
    limits: RequestLimits,
    counted: Metrics,
) -> LoadedModel:
    """Loads a version and runs its warm-up requests.

    Args:
        model_name: What requests call the model, for the log.
        folder: Where the version is.
        options: How often each warm-up request is run, and TensorFlow's threads.
        limits: How much a warm-up request may ask for.
        counted: Where attempts and times are counted.

    Returns:
        The version, ready for requests.

    Raises:
        ModelLoadError: It cannot be loaded, or refuses a warm-up request.
    """
    path = {"model_path": str(folder.path)}
    started = time.monotonic()
    try:
        model = LoadedModel(
            folder.version,
            folder.path,
            intra_op_threads=options.intra_op_threads,
            inter_op_threads=options.inter_op_threads,
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
        if options.warm_up_iterations:
            records = model.warm_up_requests(folder.path)
            count = replay_warm_up(model, records, limits, iterations=options.warm_up_iterations)
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
