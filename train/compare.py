"""Says whether a detector is better than another, or only luckier on these images: paired bootstrap over images.

The first is what the others are compared with: checkpoints, exported SavedModels, .tflite files, or files of
detections, on the same images. The exit code is 1 where one of the others is not better than the first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import add_config_arguments
from data_prep.runtime.absl_flags import AbslArgumentParser
from data_prep.runtime.command_line import EXIT_DONE, EXIT_FAILED, UsageError, fraction, int_from_zero, run_command
from data_prep.runtime.ledger import Ledger
from train.comparing.compare_flags import add_compare_arguments, compare_options
from train.evaluation.input_flags import add_evaluation_input_arguments, with_evaluation_input
from train.evaluation.study_options import criterion_of_text
from train.loop.processor import prepare_tensorflow
from train.metrics.operating_points import BEST_F1
from train.pipeline import pipeline_from

REJECTED_DETECTIONS = "rejected_detections.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    options = compare_options(arguments)
    if (arguments.pipeline_config_path is None) == (arguments.ground_truth_path is None):
        raise UsageError("give --pipeline_config_path, for its evaluation records, or --ground_truth_path")
    if arguments.image_directory is not None and arguments.ground_truth_path is None:
        raise UsageError("--image_directory goes with --ground_truth_path: records hold their images")
    prepare_tensorflow()
    from train.comparing.candidates import find_candidates
    from train.comparing.compare_detectors import REPORT_NAME, compare_detectors
    from train.comparing.compared_images import images_of_coco, images_of_records
    from train.comparing.page import write_comparison_page
    from train.comparing.table import comparison_table

    candidates = find_candidates(arguments.candidates)
    output = arguments.output_directory
    pipeline = None
    if arguments.pipeline_config_path is not None:
        pipeline = with_evaluation_input(pipeline_from(arguments), arguments)
        if not 0 <= arguments.eval_index < len(pipeline.settings.eval_input_reader):
            raise UsageError(f"--eval_index {arguments.eval_index}: the config has no such eval_input_reader")
    with Ledger(output / REJECTED_DETECTIONS) as ledger:
        if pipeline is not None:
            images = images_of_records(pipeline, arguments.eval_index)
        else:
            images = images_of_coco(arguments.ground_truth_path, arguments.image_directory, ledger)
        compared = compare_detectors(
            candidates,
            images,
            pipeline,
            output,
            ledger,
            options=options,
            reader_index=arguments.eval_index,
            criterion=arguments.operating_point,
            threshold=arguments.score_threshold,
        )
        print(f"\n{comparison_table(compared.comparison)}\n")
        if arguments.report_path is not None:
            num_shown = write_comparison_page(arguments.report_path, compared)
            print(f"{num_shown} images side by side in {arguments.report_path}")
        print(f"written to {output / REPORT_NAME}")
        if ledger.total:
            print(ledger.summary())
        rejected = ledger.exit_code(arguments.max_failures)
    if rejected != EXIT_DONE:
        return rejected
    return EXIT_DONE if compared.comparison.is_better else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python -m train.compare old/model new/model --pipeline_config_path pipeline.config \\\n"
        "      --output_directory comparison --report_path comparison.html\n"
        "  python -m train.compare exported model_float16.tflite --pipeline_config_path pipeline.config \\\n"
        "      --output_directory comparison --metric AP@.50 --min_gain -0.01\n"
        "  python -m train.compare a.json b.csv --ground_truth_path instances_val2017.json \\\n"
        "      --output_directory comparison",
    )
    parser.add_argument(
        "candidates",
        nargs="+",
        metavar="DETECTOR",
        help="two or more: a folder with checkpoints or one's prefix, a folder with a SavedModel or its versions, a "
        ".tflite file, or detections as train.evaluate --from_detections takes them",
    )
    add_config_arguments(parser, is_path_required=False)
    parser.add_argument("--eval_index", type=int_from_zero, default=0, help="which eval_input_reader of the config")
    parser.add_argument(
        "--ground_truth_path",
        type=Path,
        metavar="G.json",
        help="a COCO file to compare files of detections on, instead of the config's records",
    )
    parser.add_argument("--image_directory", type=Path, help="where that file's images are, for the page")
    parser.add_argument(
        "--output_directory",
        type=Path,
        required=True,
        help="for comparison.json and the detections, which are taken from there when the command is run again",
    )
    parser.add_argument("--report_path", type=Path, metavar="R.html", help="write a page with images side by side")
    parser.add_argument(
        "--operating_point",
        type=criterion_of_text,
        default=BEST_F1,
        metavar="f1|precision=P|recall=R",
        help="what each detector's one threshold for F1 is chosen for, on all of these images",
    )
    parser.add_argument(
        "--score_threshold", type=fraction, metavar="SCORE", help="count F1 from this score on, for all detectors"
    )
    parser.add_argument(
        "--max_failures",
        type=int_from_zero,
        default=0,
        help="with more detections and images that cannot be used, the exit code is 3",
    )
    add_compare_arguments(parser)
    add_evaluation_input_arguments(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
