"""Shows what is inside a checkpoint, which architecture it looks like, and what a config's model would take from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from configs.settings.loading import add_config_arguments
from configs.settings.training import FINE_TUNE_CHECKPOINT_TYPES, checkpoint_type_of
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, UserError, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.inspect_checkpoint zoo/checkpoint/ckpt-0 --pipeline_config_path pipeline.config",
    )
    parser.add_argument(
        "checkpoint",
        help="a prefix (M/ckpt-0), a folder with checkpoints, a SavedModel's folder, a frozen graph *.pb, a *.h5 or "
        "*.pth file",
    )
    add_config_arguments(parser, is_path_required=False)
    parser.add_argument(
        "--fine_tune_checkpoint_type",
        choices=FINE_TUNE_CHECKPOINT_TYPES,
        help="what the model would take; by default what the config says",
    )
    arguments = parser.parse_args(argv)
    if arguments.fine_tune_checkpoint_type and not arguments.pipeline_config_path:
        raise UsageError(
            "--fine_tune_checkpoint_type needs --pipeline_config_path, which names the model that takes it"
        )

    quiet_tensorflow()
    from train.checkpoints.contents import contents_of

    contents = contents_of(arguments.checkpoint)
    print(contents.table())
    if arguments.pipeline_config_path:
        _show_plan(arguments)
    return EXIT_DONE


def _show_plan(arguments: argparse.Namespace) -> None:
    from train.checkpoints.model_config import build_model, model_config_from
    from train.checkpoints.restore import plan_restore

    config = model_config_from(arguments)
    train_config = config.train_config
    wanted = arguments.fine_tune_checkpoint_type or checkpoint_type_of(
        train_config.fine_tune_checkpoint_type, from_detection_checkpoint=train_config.from_detection_checkpoint
    )
    plan = plan_restore(build_model(config).network, arguments.checkpoint, wanted)
    print(f'\nfine_tune_checkpoint_type: "{wanted}"')
    print(plan.report.summary(planned=True))
    if plan.problem:
        raise UserError(plan.problem)


if __name__ == "__main__":
    run_command(main)
