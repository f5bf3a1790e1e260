"""Compares an imported checkpoint with the frozen graph or TensorFlow Lite file that it was made of, which it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import add_config_arguments
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UserError, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from export.parity_flags import add_parity_images_flag


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m export.compare_import frozen_inference_graph.pb --pipeline_config_path "
        "imported/pipeline.config \\\n      --trained_checkpoint_dir imported/checkpoint --parity_images photo.jpg",
    )
    parser.add_argument("original", type=Path, help="a frozen graph *.pb or a *.tflite, of a source that you trust")
    add_config_arguments(parser)
    parser.add_argument("--trained_checkpoint_dir", required=True, help="a folder with a checkpoint, or its prefix")
    add_parity_images_flag(parser, help_text="JPEGs and PNGs to compare on, at most 16; by default generated ones")
    arguments = parser.parse_args(argv)

    quiet_tensorflow()
    from export.import_parity import check_import
    from export.parity_images import generated_images, read_images
    from train.checkpoints.files import find_checkpoint
    from train.checkpoints.model_config import build_model, model_config_from
    from train.loop.checkpoint_files import restore_trained

    detector = build_model(model_config_from(arguments))
    restore_trained(detector, find_checkpoint(arguments.trained_checkpoint_dir))
    report = check_import(arguments.original, detector, read_images(arguments.parity_images) or generated_images())
    print(report.summary())
    for check in report.checks:
        if check.problem:
            raise UserError(f"the import does not predict what the original does: {check.problem}")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
