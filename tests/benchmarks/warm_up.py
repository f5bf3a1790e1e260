"""What warm-up spares the first callers: a version's requests, each the first of its kind and the same once more.

    python -m tests.benchmarks.warm_up serving_models/1

A version with warm-up requests is loaded twice, as a server loads it. Once each batch size is asked at once, as without
warm-up; once after the warm-up file has been run. The ratio is of the first answer's time.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path


def measured(model, request) -> tuple[float, float]:
    """Returns wall-clock and CPU seconds of one request."""
    import tensorflow as tf

    signature = model.signatures[request.model_spec.signature_name]
    inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    wall, processor = time.perf_counter(), time.process_time()
    model.run(signature, inputs, list(request.output_filter) or list(signature.outputs))
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version_directory", type=Path, help="with assets.extra/tf_serving_warmup_requests")
    arguments = parser.parse_args()
    print(f"load at the start: {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    from serving.saved_models.loaded_model import LoadedModel

    with tf.compat.v1.Session(graph=tf.Graph()) as session, session.graph.as_default():
        session.run(tf.reduce_sum(tf.matmul(tf.ones([64, 64]), tf.ones([64, 64]))))  # what a process does only once
    folder = arguments.version_directory
    found = {}
    for kind in ("cold", "warmed"):
        model = LoadedModel(1, folder)
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in model.warm_up_requests(folder)]
        requests = [log.predict_log.request for log in logs]
        if kind == "warmed":
            for request in requests:
                measured(model, request)
        for number, request in enumerate(requests):
            found[kind, number] = measured(model, request)
        model.close()
    print("signature, batch                   first, cold            first, warmed     ratio wall   CPU")
    for number, request in enumerate(requests):
        (cold, cold_cpu), (warm, warm_cpu) = found["cold", number], found["warmed", number]
        size = next(iter(request.inputs.values())).tensor_shape.dim[0].size
        print(
            f"{request.model_spec.signature_name:<25}{size:>5}{cold:>9.2f} s ({cold_cpu:.2f} CPU){warm:>9.2f} s "
            f"({warm_cpu:.2f} CPU){cold / warm:>11.1f}{cold_cpu / max(warm_cpu, 1e-9):>6.1f}"
        )


if __name__ == "__main__":
    main()
