"""Writes a checkpoint as a SavedModel that equals it. Flags follow the Object Detection API's `exporter_main_v2.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.settings.api_flags import EXPORT_INFERENCE_GRAPH, EXPORTER_MAIN_V2, add_api_arguments, settle_api_flags
from configs.settings.loading import add_config_arguments
from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag
from data_prep.runtime.command_line import EXIT_DONE, UsageError, fraction, positive_int, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from export.nms_flags import add_nms_arguments, add_thresholds_argument, with_nms_flags
from export.parity_flags import add_parity_images_flag
from train.evaluation.thresholds_file import read_thresholds
from train.pipeline import pipeline_from
from train.tracking.choice import add_track_argument, record_export, require_installed, require_tracked

INPUT_TYPES = ("encoded_image_string_tensor", "image_tensor", "float_image_tensor", "tf_example")
WEIGHTS_DTYPES = ("float32", "float16", "bfloat16")
MORE_OUTPUTS = (
    "raw_detection_boxes",
    "raw_detection_scores",
    "detection_multiclass_scores",
    "detection_anchor_indices",
    "detection_class_names",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    settle_api_flags(arguments, EXPORTER_MAIN_V2, EXPORT_INFERENCE_GRAPH)
    require_installed(arguments.track)
    if arguments.model_version and not arguments.model_base_path:
        raise UsageError("--model_version needs --model_base_path, the folder of the versions")
    input_types = list(dict.fromkeys(arguments.input_type or INPUT_TYPES[:1]))
    arguments.config_override = with_nms_flags(arguments)
    pipeline = pipeline_from(arguments)
    if arguments.also_all_detections and arguments.thresholds is None:
        raise UsageError("--also_all_detections goes with --thresholds: without them every signature answers all")
    thresholds = None
    if arguments.thresholds is not None:
        thresholds = read_thresholds(arguments.thresholds, pipeline.names_by_id)

    quiet_tensorflow()
    from export.approximation import Approximation
    from export.saved_model import export, next_version, require_new
    from export.signatures import BakedThresholds, signature_names
    from train.checkpoints.files import find_checkpoint
    from train.loop.checkpoint_files import restore_trained
    from train.models.build import build_or_explain

    version_directory = None
    if arguments.model_base_path:
        version = arguments.model_version or next_version(arguments.model_base_path)
        version_directory = arguments.model_base_path / str(version)
    require_new(arguments.output_directory, version_directory)
    require_tracked(arguments.track, arguments.trained_checkpoint_dir)
    prefix = find_checkpoint(arguments.trained_checkpoint_dir)
    detector = build_or_explain(pipeline.settings)
    averages = pipeline.settings.eval_config.use_moving_averages
    step = restore_trained(detector, prefix, moving_averages=averages)
    print(f"restored {prefix}, step {step}", flush=True)
    approximation = Approximation(
        weights_dtype=arguments.weights_dtype,
        scaled_jpeg=arguments.scaled_jpeg_decode,
        min_agreement=arguments.min_agreement,
        min_score=arguments.check_min_score,
    )
    baked = BakedThresholds(thresholds, arguments.also_all_detections) if thresholds is not None else None
    written = export(
        pipeline=pipeline,
        detector=detector,
        input_types=input_types,
        more_outputs=list(dict.fromkeys(arguments.output)),
        baked=baked,
        output_directory=arguments.output_directory,
        version_directory=version_directory,
        parity_images=arguments.parity_images,
        warmup_batch_sizes=arguments.warmup_batch_sizes,
        also_frozen_graph=arguments.also_frozen_graph,
        approximation=approximation,
    )
    print(written.summary())
    print(
        f"signatures: {', '.join(f'{name} takes {kind}' for name, kind in signature_names(input_types, baked).items())}"
    )
    print(f"written to {arguments.output_directory}")
    if arguments.also_frozen_graph:
        print(f"frozen graph: {arguments.output_directory / 'frozen_inference_graph.pb'}, from image_tensor:0")
    if version_directory is not None:
        print(f"version {version_directory.name} for serving: {version_directory}")
    if arguments.track:
        exported = {"exported_model": arguments.output_directory}
        if version_directory is not None:
            exported["exported_model_version"] = version_directory
        for line in record_export(arguments.track, arguments.trained_checkpoint_dir, exported):
            print(line)
    return EXIT_DONE


def _parser() -> AbslArgumentParser:
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python -m export.export_saved_model --pipeline_config_path pipeline.config "
        "--trained_checkpoint_dir model \\\n      --output_directory exported --model_base_path serving_models "
        "\\\n      --input_type encoded_image_string_tensor image_tensor --output detection_class_names",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--trained_checkpoint_dir",
        "--trained_checkpoint_prefix",
        required=True,
        help="a model folder, or one checkpoint's prefix",
    )
    parser.add_argument("--output_directory", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--input_type",
        nargs="+",
        action="extend",
        type=_input_type,
        choices=INPUT_TYPES,
        help=f"what a request holds; of several, each is a signature: the first serving_default, the others by their "
        f"own name (default: {INPUT_TYPES[0]})",
    )
    parser.add_argument(
        "--output",
        nargs="+",
        action="extend",
        choices=MORE_OUTPUTS,
        default=[],
        help="what to answer with beside boxes, scores, classes and their number",
    )
    parser.add_argument(
        "--also_frozen_graph",
        action=BooleanFlag,
        default=False,
        help="also write frozen_inference_graph.pb into the output folder, for programs of TensorFlow 1: "
        "image_tensor:0 in, detection_boxes:0 and so on out",
    )
    add_nms_arguments(parser)
    group = add_thresholds_argument(parser, "after the NMS")
    group.add_argument(
        "--also_all_detections",
        action=BooleanFlag,
        default=False,
        help="also write a signature all_detections, which answers without the thresholds",
    )
    group = parser.add_argument_group(
        "smaller and faster, for detections that differ a little: how many do, is measured, told and bounded"
    )
    group.add_argument(
        "--weights_dtype",
        choices=WEIGHTS_DTYPES,
        default=WEIGHTS_DTYPES[0],
        help="in which the SavedModel's kernels are stored: two bytes a weight make it half as large, and as fast, for "
        "they are float32 again once it is loaded; float16 is the nearer of the two",
    )
    group.add_argument(
        "--scaled_jpeg_decode",
        action=BooleanFlag,
        default=False,
        help="decode JPEGs at 1/2, 1/4 or 1/8 of their size where the image_resizer shrinks them by so much",
    )
    group.add_argument(
        "--min_agreement",
        type=fraction,
        default=0.8,
        help="the share of detections that such a model must have in common with the checkpoint",
    )
    group.add_argument("--check_min_score", type=fraction, default=0.3, help="what detections count from in that")
    parser.add_argument("--model_base_path", type=Path, help="also write the SavedModel here, as a version folder")
    parser.add_argument("--model_version", type=positive_int, help="of that folder; by default the next free number")
    add_parity_images_flag(
        parser,
        help_text="JPEGs or PNGs to compare the SavedModel with the checkpoint on; by default the first evaluation "
        "records, or generated images where there are none",
    )
    parser.add_argument(
        "--warmup_batch_sizes",
        nargs="*",
        type=positive_int,
        default=[1, 2, 3, 4],
        metavar="N",
        help="warm-up requests that the version folder gets, made from the same images and replayed: as many "
        "images each as batching.config allows; none where no number follows",
    )
    add_track_argument(parser, "the exported model's path, into the training's run,")
    add_api_arguments(parser, EXPORTER_MAIN_V2, EXPORT_INFERENCE_GRAPH)
    return parser


def _input_type(text: str) -> str:
    if text == "image_and_boxes_tensor":
        raise argparse.ArgumentTypeError(f"{text} asks a model with masks, which are not supported; use another")
    return text


if __name__ == "__main__":
    run_command(main)
