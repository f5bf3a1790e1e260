"""Measures a checkpoint, each new one of a running training, an export, a served model, or anybody's detections."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from configs.settings.api_flags import add_api_arguments, settle_api_flags
from configs.settings.evaluation import EvalConfig
from configs.settings.loading import add_config_arguments
from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag
from data_prep.runtime.command_line import EXIT_DONE, UsageError, int_from_zero, run_command
from data_prep.runtime.ledger import Ledger
from train.evaluation.input_flags import add_evaluation_input_arguments, with_evaluation_input
from train.evaluation.server_flags import add_server_arguments, check_server_arguments, served_detector
from train.evaluation.study_options import StudyOptions, add_study_arguments, study_options
from train.loop.processor import prepare_tensorflow
from train.pipeline import Pipeline, pipeline_from

if TYPE_CHECKING:
    from train.evaluation.image_detector import ImageDetector

REJECTED_DETECTIONS = "rejected_detections.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python -m train.evaluate --pipeline_config_path pipeline.config --checkpoint_dir model --once\n"
        "  python -m train.evaluate --pipeline_config_path pipeline.config --from_detections detections.csv\n"
        "  python -m train.evaluate --ground_truth_path instances_val2017.json --from_detections results.json",
    )
    add_config_arguments(parser, is_path_required=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint_dir", help="a folder with checkpoints, or one checkpoint's prefix (M/ckpt-300)")
    source.add_argument(
        "--saved_model_dir", help="a folder that the exporter wrote, or BASE with versions (the newest) or BASE/3"
    )
    source.add_argument("--tflite_model", metavar="M.tflite", help="a file that export.export_tflite wrote")
    source.add_argument(
        "--from_detections",
        type=Path,
        metavar="D.json|D.csv",
        help="detections of anybody's: COCO's results, COCO annotations with scores, or a CSV with a row a detection",
    )
    parser.add_argument(
        "--ground_truth_path",
        type=Path,
        metavar="G.json",
        help="with --from_detections: a COCO file to measure on instead of the config's records; needs no config",
    )
    parser.add_argument(
        "--max_failures",
        type=int_from_zero,
        default=0,
        help="with --from_detections: with more images and detections that cannot be used, the exit code is 3",
    )
    parser.add_argument(
        "--eval_dir",
        type=Path,
        help="for metrics.json and TensorBoard; by default `eval` beside the source, and in it the reader's name; of a "
        "file of detections D.csv `eval_D` beside it",
    )
    parser.add_argument(
        "--once", "--run_once", action=BooleanFlag, default=False, help="evaluate what is there and end"
    )
    parser.add_argument(
        "--eval_timeout",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="end when no new checkpoint comes for so long",
    )
    parser.add_argument("--eval_index", type=int, default=0, help="which eval_input_reader of the config")
    add_evaluation_input_arguments(parser)
    add_study_arguments(parser)
    add_server_arguments(parser, source)
    add_api_arguments(parser)
    arguments = parser.parse_args(argv)
    settle_api_flags(arguments)
    options = study_options(arguments)
    if arguments.ground_truth_path is not None and arguments.from_detections is None:
        raise UsageError("--ground_truth_path goes with --from_detections: models are measured on the config's records")
    check_server_arguments(parser, arguments)
    if arguments.pipeline_config_path is None:
        if arguments.ground_truth_path is None:
            raise UsageError("--pipeline_config_path is missing; only --ground_truth_path needs none")
        prepare_tensorflow()
        return _evaluate_detections(None, arguments, options)
    pipeline = with_evaluation_input(pipeline_from(arguments), arguments)
    if not 0 <= arguments.eval_index < len(pipeline.settings.eval_input_reader):
        raise UsageError(
            f"--eval_index {arguments.eval_index}: {arguments.pipeline_config_path} has "
            f"{len(pipeline.settings.eval_input_reader)} eval_input_reader"
        )
    if len(pipeline.settings.eval_input_reader) > 1:
        print(
            f"evaluating on eval_input_reader[{arguments.eval_index}] of {len(pipeline.settings.eval_input_reader)}; "
            "--eval_index takes another"
        )
    prepare_tensorflow()
    if arguments.from_detections is not None:
        return _evaluate_detections(pipeline, arguments, options)
    if not arguments.checkpoint_dir:
        _evaluate_detector(pipeline, arguments, options)
        return EXIT_DONE
    from train.evaluation.checkpoints import evaluate_checkpoints

    evaluate_checkpoints(
        pipeline,
        arguments.checkpoint_dir,
        eval_dir=arguments.eval_dir,
        once=arguments.once,
        timeout_seconds=arguments.eval_timeout,
        reader_index=arguments.eval_index,
        options=options,
    )
    return EXIT_DONE


def _evaluate_detector(pipeline: Pipeline, arguments: argparse.Namespace, options: StudyOptions) -> None:
    from train.evaluation.evaluator import evaluation_folder
    from train.evaluation.record_evaluation import evaluate_detector
    from train.evaluation.record_names import read_record_names
    from train.evaluation.study import EvaluationStudy

    index = arguments.eval_index
    file_names = {}
    if options.detections_path is not None:
        file_names = read_record_names(pipeline.settings.eval_input_reader[index], f"eval_input_reader[{index}]")
    with contextlib.ExitStack() as stack:
        opened = _open_detector(pipeline, arguments, stack)
        if options.criterion is None and opened.thresholds is not None and opened.thresholds.is_file():
            options = dataclasses.replace(options, criterion=opened.thresholds)
        study = EvaluationStudy(options, pipeline.settings.eval_config, pipeline.names_by_id, file_names)
        result = evaluate_detector(pipeline, opened.detector, reader_index=index, observers=[study])
    eval_dir = arguments.eval_dir or opened.folder / evaluation_folder(pipeline, index).relative_to("eval")
    study.finish(result, eval_dir, step=0, source=opened.source, title=opened.source)


class _Opened(NamedTuple):
    """What detects, how it is called, the folder for its results, and where thresholds of its export would be."""

    detector: ImageDetector
    source: str
    folder: Path
    thresholds: Path | None


def _open_detector(pipeline: Pipeline, arguments: argparse.Namespace, stack: contextlib.ExitStack) -> _Opened:
    from train.evaluation.thresholds_file import THRESHOLDS_NAME

    if arguments.saved_model_dir:
        from train.evaluation.saved_model_detector import SavedModelDetector

        saved_model = SavedModelDetector(arguments.saved_model_dir)
        source = arguments.saved_model_dir
        if saved_model.folder.name.isdigit() and saved_model.folder != Path(source):
            source = str(saved_model.folder)  # of a base folder, which version it was
        folder = Path(arguments.saved_model_dir).parent / "eval_saved_model"
        return _Opened(saved_model, source, folder, saved_model.folder / "assets" / THRESHOLDS_NAME)
    if arguments.tflite_model:
        from train.evaluation.tflite_detector import TfliteImageDetector

        path = Path(arguments.tflite_model)
        tflite = TfliteImageDetector(path, pipeline)
        return _Opened(tflite, str(path), path.parent / f"eval_{path.stem}", path.with_name(THRESHOLDS_NAME))
    served = stack.enter_context(served_detector(arguments, pipeline))
    name = f"{arguments.model_name} at {arguments.server}"
    return _Opened(served, name, Path(f"eval_{arguments.model_name}"), None)


def _evaluate_detections(pipeline: Pipeline | None, arguments: argparse.Namespace, options: StudyOptions) -> int:
    from train.evaluation.given import evaluate_on_coco, evaluate_on_records
    from train.evaluation.study import EvaluationStudy

    def make_study(
        eval_config: EvalConfig, names_by_id: Mapping[int, str], file_names: Mapping[str, str]
    ) -> EvaluationStudy:
        return EvaluationStudy(options, eval_config, names_by_id, file_names)

    path = arguments.from_detections
    eval_dir = arguments.eval_dir or path.parent / f"eval_{path.name.partition('.')[0]}"
    with Ledger(eval_dir / REJECTED_DETECTIONS) as ledger:
        if arguments.ground_truth_path is not None:
            settings = pipeline.settings if pipeline is not None else None
            hierarchy = arguments.class_hierarchy_path or (settings.extensions.class_hierarchy_path if settings else "")
            result, study = evaluate_on_coco(
                settings, arguments.ground_truth_path, path, make_study, ledger, class_hierarchy_path=hierarchy
            )
        elif pipeline is not None:
            result, study = evaluate_on_records(pipeline, path, make_study, ledger, reader_index=arguments.eval_index)
        study.finish(result, eval_dir, step=0, source=str(path), title=str(path))
        print(ledger.summary())
        return ledger.exit_code(arguments.max_failures)


if __name__ == "__main__":
    run_command(main)
