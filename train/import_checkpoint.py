"""Makes a checkpoint, config and label map of a detector of TensorFlow 1: a frozen graph, model.ckpt or *.tflite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import add_config_arguments
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.import_checkpoint ssd_mobilenet_v2_coco_2018_03_29/frozen_inference_graph.pb \\\n"
        "      --output_directory imported",
    )
    parser.add_argument(
        "file", type=Path, help="a frozen graph *.pb, a checkpoint's prefix (model.ckpt) or folder, or a *.tflite"
    )
    parser.add_argument(
        "--output_directory",
        type=Path,
        required=True,
        help="a new folder, for checkpoint/ckpt-0, pipeline.config, label_map.pbtxt and import_report.json",
    )
    add_config_arguments(parser, is_path_required=False)
    parser.add_argument(
        "--label_map_path",
        type=Path,
        help="the classes' names: a label map *.pbtxt, or a *.txt of one name a line; by default COCO's where there "
        "are 90, else numbers",
    )
    parser.add_argument(
        "--calibration_images",
        type=Path,
        metavar="DIRECTORY",
        help="JPEGs and PNGs, of which up to 64 are looked at: batch norms that a *.tflite has no more get their "
        "statistics from them, so that the model can be trained on",
    )
    arguments = parser.parse_args(argv)
    if arguments.config_override and not arguments.pipeline_config_path:
        raise UsageError("--config_override needs --pipeline_config_path, the config that it is merged over")

    quiet_tensorflow()
    from train.checkpoints.model_config import model_config_from
    from train.importing.model_import import import_model

    config = model_config_from(arguments) if arguments.pipeline_config_path else None
    imported = import_model(
        arguments.file,
        arguments.output_directory,
        config=config,
        label_map_path=arguments.label_map_path,
        calibration_folder=arguments.calibration_images,
    )
    print(imported.summary())
    print(
        f"written to {arguments.output_directory}: checkpoint/ckpt-0, pipeline.config and label_map.pbtxt; next: "
        f"python -m export.export_saved_model --pipeline_config_path {arguments.output_directory}/pipeline.config "
        f"--trained_checkpoint_dir {arguments.output_directory}/checkpoint --output_directory exported"
    )
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
