"""An estimate of a preparation before anything large is fetched: images, boxes, gigabytes and minutes.

Of a boxes CSV that is not at hand, only the beginning is fetched, and read with all flags as `process_metadata` does.
Nothing here is assumed that can be measured: sizes are the servers', rates those of a trial with a few images.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.metadata.class_choice import EXCLUDE, INCLUDE, Choice, Sources, filters_of_flags
from data_prep.preparing.boxes_sample import BoxesSample, Scaled, sample_of, scaled
from data_prep.preparing.file_download import fetch_start
from data_prep.preparing.image_trial import ImageTrial, NoImagesError, try_images
from data_prep.preparing.open_images_classes import Classes
from data_prep.preparing.open_images_steps import OpenImagesChoice
from data_prep.preparing.prepared_folder import TRAIN
from data_prep.preparing.release_files import SplitFiles
from data_prep.preparing.release_metadata import ReleaseMetadata, size_in_words
from data_prep.preparing.release_requests import RemoteFile
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.worker_pool import default_num_processes

IMAGES_TRIED = 48
PASSES = 3  # over each image after it is fetched: validation, writing and verification of records
_BYTES_A_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class SplitEstimate:
    """Estimate of a split.

    Attributes:
        images: To be fetched.
        boxes: On them.
        image_ids: Of those in the sample.
        source: What the numbers are from, in words.
        seconds_to_read: The whole CSV, by `process_metadata`.
    """

    images: Scaled
    boxes: Scaled
    image_ids: Sequence[str]
    source: str
    seconds_to_read: float


def estimate_lines(
    flags: argparse.Namespace,
    choice: OpenImagesChoice,
    files: Mapping[str, SplitFiles],
    metadata: ReleaseMetadata,
    classes: Classes,
) -> list[str]:
    """Returns the estimate, as lines to print.

    Args:
        flags: Of `open_images_flags`.
        choice: What the steps share.
        files: Of each split.
        metadata: Where they are.
        classes: Those asked for.

    Raises:
        UserError: A server cannot be asked, or the sample has no box of the classes.
    """
    wanted = [name for found in files.values() for name in (found.boxes, found.image_index)]
    wanted += [found.image_labels for found in files.values()] * flags.with_image_labels
    metadata.compare(wanted)
    remotes = metadata.ask(wanted)
    speed = _Speed()
    splits = {}
    for split, found in files.items():
        is_group_of = flags.is_group_of or (EXCLUDE if split == TRAIN else INCLUDE)
        filters = filters_of_flags(argparse.Namespace(**{**vars(flags), "is_group_of": is_group_of}))
        of_process = Choice(
            classes.labels,
            classes.names,
            filters,
            max_images_per_class=flags.max_images_per_class,
            seed=choice.seed,
            expansion=classes.expansion,
        )
        sample, source = _sample(found.boxes, remotes, metadata, flags.estimate_megabytes, speed)
        splits[split] = _split_estimate(split, sample, source, of_process, choice.fraction)
    lines = [
        f"estimate for {len(classes.labels)} classes of Open Images {flags.version.upper()}; nothing large was fetched"
    ]
    lines += [f"  {split}: {estimate.source}" for split, estimate in splits.items()]
    lines += [f"  {'':<12}{'images':>22}{'boxes':>22}"]
    lines += [f"  {split:<12}{estimate.images!s:>22}{estimate.boxes!s:>22}" for split, estimate in splits.items()]
    if any(estimate.images.edge for estimate in splits.values()):
        lines.append("  (±: of 100 such samples, 95 would have the true number within it)")
    return [*lines, *_cost_lines(flags, choice, splits, list(remotes.values()), speed)]


class _Speed:
    """Rate at which samples of CSVs came."""

    def __init__(self) -> None:
        self.num_bytes = 0
        self.seconds = 0.0

    def add(self, num_bytes: int, seconds: float) -> None:
        self.num_bytes += num_bytes
        self.seconds += seconds

    @property
    def bytes_a_second(self) -> float | None:
        return self.num_bytes / self.seconds if self.num_bytes and self.seconds else None


def _sample(
    name: str, remotes: Mapping[str, RemoteFile], metadata: ReleaseMetadata, megabytes: float, speed: _Speed
) -> tuple[BoxesSample | Path, str]:
    """Returns a boxes CSV that is at hand, or the beginning of one that is not; and what that is, in words."""
    path = metadata.find(name)
    if path is not None:
        return path, f"exact: all of {path}, which is at hand"
    remote = remotes[name]
    started = time.monotonic()
    start = fetch_start(metadata.session, remote, max(1, int(megabytes * _BYTES_A_MEGABYTE)))
    speed.add(len(start), time.monotonic() - started)
    try:
        sample = sample_of(start, remote.num_bytes)
    except ValueError as error:
        raise UserError(
            f"{remote.url}: {error} in its first {size_in_words(len(start))}; raise --estimate_megabytes"
        ) from error
    if sample.share >= 1.0:
        return sample, f"exact: all {size_in_words(len(start))} of {Path(name).name}"
    order = "the order of their ids, which are random" if sample.is_sorted else "an order that nothing is known of"
    whole = "" if remote.num_bytes is None else f" of {size_in_words(remote.num_bytes)}"
    num_images = f"{len(sample.bytes_of_image):,} images in {order}"
    return sample, f"from the first {size_in_words(len(start))}{whole} of {Path(name).name}, {num_images}"


def _split_estimate(
    split: str, sample: BoxesSample | Path, source: str, choice: Choice, fraction: float | None
) -> SplitEstimate:
    share = 1.0 if isinstance(sample, Path) else sample.share
    limit = choice.max_images_per_class
    # A draw of a part of a sample would say little; the limit is applied to the numbers, where the sample is a part.
    drawn = choice if share >= 1.0 else replace(choice, max_images_per_class=None)
    started = time.monotonic()
    try:
        counts = _count(split, sample, drawn)
    except UserError as error:
        if share >= 1.0 or isinstance(error, UsageError):
            raise
        raise UserError(f"{split}: no box of the classes {source}; raise --estimate_megabytes") from error
    seconds = (time.monotonic() - started) / share
    boxes_of_image = {image_id: sum(labels.values()) for image_id, labels in counts.items()}
    if isinstance(sample, Path):
        images, boxes = Scaled(len(counts), 0.0), Scaled(sum(boxes_of_image.values()), 0.0)
    else:
        images, boxes = scaled(sample, dict.fromkeys(counts, 1)), scaled(sample, boxes_of_image)
    if limit is not None and share < 1.0:
        of_class = Counter(label for labels in counts.values() for label in labels)
        most = sum(min(limit, number / share) for number in of_class.values())
        if most < images.value:
            source += f"; of {limit} images a class, those of several classes counted for each: it may be fewer"
            boxes = Scaled(boxes.value * most / images.value, boxes.edge * most / images.value)
            images = Scaled(most, images.edge * most / images.value)
    if fraction is not None:
        images, boxes = (Scaled(found.value * fraction, found.edge * fraction) for found in (images, boxes))
    return SplitEstimate(images, boxes, list(counts), source, seconds)


def _count(split: str, sample: BoxesSample | Path, choice: Choice) -> dict[str, Counter[str]]:
    """Returns the boxes that `process_metadata` would keep, by image and label."""
    from data_prep.metadata.open_images_points import process_metadata

    with tempfile.TemporaryDirectory(prefix="boxes-sample-") as temporary:
        folder = Path(temporary)
        boxes = folder / "boxes.csv"
        if isinstance(sample, Path):
            boxes, image_ids = sample, _image_ids(sample)
        else:
            boxes.write_bytes(sample.text)
            image_ids = list(sample.bytes_of_image)
        index = folder / "images.csv"  # the release's need not be fetched for an estimate
        with index.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [("ImageID", "Subset", "OriginalURL"), *((name, split, "") for name in image_ids)]
            )
        with Ledger(None) as ledger:
            process_metadata(
                Sources([str(boxes)], [str(index)]),
                choice,
                point_path=str(folder / "points.json"),
                images_path=str(folder / "images.json"),
                ledger=ledger,
            )
        counts = {}
        with (folder / "points.json").open("rb") as file:
            for line in file:
                if line.startswith(b"{"):
                    point = json.loads(line.rstrip().removesuffix(b","))
                    counts[point["id"]] = Counter(box["label"] for box in point["annotations"])
    return counts


def _image_ids(boxes: Path) -> list[str]:
    """Returns the ids of all images of a boxes CSV; rows that cannot be read are left out here."""
    import polars as pl

    rows = pl.scan_csv(boxes, infer_schema=False, truncate_ragged_lines=True, ignore_errors=True)
    column = next((name for name in rows.collect_schema().names() if name.strip().casefold() == "imageid"), None)
    if column is None:
        raise UsageError(f"{boxes}: no column ImageID; is it a boxes CSV?")
    ids: list[str] = rows.select(column).unique().collect(engine="streaming")[column].drop_nulls().to_list()
    return ids


def _cost_lines(
    flags: argparse.Namespace,
    choice: OpenImagesChoice,
    splits: Mapping[str, SplitEstimate],
    remotes: Sequence[RemoteFile],
    speed: _Speed,
) -> list[str]:
    lines = []
    csv_bytes = sum(remote.num_bytes or 0 for remote in remotes)
    seconds = sum(estimate.seconds_to_read for estimate in splits.values())
    if remotes:
        line = f"  CSVs: {len(remotes)} files, {size_in_words(csv_bytes)} to fetch"
        if speed.bytes_a_second:
            fetching = csv_bytes / speed.bytes_a_second
            seconds += fetching
            line += f"; {_duration(fetching)} at {speed.bytes_a_second / 1e6:,.1f} MB/s, as the sample came"
        lines.append(line)
    num_images = sum(estimate.images.value for estimate in splits.values())
    try:
        trial = _trial(flags, choice, splits)
    except NoImagesError as error:
        return [*lines, f"  images: {error}; so nothing is known of their gigabytes and minutes"]
    fetching = num_images / trial.fetched_a_second
    processes = default_num_processes()
    decoding = PASSES * num_images / (trial.decoded_a_second * processes)
    kept = trial.kept_bytes * num_images
    failed = f", {trial.num_failed} failed" * bool(trial.num_failed)
    lines += [
        f"  images: {size_in_words(trial.fetched_bytes * num_images)} to fetch, {size_in_words(kept)} kept, about as "
        f"much again as records; {size_in_words(trial.fetched_bytes)} each, {size_in_words(trial.kept_bytes)} at "
        f"{choice.max_dimension} pixels, by a trial with {trial.num_images}{failed}",
        f"  fetching them: {_duration(fetching)} at {trial.fetched_a_second:,.0f} a second, as the trial went",
        f"  cleaning them, writing and verifying records: {_duration(decoding)}, as {PASSES} times decoding them, at "
        f"{trial.decoded_a_second:,.0f} a second by each of {processes} processes, as the trial went",
        f"  in all about {_duration(seconds + fetching + decoding)}, and {size_in_words(csv_bytes + 2 * kept)} on disk",
    ]
    return lines


def _trial(flags: argparse.Namespace, choice: OpenImagesChoice, splits: Mapping[str, SplitEstimate]) -> ImageTrial:
    split, estimate = next(iter(splits.items()))
    ids = random.Random(choice.seed).sample(list(estimate.image_ids), min(IMAGES_TRIED, len(estimate.image_ids)))
    return try_images(
        split,
        ids,
        base_url=flags.images_base_url,
        max_dimension=choice.max_dimension,
        num_threads=flags.num_threads,
        allow_private_addresses=flags.allow_private_addresses,
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{round(seconds)} seconds" if seconds >= 1.5 else "1 second"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
