"""The seconds that pycocotools and, where it is installed, faster-coco-eval take, for metrics.py; in turns.

    python -m tests.benchmarks.coco_libraries FOLDER ROUNDS

FOLDER has data_set.json and results.json; reading them is not counted, what comes after is: index, evaluation,
accumulation and summary. Prints JSON: seconds on the processor by library, one a round, and the twelve averages.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
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
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    found: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for library in LIBRARIES:
            with contextlib.suppress(ModuleNotFoundError):
                seconds, averages = run(library, folder)
                found.setdefault(library, {"seconds": [], "averages": averages})["seconds"].append(seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
