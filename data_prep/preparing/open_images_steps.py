"""The steps from a release's files to records and a config: which commands, with which flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.prepared_folder import PreparedFolder, PreparedSplit
from data_prep.records.manifest import Manifest
from data_prep.runtime.step_stamp import Step

TRAIN = "train"
LEAST_SHARDS = 10  # so that training can read several at a time, and two processes write them
IMAGES_A_SHARD = 1000  # some 100 to 200 MB


@dataclass(frozen=True)
class OpenImagesChoice:
    """The flags that steps share.

    Attributes:
        classes: `--classes` or `--trainable_classes_path`, and `--with_descendants`, as flags.
        class_descriptions: Class names by MID.
        filters: Flags of the boxes to keep; without `is_group_of`.
        is_group_of: For all splits; None excludes groups from training, where each would be learnt as one thing, and
            flags them as crowds elsewhere, where metrics leave them out.
        max_images_per_class: None for all.
        fraction: The share of the images; None for all.
        seed: Of every draw.
        max_dimension: The longest side kept, in pixels.
        num_shards: None for one a thousand images, and at least ten.
        max_failures: What may be rejected of images; None for each step's own.
        download: Flags of the download: base URL, threads and addresses.
        beam_runner: Where Beam fetches and cleans images and writes records; None for this machine without Beam.
        beam_options: Beam's own, besides.
    """

    classes: Sequence[str]
    class_descriptions: Path
    filters: dict[str, Any] = field(default_factory=dict)
    is_group_of: str | None = None
    max_images_per_class: int | None = None
    fraction: float | None = None
    seed: int = 0
    max_dimension: int = 1024
    num_shards: int | None = None
    max_failures: str | None = None
    download: dict[str, Any] = field(default_factory=dict)
    beam_runner: str | None = None
    beam_options: Sequence[str] = ()

    def num_steps(self, num_splits: int) -> int:
        """Returns how many steps there are, the config's aside."""
        of_split = 1 + (self.fraction is not None) + (4 if self.beam_runner is None else 2)
        return 1 + num_splits * of_split


def points_steps(
    choice: OpenImagesChoice, split: PreparedSplit, boxes: Path, image_index: Path, image_labels: Path | None
) -> list[CommandStep]:
    """Returns the steps from a split's CSVs to its points."""
    is_part = choice.fraction is not None
    is_group_of = choice.is_group_of or ("exclude" if split.name == TRAIN else None)
    whole = CommandStep(
        f"points of {split.name}",
        "data_prep.process_metadata",
        [
            *flag_words(annotations_input_path=boxes, image_index_input_path=image_index),
            *flag_words(image_labels_input_path=image_labels),
            *choice.classes,
            *flag_words(
                class_description_path=choice.class_descriptions,
                is_group_of=is_group_of,
                **choice.filters,
                max_images_per_class=choice.max_images_per_class,
                seed=choice.seed,
                max_failures=choice.max_failures,
                point_output_path=split.all_points if is_part else split.points,
                image_index_output_path=split.all_images if is_part else split.images,
            ),
        ],
    )
    return [whole, _subset_step(choice, split)] if is_part else [whole]


def _subset_step(choice: OpenImagesChoice, split: PreparedSplit) -> CommandStep:
    words = flag_words(
        fraction=choice.fraction,
        seed=choice.seed,
        keep_every_class=True,
        datapoints_input_path=split.all_points,
        datapoints_output_path=split.points,
        images_path=split.all_images,
        images_output_path=split.images,
        class_description_path=choice.class_descriptions,
    )
    return CommandStep(
        f"a part of {split.name}",
        "data_prep.choose_subset",
        words,
        Step(
            "data_prep.choose_subset",
            {"words": words},
            {"points": split.all_points, "images": split.all_images},
            (split.points, split.images),
        ),
    )


def label_map_step(choice: OpenImagesChoice, folder: PreparedFolder, earlier: Path | None) -> CommandStep:
    """Returns the step that names the classes."""
    words = flag_words(
        class_description_path=choice.class_descriptions,
        earlier_label_map_path=earlier,
        label_map_path=folder.label_map,
    )
    return CommandStep("label map", "data_prep.make_label_map", [*choice.classes, *words])


def record_steps(choice: OpenImagesChoice, folder: PreparedFolder, split: PreparedSplit) -> list[CommandStep]:
    """Returns the steps from a split's points, which are there, to its records."""
    num_shards = choice.num_shards or max(LEAST_SHARDS, -(-_num_images(split.images) // IMAGES_A_SHARD))
    limits = flag_words(max_failures=choice.max_failures or "1%")
    records = flag_words(
        label_map_path=folder.label_map,
        record_output_path=split.record,
        num_shards=num_shards,
        shuffle_seed=choice.seed,
        group_of_boxes="crowd" if choice.is_group_of is None and split.name != TRAIN else None,
    )
    if choice.beam_runner is not None:
        words = flag_words(
            datapoints_input_path=split.points,
            images_path=split.images,
            image_saving_directory=split.image_directory,
            max_dimension=choice.max_dimension,
            **choice.download,
        )
        return [
            CommandStep(
                f"images and records of {split.name}, on Beam's {choice.beam_runner}",
                "data_prep.beam_pipeline",
                [*words, *records, *limits, "--", f"--runner={choice.beam_runner}", *choice.beam_options],
            )
        ]
    return [
        CommandStep(
            f"images of {split.name}",
            "data_prep.download_images",
            [
                *flag_words(
                    images_path=split.images,
                    images_output_directory=split.image_directory,
                    max_dimension=choice.max_dimension,
                    **choice.download,
                ),
                *limits,
            ],
        ),
        CommandStep(
            f"clean images of {split.name}",
            "data_prep.validate_images",
            [
                *flag_words(
                    image_directory=split.image_directory,
                    datapoints_input_path=split.points,
                    datapoints_output_path=split.clean_points,
                    max_dimension=choice.max_dimension,
                ),
                *limits,
            ],
        ),
        CommandStep(
            f"records of {split.name}",
            "data_prep.make_tfrecords",
            [
                *flag_words(datapoints_input_path=split.clean_points, image_directory=split.image_directory),
                *records,
                *limits,
            ],
        ),
    ]


def verify_step(folder: PreparedFolder, split: PreparedSplit, manifest: Manifest) -> CommandStep:
    """Returns the step that reads the records through, which are there; done once for the same files."""
    words = flag_words(input_path=f"{split.record}@{len(manifest.shards)}", label_map_path=folder.label_map)
    inputs = {entry.name: split.record.with_name(entry.name) for entry in manifest.shards}
    return CommandStep(
        f"verification of {split.name}",
        "data_prep.verify_tfrecords",
        words,
        Step(
            "data_prep.verify_tfrecords",
            {"words": words},
            {**inputs, "label_map": folder.label_map, "manifest": split.manifest},
            (split.manifest,),
        ),
    )


def fill_step(recipe: Path, folder: PreparedFolder, num_epochs: float | None) -> CommandStep:
    """Returns the step that fills a recipe in."""
    return CommandStep(
        "pipeline config",
        "configs.fill",
        flag_words(
            recipe=recipe,
            label_map_path=folder.label_map,
            train_manifest_path=folder.split(TRAIN).manifest,
            validation_manifest_path=folder.split("validation").manifest,
            output_path=folder.pipeline_config,
            num_epochs=num_epochs,
        ),
    )


def _num_images(images: Path) -> int:
    """Returns how many images a list has: one a line, between brackets."""
    with images.open("rb") as file:
        return sum(line.lstrip().startswith(b"{") for line in file)
