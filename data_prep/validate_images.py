"""Decodes every picture of points.json whole, makes it an RGB JPEG of bounded size, and drops the points without one.

Run again, it goes on where it was: a picture whose result is there, newer than its source and sound, is not done twice.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.atomic_files import write_bytes
from data_prep.command_line import ArgumentParser, UsageError, UserError, positive_int, run_command
from data_prep.images import ImageError, find_image, fitted_size, prepare_image, read_header, read_image_file
from data_prep.ledger import Ledger
from data_prep.points import read_points, write_points
from data_prep.progress import progress
from data_prep.worker_pool import default_num_processes, map_in_order, process_pool


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    Attributes:
        kept: Whether its points stay.
        what: For counting: `as they were`, `encoded anew`, `copied`, `done by an earlier run`, or why it was rejected.
        detail: What was seen.
        changes: Why it was encoded anew.
    """

    kept: bool
    what: str
    detail: str = ""
    changes: tuple[str, ...] = ()


def validate_image(image_id: str, source_directory: Path, target_directory: Path, max_dimension: int) -> Outcome:
    """Checks one picture and leaves it as `target_directory`/ID.jpg.

    Args:
        image_id: A plain file name.
        source_directory: Holds ID.jpg, ID.png or the like.
        target_directory: May be the same; then only what has to change is written, in the place of ID.jpg.
        max_dimension: The longest side, in pixels.

    Returns:
        What became of it; a picture that is missing or broken is no exception.

    Raises:
        OSError: The result cannot be written.
    """
    source = find_image(source_directory, image_id)
    if source is None:
        return Outcome(False, "missing", f"no {image_id}.jpg (.png, ...) in {source_directory}")
    target = target_directory / f"{image_id}.jpg"
    in_place = target_directory.resolve() == source_directory.resolve()
    try:
        content = read_image_file(source)
        if not in_place and _is_done(content, source, target, max_dimension):
            return Outcome(True, "done by an earlier run")
        prepared = prepare_image(content, max_dimension=max_dimension)
    except ImageError as error:
        return Outcome(False, error.reason, f"{source}: {error.detail}")
    if prepared.changes:
        write_bytes(target, prepared.content)
        return Outcome(True, "encoded anew", changes=prepared.changes)
    if source == target:
        return Outcome(True, "as they were")
    write_bytes(target, content)
    return Outcome(True, "copied")


def validate_images(
    image_ids: Sequence[str],
    source_directory: str | Path,
    target_directory: str | Path,
    *,
    max_dimension: int,
    num_processes: int,
) -> Iterator[Outcome]:
    """Yields what became of each picture, in the order of `image_ids`; see `validate_image`."""
    function = functools.partial(
        validate_image,
        source_directory=Path(source_directory),
        target_directory=Path(target_directory),
        max_dimension=max_dimension,
    )
    if num_processes == 1:
        yield from map(function, image_ids)
        return
    with process_pool(num_processes) as executor:
        yield from map_in_order(executor, function, image_ids, num_workers=num_processes)


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Decodes every picture of points.json, makes it an RGB JPEG of at most --max_dimension pixels\n"
        "a side, and writes the points whose picture is sound. EXIF orientation is removed, never applied:\n"
        "the boxes relate to the pixels as stored.",
        example="  python -m data_prep.validate_images --image_directory images \\\n"
        "      --image_saving_directory images_1024 \\\n"
        "      --datapoints_input_path points.json --datapoints_output_path clean_points.json",
    )
    parser.add_argument("--image_directory", required=True, type=Path, help="holds ID.jpg (or .jpeg, .png, .webp, ...)")
    parser.add_argument(
        "--image_saving_directory",
        type=Path,
        help="where sound pictures go, as ID.jpg; without it, what has to change is replaced where it is",
    )
    parser.add_argument("--datapoints_input_path", required=True, type=Path, help="points.json")
    parser.add_argument("--datapoints_output_path", required=True, type=Path, help="the points with a sound picture")
    parser.add_argument("--max_dimension", type=positive_int, default=1024, help="the longest side kept, in pixels")
    parser.add_argument(
        "--num_processes", type=positive_int, default=default_num_processes(), help="pictures worked on at a time"
    )
    parser.add_argument(
        "--ledger_path", type=Path, help="where rejects are listed (by default DATAPOINTS_OUTPUT_PATH.rejected.jsonl)"
    )
    parser.add_argument("--max_failures", type=int, default=0, help="more rejects than this end with exit code 3")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    source_directory: Path = flags.image_directory
    target_directory: Path = flags.image_saving_directory or source_directory
    output_path: Path = flags.datapoints_output_path
    if not source_directory.is_dir():
        raise UsageError(f"--image_directory {source_directory} is no folder")
    points = read_points(flags.datapoints_input_path)
    if not points:
        raise UserError(f"{flags.datapoints_input_path} lists no pictures: nothing to validate")
    ledger_path = flags.ledger_path or output_path.with_name(output_path.name + ".rejected.jsonl")
    counts: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    kept = []
    outcomes = validate_images(
        [point["id"] for point in points],
        source_directory,
        target_directory,
        max_dimension=flags.max_dimension,
        num_processes=min(flags.num_processes, len(points)),
    )
    try:
        with Ledger(ledger_path) as ledger:
            shown: Iterable[Outcome] = progress(outcomes, description="validate", total=len(points), unit="images")
            for point, outcome in zip(points, shown, strict=True):
                if not outcome.kept:
                    ledger.reject(point["id"], outcome.what, outcome.detail)
                    continue
                kept.append(point)
                counts[outcome.what] += 1
                changes.update(outcome.changes)
    except OSError as error:
        raise UserError(f"cannot write pictures to {target_directory}: {error.strerror or error}") from error
    if not kept:
        raise UserError(f"none of the {len(points)} pictures is sound, so no points are written; see {ledger_path}")
    write_points(output_path, kept)
    print(_summary(len(points), counts, changes, ledger))
    num_annotations = sum(len(point["annotations"]) for point in kept)
    print(f"wrote {len(kept)} points with {num_annotations} boxes to {output_path}; pictures are in {target_directory}")
    return ledger.exit_code(flags.max_failures)


def _is_done(source_content: bytes, source: Path, target: Path, max_dimension: int) -> bool:
    """Tells whether `target` is what validating `source` gives: newer, of the right size, and sound."""
    if not target.is_file() or target.stat().st_mtime_ns < source.stat().st_mtime_ns:
        return False
    header = read_header(source_content)
    try:
        done = prepare_image(read_image_file(target), max_dimension=max_dimension)
    except ImageError:  # whatever it is, it is made anew
        return False
    return not done.changes and (done.width, done.height) == fitted_size(header.width, header.height, max_dimension)


def _summary(num_points: int, counts: Counter[str], changes: Counter[str], ledger: Ledger) -> str:
    parts = []
    for what, count in counts.most_common():
        why = f" ({', '.join(f'{number} {kind}' for kind, number in changes.most_common())})" if changes else ""
        parts.append(f"{count} {what}{why if what == 'encoded anew' else ''}")
    return f"{num_points} pictures: {', '.join([*parts, ledger.summary()])}"


if __name__ == "__main__":
    run_command(main)
