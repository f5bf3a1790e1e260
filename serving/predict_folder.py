"""Predicts a whole folder, once; then tabulates it, sorts it, and lists what to label next, as often as one likes."""

from __future__ import annotations

import argparse
import io
import math
import os
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from data_prep.runtime.command_line import (
    EXIT_FAILED,
    ArgumentParser,
    UsageError,
    UserError,
    fraction,
    int_from_zero,
    positive_int,
    printable,
    run_command,
)
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from serving.client_library.client_flags import add_min_score_flag, min_score_of
from serving.client_library.detection_client import DetectionClient
from serving.client_library.detections import BY_THE_MODEL, USUAL_MIN_SCORE, ImageDetections, least_score
from serving.client_library.image_requests import find_images
from serving.client_library.result_files import ResultFiles
from serving.folders.cost import cost_table, time_detector
from serving.folders.detector_choice import (
    MODEL_THRESHOLDS,
    WRITTEN_MIN_SCORE,
    add_detector_flags,
    check_detector_flags,
    describe_detector,
    find_label_map,
    open_detector,
)
from serving.folders.predictions_file import PREDICTIONS_NAME, PredictionsFile, has_run, read_predictions, read_run
from serving.folders.sorting import DEFAULT_OTHER, ImageSorter, best_class
from serving.folders.tables import write_tables
from serving.folders.uncertain_page import write_uncertain_csv, write_uncertain_page
from serving.folders.uncertainty import AGGREGATIONS, SUM, least_sure
from serving.in_process.detector import InProcessDetector

FAILURES_NAME = "failures.jsonl"
MAX_LISTED_CLASSES = 20

DESCRIPTION = """Predicts all images of a folder and below, with a SavedModel in this process or through a server.

The output directory holds predictions.jsonl (a line an image), detections.csv (a row a detection), images.csv (a
row an image), failures.jsonl and run.json. Stopped or killed, the same command goes on where it was. Without a model
nothing is predicted: what is there is sorted, or searched for what to label next, with other settings."""
EXAMPLE = """  python -m serving.predict_folder photos/ --saved_model_dir exported/saved_model --output_directory out
  python -m serving.predict_folder photos/ --server localhost:8500 --model_name furniture \\
      --label_map_path label_map.pbtxt --output_directory out --sort_into sorted --uncertain 50
  python -m serving.predict_folder photos/ --output_directory out --sort_into strict --sort_min_score 0.8
  python -m serving.predict_folder photos/ --saved_model_dir exported/saved_model \\
      --estimate_cost 500000000 --price_per_hour 1.46"""


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=DESCRIPTION, example=EXAMPLE)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="its .jpg, .jpeg and .png, and those below")
    parser.add_argument("--output_directory", type=Path, help="where the results go; all but a cost estimate need it")
    parser.add_argument(
        "--coco_path",
        type=Path,
        metavar="FILE.json",
        help="write COCO JSON as well, which annotation tools open: predictions as labels to correct",
    )
    add_min_score_flag(parser, "weaker detections are not written", WRITTEN_MIN_SCORE)
    parser.add_argument(
        "--max_failures", type=int_from_zero, default=0, help="with more images failed than this, the exit code is 3"
    )
    add_detector_flags(parser)
    sort = parser.add_argument_group("sorting")
    sort.add_argument("--sort_into", type=Path, metavar="DIR", help="copy each image to DIR/BEST CLASS/")
    sort.add_argument(
        "--sort_min_score",
        type=fraction,
        help=f"images whose best detection is below it go to --other (default: {USUAL_MIN_SCORE:g}, and 0 for a "
        "model that was exported with thresholds)",
    )
    sort.add_argument("--other", default=DEFAULT_OTHER, help="the folder of images without a class")
    label = parser.add_argument_group("what to label next")
    label.add_argument(
        "--uncertain",
        type=positive_int,
        metavar="N",
        help="write uncertain.csv, uncertain.html: the N images that the model is least sure of",
    )
    label.add_argument(
        "--uncertainty",
        choices=AGGREGATIONS,
        default=SUM,
        help="what is taken over an image's detections of (1 - |2 score - 1|)^2 (Brust et al. 2019, 1-vs-2 margin)",
    )
    cost = parser.add_argument_group("what it would cost; nothing is written")
    cost.add_argument(
        "--estimate_cost", type=positive_int, metavar="IMAGES", help="time a sample; say hours and money for IMAGES"
    )
    cost.add_argument("--price_per_hour", type=_price, default=1.0, help="of one machine")
    cost.add_argument("--machines", type=positive_int, default=1, help="that share the work")
    cost.add_argument("--batch_sizes", type=positive_int, nargs="+", default=[1, 8, 32], help="sizes to try")
    cost.add_argument("--sample", type=positive_int, default=64, help="images to time, drawn by chance")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the flags ask for; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without Unicode shows class names escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    if not arguments.folder.is_dir():
        raise UsageError(f"{arguments.folder} is no folder")
    if arguments.estimate_cost is not None:
        return estimate_cost(arguments)
    if arguments.output_directory is None:
        raise UsageError("--output_directory is missing: where the results go")
    if arguments.coco_path is not None and arguments.coco_path.suffix.lower() != ".json":
        raise UsageError(f"--coco_path {arguments.coco_path}: a COCO file ends in .json")
    for flag in ("output_directory", "sort_into"):
        _refuse_inside(arguments.folder, flag, getattr(arguments, flag))
    with Ledger(arguments.output_directory / FAILURES_NAME) as ledger:
        if arguments.saved_model_dir is None and arguments.server is None:
            read_run(arguments.output_directory)
        else:
            check_detector_flags(arguments)
            predict(arguments, ledger)
        nothing = write_results(arguments, ledger) == 0
        print(ledger.summary())
        if nothing:
            print("error: no image was answered", file=sys.stderr)
            return EXIT_FAILED
        return ledger.exit_code(arguments.max_failures)


