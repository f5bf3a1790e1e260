"""What pycocotools or faster-coco-eval takes, for metrics.py; each in a process of its own.

    python -m tests.benchmarks.coco_libraries LIBRARY FOLDER ROUNDS

FOLDER has data_set.json and results.json; reading them is not counted, what comes after is: index, evaluation,
accumulation and summary. Prints JSON: seconds on the processor, one a round, the twelve averages, and the peak of the
process's memory in bytes; nothing where the library is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

LIBRARIES = {"pycocotools": ("pycocotools.coco", "COCO", "pycocotools.cocoeval", "COCOeval"),
             "faster-coco-eval": ("faster_coco_eval", "COCO", "faster_coco_eval", "COCOeval_faster")}  # fmt: skip


def run(library: str, folder: Path) -> tuple[float, list[float]]:
    """Returns the seconds on the processor and the averages.

    Raises:
        ModuleNotFoundError: The library is not installed.
    """
    coco_module, coco_name, evaluation_module, evaluation_name = LIBRARIES[library]
    make_coco: Any = getattr(importlib.import_module(coco_module), coco_name)
    make_evaluation: Any = getattr(importlib.import_module(evaluation_module), evaluation_name)
    data_set, results = (json.loads((folder / f"{name}.json").read_text()) for name in ("data_set", "results"))
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = make_coco()
        coco.dataset = data_set
        coco.createIndex()
        evaluation = make_evaluation(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return time.process_time() - started, [float(value) for value in evaluation.stats[:12]]


def main() -> None:
    """Measures, and prints JSON."""
    library, folder, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with contextlib.suppress(ModuleNotFoundError):
        found = [run(library, folder) for _ in range(rounds)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": [seconds for seconds, _ in found], "averages": found[0][1], "peak": peak}))


if __name__ == "__main__":
    main()
