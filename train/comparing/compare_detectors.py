"""Comparing detectors from their paths to what was found: detections, figures, resamples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.ledger import Ledger
from train.comparing.candidate import Candidate
from train.comparing.class_matches import match_classes
from train.comparing.compare_options import CompareOptions
from train.comparing.compared_images import ComparedImages
from train.comparing.comparison import Comparison, measured
from train.comparing.detecting import detect
from train.comparing.operating import Operation, operate
from train.comparing.resampled_figures import DetectorMatches, measure, resampled_figures
from train.metrics.operating_points import BEST_F1, Criterion
from train.pipeline import Pipeline

REPORT_NAME = "comparison.json"


@dataclasses.dataclass(frozen=True)
class ComparedDetectors:
    """A comparison, and what its page is drawn from.

    Attributes:
        comparison: What was found.
        images: On which.
        operations: What each detector gets right and wrong from its threshold on.
    """

    comparison: Comparison
    images: ComparedImages
    operations: Sequence[Operation]


def compare_detectors(
    candidates: Sequence[Candidate],
    images: ComparedImages,
    pipeline: Pipeline | None,
    output: Path,
    ledger: Ledger,
    *,
    options: CompareOptions,
    reader_index: int = 0,
    criterion: Criterion = BEST_F1,
    threshold: float | None = None,
) -> ComparedDetectors:
    """Compares detectors, and writes `comparison.json`.

    Args:
        candidates: Two or more; the first is what the others are compared with.
        images: With ground truth.
        pipeline: To run models on; None where all candidates are files of detections.
        output: The folder for detections and the JSON; what an earlier run computed there is taken.
        ledger: Takes what cannot be used of files of detections.
        options: How to compare.
        reader_index: Which `eval_input_reader`.
        criterion: What each detector's threshold is chosen for.
        threshold: One for all of them instead.

    Raises:
        UsageError: A candidate is not what it must be.
        UserError: Its detections cannot be used.
    """
    # The slow part of all of them first, so that what is wrong with one is told before anything is matched.
    found = [detect(candidate, images, pipeline, output, ledger, reader_index=reader_index) for candidate in candidates]
    names = [name for _, name in sorted(images.names_by_id.items())]
    ones = np.ones((len(images.images), 1), np.float32)
    matches, operations, estimates = [], [], []
    for detections, _ in found:
        boxes = images.with_detections(detections)
        operations.append(operate(boxes, criterion=criterion, threshold=threshold))
        matches.append(DetectorMatches(match_classes(boxes), operations[-1].image_counts()))
        estimates.append(measure(matches[-1], ones)[..., 0])
    samples = resampled_figures(matches, resamples=options.resamples, seed=options.seed)
    detectors = [
        measured(
            candidate,
            cost,
            operations[number].threshold,
            names,
            estimates=(estimates[number], estimates[0]),
            samples=(samples[number], samples[0]),
            options=options,
            is_first=number == 0,
        )
        for number, (candidate, (_, cost)) in enumerate(zip(candidates, found, strict=True))
    ]
    num_objects = [int(one.num_objects.sum()) for one in matches[0].classes]
    comparison = Comparison(detectors, options, len(images.images), dict(zip(names, num_objects, strict=True)))
    write_json(output / REPORT_NAME, comparison.to_json(), indent=1)
    return ComparedDetectors(comparison, images, operations)
