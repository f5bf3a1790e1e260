"""An evaluation by the Object Detection API itself, for `tests.benchmarks.evaluation --baseline_python`.

    python object_detection_api_evaluation.py PIPELINE_CONFIG CHECKPOINT_FOLDER MODEL_DIR

What `model_main_tf2.py --checkpoint_dir` does once, in the environment that object_detection_api_step.py describes, so
it imports nothing of this project. Prints JSON: the seconds of its loop, the metrics, and peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

# oneDNN is left to TensorFlow, as model_main_tf2.py leaves it; with it this loop took as long.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from object_detection import model_lib_v2  # type: ignore[import-not-found]
from tensorflow.python.ops import cond, control_flow_case, control_flow_ops  # type: ignore[attr-defined]

# The newest tf_slim still looks for these where TensorFlow had them until 2.10.
control_flow_ops.case = control_flow_case.case
control_flow_ops.cond = cond.cond


def main() -> None:
    """Evaluates, and prints JSON."""
    config_path, checkpoint_folder, model_dir = sys.argv[1:]
    found: dict[str, Any] = {}
    loop = model_lib_v2.eager_eval_loop

    def timed(*arguments: Any, **options: Any) -> Any:
        start, start_processor = time.perf_counter(), time.process_time()
        metrics = loop(*arguments, **options)
        found["loop s"] = time.perf_counter() - start
        found["loop CPU s"] = time.process_time() - start_processor
        found["metrics"] = {name: float(value) for name, value in metrics.items()}
        return metrics

    model_lib_v2.eager_eval_loop = timed
    # It ends by itself after the checkpoint of the last step, which 0 makes of this one.
    model_lib_v2.eval_continuously(
        config_path, model_dir=model_dir, checkpoint_dir=checkpoint_folder, train_steps=0, timeout=60, wait_interval=1
    )
    found["peak GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(found))


if __name__ == "__main__":
    main()
