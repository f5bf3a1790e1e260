"""Writes a checkpoint as TensorFlow Lite models that detect what it does. Flags follow `export_tflite_graph_tf2.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from configs.settings.api_flags import EXPORT_TFLITE_GRAPH_TF2, add_api_arguments, settle_api_flags
from configs.settings.loading import add_config_arguments
from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag
from data_prep.runtime.command_line import (
    EXIT_DONE,
    UsageError,
    UserError,
    fraction,
    positive_int,
    run_command,
)
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from export.nms_flags import add_nms_arguments, add_thresholds_argument, with_nms_flags
from export.parity_flags import add_parity_images_flag
from export.tflite.requirements import FULL_INTEGER, QUANTIZATIONS, require_convertible
from train.evaluation.thresholds_file import read_thresholds
from train.pipeline import pipeline_from


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    settle_api_flags(arguments, EXPORT_TFLITE_GRAPH_TF2)
    use_regular_nms = arguments.ssd_use_regular_nms
    quantizations = list(dict.fromkeys(arguments.quantization or QUANTIZATIONS[:1]))
    if FULL_INTEGER in quantizations and not arguments.representative_records:
        raise UsageError("--quantization full_integer needs --representative_records, such as 'train.record-*'")
    if arguments.max_detections_per_class and not use_regular_nms:
        raise UsageError("--max_detections_per_class counts classes, which --ssd_use_regular_nms alone does; add that")
    arguments.config_override = with_nms_flags(arguments)
    pipeline = pipeline_from(arguments)
    model = require_convertible(pipeline.settings.model, use_regular_nms=use_regular_nms)
    thresholds = None
    if arguments.thresholds is not None:
        thresholds = read_thresholds(arguments.thresholds, pipeline.names_by_id)

    quiet_tensorflow()
    from data_prep.runtime.staged_folder import staged
    from export.parity_images import read_record_images
    from export.saved_model import require_new
    from export.tflite.graph import NmsOptions
    from export.tflite.models import check_images_for, write_models
    from train.checkpoints.files import find_checkpoint
    from train.loop.checkpoint_files import restore_trained
    from train.models.build import build_or_explain

    require_new(arguments.output_directory, None)
    check_images = check_images_for(arguments.parity_images, arguments.check_records, pipeline)
    representative = []
    if FULL_INTEGER in quantizations:
        representative = read_record_images(
            arguments.representative_records,
            arguments.num_representative_images,
            flag="--representative_records",
        )
    prefix = find_checkpoint(arguments.trained_checkpoint_dir)
    detector = build_or_explain(pipeline.settings)
    step = restore_trained(detector, prefix, moving_averages=pipeline.settings.eval_config.use_moving_averages)
    print(f"restored {prefix}, step {step}", flush=True)
    nms = NmsOptions.from_settings(
        model.post_processing.batch_non_max_suppression,
        max_detections=arguments.max_detections,
        use_regular_nms=use_regular_nms,
    )
    with staged(arguments.output_directory) as folder:
        report = write_models(
            folder,
            pipeline=pipeline,
            detector=detector,
            nms=nms,
            quantizations=quantizations,
            check_images=check_images,
            representative=representative,
            min_score=arguments.check_min_score,
            also_saved_model=arguments.also_saved_model,
            thresholds=thresholds,
        )
        print(report.summary(), flush=True)
        if thresholds is not None:
            print(f"detections have to reach {thresholds.summary()}", flush=True)
        if problems := [found for check in report.models if (found := check.problem(arguments.min_agreement))]:
            raise UserError(f"nothing is written, for a model does not detect what the checkpoint does: {problems[0]}")
    for check in report.models:
        if check.warning:
            print(f"warning: {check.warning}", file=sys.stderr)
    print(f"written to {arguments.output_directory}")
    return EXIT_DONE


def _parser() -> AbslArgumentParser:
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python -m export.export_tflite --pipeline_config_path pipeline.config "
        "--trained_checkpoint_dir model \\\n      --output_directory tflite --quantization float full_integer "
        "\\\n      --representative_records 'train.record-*' --score_threshold 0.3",
    )
    add_config_arguments(parser)
    parser.add_argument("--trained_checkpoint_dir", required=True, help="a model folder, or one checkpoint's prefix")
    parser.add_argument("--output_directory", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--quantization",
        nargs="+",
        action="extend",
        choices=QUANTIZATIONS,
        help="a model each, model_float.tflite and so on: as it is; with weights in 8 bits; with everything up to the "
        f"NMS in 8 bits, which takes images as uint8 (default: {QUANTIZATIONS[0]})",
    )
    parser.add_argument(
        "--max_detections",
        type=positive_int,
        default=10,
        metavar="N",
        help="rows of the outputs, whatever the config says",
    )
    parser.add_argument(
        "--ssd_use_regular_nms",
        action=BooleanFlag,
        default=False,
        help="let boxes compete class by class, as the config's NMS does; without it every anchor counts with its best "
        "class and boxes of all classes compete, which is faster",
    )
    parser.add_argument(
        "--also_saved_model",
        action=BooleanFlag,
        default=False,
        help="also write saved_model, as export_tflite_graph_tf2.py did, for tf.lite.TFLiteConverter in a script of "
        "your own",
    )
    add_nms_arguments(parser, leave_out=["max_total_detections"])
    add_thresholds_argument(parser, "before the NMS")
    ranges = parser.add_argument_group("full_integer")
    ranges.add_argument(
        "--representative_records", metavar="GLOB", help="records with images from which ranges are taken"
    )
    ranges.add_argument(
        "--num_representative_images",
        "--num_representative_pictures",
        type=positive_int,
        default=100,
        metavar="N",
        help="spread over these records; --num_representative_pictures is its name in earlier versions",
    )
    check = parser.add_argument_group("the check against the checkpoint")
    check.add_argument(
        "--check_records",
        metavar="GLOB",
        help="records with images to compare on, 16 spread over them; by default the config's evaluation records, or "
        "generated images where there are none",
    )
    add_parity_images_flag(check, help_text="JPEGs or PNGs instead")
    check.add_argument("--check_min_score", type=fraction, default=0.3, help="what detections count from")
    check.add_argument(
        "--min_agreement",
        type=fraction,
        default=0.5,
        help="the share of detections that a quantised model must have in common with the checkpoint; a float model "
        "must equal it but for rounding",
    )
    add_api_arguments(parser, EXPORT_TFLITE_GRAPH_TF2)
    return parser


if __name__ == "__main__":
    run_command(main)
