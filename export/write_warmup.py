"""Adds warm-up requests to a version folder, made from images and replayed, or replays those that it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, positive_int, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m export.write_warmup --version_directory serving_models/1 --images a.jpg b.jpg \\\n"
        "      --batch_sizes 1 2 4 8",
    )
    parser.add_argument("--version_directory", type=Path, required=True, help="the folder with saved_model.pb")
    parser.add_argument(
        "--images",
        "--pictures",
        type=Path,
        nargs="+",
        default=[],
        metavar="IMAGE",
        help="JPEGs or PNGs as clients send them; --pictures is its name in earlier versions",
    )
    parser.add_argument(
        "--batch_sizes",
        type=positive_int,
        nargs="+",
        default=[1, 2, 3, 4],
        metavar="N",
        help="batching.config's allowed_batch_sizes, or 1 where batching is off",
    )
    parser.add_argument("--signatures", nargs="+", default=[], metavar="NAME", help="only these; by default all")
    parser.add_argument("--model_name", default="detector", help="what the requests call the model")
    parser.add_argument("--check", action="store_true", help="write nothing: replay the file that is there")
    arguments = parser.parse_args(argv)
    if arguments.check == bool(arguments.images):
        raise UsageError("give --images to make requests from, or --check to replay those that are there")

    quiet_tensorflow()
    from export.parity_images import read_images
    from export.warmup import replay_warmup, write_warmup

    if arguments.check:
        report = replay_warmup(arguments.version_directory)
    else:
        report = write_warmup(
            arguments.version_directory,
            read_images(arguments.images),
            batch_sizes=arguments.batch_sizes,
            model_name=arguments.model_name,
            signatures=arguments.signatures,
        )
    print("signature                     batch  outputs    first     again")
    for request in report.requests:
        print(
            f"{request.signature:<30}{request.batch_size:>5}{request.num_outputs:>9}"
            f"{request.first_seconds * 1000:>7.0f} ms{request.again_seconds * 1000:>7.0f} ms"
        )
    print(report.summary())
    print(f"{'replayed' if arguments.check else 'written to'} {report.path}")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