def predict(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Asks about the images that have no line in predictions.jsonl yet, and adds their lines.

    Raises:
        UserError: The model cannot be asked (any more); what was answered is written.
    """
    images = find_images([arguments.folder])
    label_map = find_label_map(arguments)
    wanted = min_score_of(arguments, WRITTEN_MIN_SCORE)
    with ExitStack() as opened:
        detector: InProcessDetector | DetectionClient | None = None
        if has_run(arguments.output_directory):  # which says whether the model has thresholds: it need not be asked
            has_thresholds = MODEL_THRESHOLDS in read_run(arguments.output_directory)
        else:
            detector = open_detector(arguments, label_map, wanted)
            opened.enter_context(detector)
            has_thresholds = detector.has_thresholds
        min_score = least_score(wanted, has_thresholds=has_thresholds)
        described = describe_detector(arguments, label_map, min_score, has_thresholds=has_thresholds)
        run = {"folder": str(arguments.folder.resolve()), **described}
        file = opened.enter_context(PredictionsFile(arguments.output_directory, run))
        names = (path.relative_to(arguments.folder).as_posix() for path in images)
        missing = [(name, path) for name, path in zip(names, images, strict=True) if name not in file.answered]
        there = len(images) - len(missing)
        if not missing:
            print(f"{len(images)} images, all predicted before")
            return
        if detector is None:
            detector = open_detector(arguments, label_map, min_score)
            opened.enter_context(detector)
        answered = 0
        answers = detector.detect_many(path for _, path in missing)
        named = zip((name for name, _ in missing), answers, strict=True)
        try:
            for name, result in progress(named, description="predicting", total=len(missing), unit="images"):
                if result.failure is not None:
                    ledger.reject(name, result.failure.reason, result.failure.detail)
                    continue
                file.add(replace(result, image=name))
                answered += 1
        except UserError as error:
            raise UserError(
                f"{error} (answered until then: {there + answered} of {len(images)} images; the same command "
                "goes on from there)"
            ) from error
    print(f"{len(images)} images: {there} predicted before, {answered} now")


def write_results(arguments: argparse.Namespace, ledger: Ledger) -> int:
    """Writes the tables, sorts, and lists what to label next, from predictions.jsonl; returns how many it holds."""
    out = arguments.output_directory
    predictions = out / PREDICTIONS_NAME
    counts = write_tables(
        read_predictions(predictions), out / "detections.csv", out / "images.csv", arguments.uncertainty
    )
    print(f"{counts.detections} detections in {counts.images} images: {predictions}, detections.csv, images.csv")
    for name, number in counts.by_name.most_common(MAX_LISTED_CLASSES):
        print(f"  {number:>8}  {printable(name)}")
    if len(counts.by_name) > MAX_LISTED_CLASSES:
        print(f"  and {len(counts.by_name) - MAX_LISTED_CLASSES} classes more")
    if arguments.coco_path is not None:
        label_map = find_label_map(arguments) if arguments.label_map_path or arguments.saved_model_dir else None
        with ResultFiles(coco_path=arguments.coco_path, label_map=label_map) as files:
            for result in read_predictions(predictions):
                files.add(result)
        print(f"as COCO JSON: {arguments.coco_path}")
    if arguments.sort_into is not None:
        _sort(arguments, predictions, ledger)
    if arguments.uncertain is not None:
        images, classes = least_sure(read_predictions(predictions), arguments.uncertain, arguments.uncertainty)
        formula = f"Uncertainty is the {arguments.uncertainty} over an image's detections of (1 - |2 score - 1|)\u00b2."
        write_uncertain_csv(out / "uncertain.csv", images)
        shown = write_uncertain_page(
            out / "uncertain.html",
            arguments.folder,
            images,
            classes,
            num_images=counts.images,
            formula=formula,
        )
        print(f"least sure of {len(images)} images: {out / 'uncertain.csv'}, {shown} in uncertain.html")
    return counts.images


def estimate_cost(arguments: argparse.Namespace) -> int:
    """Times a sample, and prints what all images would take; returns the exit code."""
    check_detector_flags(arguments)
    images = find_images([arguments.folder])
    sample = random.Random(0).sample(images, min(arguments.sample, len(images)))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows does not tell
    if load > (os.cpu_count() or 1) / 2:
        print(f"warning: the load is {load:.1f} already; what is timed now would be faster alone", file=sys.stderr)
    sizes = sorted(set(arguments.batch_sizes))
    wanted = min_score_of(arguments, WRITTEN_MIN_SCORE)
    with open_detector(arguments, find_label_map(arguments), wanted) as detector:
        device = getattr(detector, "device", None) or f"server {arguments.server}"
        timings = time_detector(detector, device, sample, sizes)
    print(
        f"timed {len(sample)} of {len(images)} images, reading and decoding in it; {os.cpu_count()} cores, load "
        f"{load:.1f} before; {arguments.estimate_cost:,} images at {arguments.price_per_hour:g} an hour:"
    )
    print("\n".join(cost_table(timings, arguments.estimate_cost, arguments.price_per_hour, arguments.machines)))
    return 0


def _sort(arguments: argparse.Namespace, predictions: Path, ledger: Ledger) -> None:
    min_score = arguments.sort_min_score
    if min_score is None:
        has_thresholds = MODEL_THRESHOLDS in read_run(arguments.output_directory)
        min_score = least_score(BY_THE_MODEL, has_thresholds=has_thresholds)
    classes = {
        found.class_id: found.name
        for result in read_predictions(predictions)
        for found in result.detections
        if found.class_id == best_class(result, min_score)
    }
    sorter = ImageSorter(
        arguments.folder,
        arguments.sort_into,
        classes,
        min_score=min_score,
        other=arguments.other,
    )
    results: Iterator[ImageDetections] = read_predictions(predictions)
    counts = sorter.sort(progress(results, description="copying", unit="images"), ledger)
    print(f"{counts.copied.total()} images copied into {arguments.sort_into}, {counts.there} were there before")
    for folder, number in sorted(counts.copied.items()):
        print(f"  {number:>8}  {printable(folder)}/")


def _refuse_inside(folder: Path, flag: str, target: Path | None) -> None:
    if target is not None and target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"--{flag} {target} lies in {folder}, so its images would be predicted as well")


def _price(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a price from 0")
    return value


if __name__ == "__main__":
    run_command(main)
