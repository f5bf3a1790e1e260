"""Writes a trained model's checkpoint for the Object Detection API, so that its own programs read it back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.settings.loading import add_config_arguments
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow

FORMATS = ("object_detection_api",)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.export_checkpoint --pipeline_config_path pipeline.config "
        "--trained_checkpoint_dir model \\\n      --output_directory zoo_style",
    )
    add_config_arguments(parser)
    parser.add_argument("--trained_checkpoint_dir", required=True, help="a model folder, or one checkpoint's prefix")
    parser.add_argument(
        "--output_directory", type=Path, required=True, help="a new folder, for checkpoint/ckpt-0 and pipeline.config"
    )
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="whose programs are to read it")
    arguments = parser.parse_args(argv)

    quiet_tensorflow()
    from train.checkpoints.api_export import export_for_api, require_new_folder
    from train.checkpoints.files import find_checkpoint
    from train.checkpoints.model_config import build_model, model_config_from
    from train.loop.checkpoint_files import restore_trained

    require_new_folder(arguments.output_directory)
    config = model_config_from(arguments)
    prefix = find_checkpoint(arguments.trained_checkpoint_dir)
    detector = build_model(config)
    averages = config.eval_config.use_moving_averages
    step = restore_trained(detector, prefix, moving_averages=averages)
    count = export_for_api(detector.network, config, arguments.output_directory)
    print(
        f"wrote {count} variables of {prefix}, step {step}{', its moving averages' if averages else ''}, to "
        f"{arguments.output_directory}/checkpoint/ckpt-0"
    )
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
