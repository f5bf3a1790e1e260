"""What curves, thresholds, the confusion matrix and the worst images for TensorBoard cost an evaluation.

    python -m tests.benchmarks.evaluation_summaries [--pipeline_config_path build/demo/pipeline.config]
        [--checkpoint_dir build/demo/model] [--rounds 5]

Evaluates the checkpoint as a training does, several times in one process; the first round, which traces the network, is
not counted. Seconds are of the processor: of the images that are kept while the evaluation runs those of their thread,
of what comes after it those of the process, and of the whole evaluation with its averages, drawn images and event
files those of the process. Prints the share of each round, and returns 1 where the median is more than a tenth.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.runtime.command_line import positive_int
from train.checkpoints.files import find_checkpoint
from train.evaluation.evaluator import CheckpointEvaluator
from train.evaluation.operating_summaries import record_study, study_result
from train.evaluation.worst_images import WorstImages
from train.loop.checkpoint_files import restore_trained
from train.models.build import build_or_explain
from train.pipeline import load_pipeline
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TensorBoardTracker

MOST = 0.1


def evaluate(evaluator: CheckpointEvaluator, folder: Path) -> tuple[float, float, float]:
    """Evaluates once; returns seconds for keeping the worst images, for what follows, and for everything."""
    keeping = 0.0
    add = WorstImages.add

    def timed(worst: WorstImages, *image: Any) -> None:
        nonlocal keeping
        started = time.thread_time()
        add(worst, *image)
        keeping += time.thread_time() - started

    WorstImages.add = timed  # type: ignore[method-assign]
    try:
        started = time.process_time()
        averages = evaluator.evaluate()
        with Recorder([TensorBoardTracker(folder)]) as recorder:
            averages.record(recorder, "eval", step=1)
            before = time.process_time()
            result, study = study_result(averages)
            assert study is not None, "an evaluation without ground truth"
            recorder.scalars("eval", study.metrics(), 1)
            record_study(study, result, recorder, "eval", step=1)
            following = time.process_time() - before
        return keeping, following, time.process_time() - started
    finally:
        WorstImages.add = add  # type: ignore[method-assign]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns what the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline_config_path", default="build/demo/pipeline.config")
    parser.add_argument("--checkpoint_dir", default="build/demo/model")
    parser.add_argument("--rounds", type=positive_int, default=5)
    flags = parser.parse_args(argv)
    print(f"load at the start {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    pipeline = load_pipeline(flags.pipeline_config_path)
    detector = build_or_explain(pipeline.settings)
    evaluator = CheckpointEvaluator(pipeline, detector)
    restore_trained(detector, find_checkpoint(flags.checkpoint_dir))
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        evaluate(evaluator, Path(folder) / "first")
        for number in range(flags.rounds):
            keeping, following, everything = evaluate(evaluator, Path(folder) / str(number))
            shares.append((keeping + following) / everything)
            print(
                f"{everything:.2f} s; keeping the worst images {keeping:.3f}, curves, figures and images "
                f"{following:.3f}: {shares[-1]:.1%}",
                flush=True,
            )
    share = statistics.median(shares)
    print(f"the median is {share:.1%} of an evaluation; at most {MOST:.0%} is wanted")
    return int(share > MOST)


if __name__ == "__main__":
    raise SystemExit(main())
