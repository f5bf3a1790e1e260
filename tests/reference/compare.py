"""Compares models with stored values of the Object Detection API, stage by stage.

A folder holds what the API computed for one model: its pipeline.config, its weights (variables.json, state.npz), arrays
of features, predictions and detections (batch.npz, odd.npz) and a report.json; inputs.npz in the folder above it holds
the images. Ends with 1 where a stage differs by more than rounding explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.runtime.command_line import EXIT_DONE, EXIT_FAILED, ArgumentParser, UserError, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m tests.reference.compare reference/ssd_mobilenet_v2_320",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of reference values")
    parser.add_argument(
        "--inference_only", action="store_true", help="leave out gradients and training steps, which take longest"
    )
    arguments = parser.parse_args(argv)
    quiet_tensorflow()
    from tests.reference.comparison import compare_model
    from tests.reference.folder import ReferenceFolder
    from tests.reference.verdict import Comparison, table

    rows: list[tuple[str, Comparison]] = []
    for path in arguments.folders:
        folder = ReferenceFolder.read(path)
        try:
            found = [(folder.name, one) for one in compare_model(folder, training=not arguments.inference_only)]
        except ValueError as error:
            raise UserError(f"{path}: the model cannot be built as its reference was: {error}") from error
        rows += found
        print(table(found), flush=True)
    failed = [(name, one.stage) for name, one in rows if not one.passed]
    print(f"{len(arguments.folders)} models, {len(rows)} comparisons, {len(failed)} differ")
    for name, stage in failed:
        print(f"differs: {name}: {stage}")
    return EXIT_FAILED if failed else EXIT_DONE


if __name__ == "__main__":
    run_command(main)
