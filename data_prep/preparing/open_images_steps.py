"""The steps from a release's files to records and a config: which commands, with which flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.prepared_folder import TRAIN, VALIDATION, PreparedFolder, PreparedSplit
from data_prep.runtime.step_stamp import Step

POINTS, SUBSET, LABEL_MAP = "data_prep.process_metadata", "data_prep.choose_subset", "data_prep.make_label_map"
DOWNLOAD, VALIDATE = "data_prep.download_images", "data_prep.validate_images"
RECORDS, BEAM = "data_prep.make_tfrecords", "data_prep.beam_pipeline"
LEAST_SHARDS = 10  # so that training can read several at a time, and two processes write them
IMAGES_A_SHARD = 1000  # some 100 to 200 MB
_LIMIT = "1%"


@dataclass(frozen=True)
class OpenImagesChoice:
    """The flags that steps share.

    Attributes:
        classes: `--classes` or `--trainable_classes_path`, and `--with_descendants`, as words.
        class_descriptions: Class names by MID.
        passed: Words that go to one step as they are, by the step.
        is_group_of: For all splits; None excludes groups from training, where each would be learnt as one thing.
        group_of_boxes: For all splits; None flags groups as crowds but in training, for metrics to leave them out.
        fraction: The share of the images; None for all.
        seed: Of every draw.
        images_base_url: Where SPLIT/ID.jpg are.
        max_dimension: The longest side kept, in pixels.
        num_shards: None for one for `IMAGES_A_SHARD` images, and at least `LEAST_SHARDS`.
        max_failures: What may be rejected; None for 1% of images, and of boxes for what `process_metadata` allows.
        beam_runner: Where Beam fetches and cleans images and writes records; None for this machine without Beam.
        beam_options: Beam's own, besides.
    """

    classes: Sequence[str]
    class_descriptions: Path
    passed: Mapping[str, Sequence[str]]
    is_group_of: str | None = None
    group_of_boxes: str | None = None
    fraction: float | None = None
    seed: int = 0
    images_base_url: str = ""
    max_dimension: int = 1024
    num_shards: int | None = None
    max_failures: str | None = None
    beam_runner: str | None = None
    beam_options: Sequence[str] = ()

    def num_steps(self, splits: Sequence[str]) -> int:
        """Returns how many steps there are."""
        of_split = 1 + (self.fraction is not None) + (4 if self.beam_runner is None else 2)
        return 1 + len(splits) * of_split + 2 * fills_config(splits)


def fills_config(splits: Sequence[str]) -> bool:
    """Tells whether there is what a config wants: records to train on, and others to evaluate on."""
    return TRAIN in splits and VALIDATION in splits


def points_steps(
    choice: OpenImagesChoice, split: PreparedSplit, boxes: Path, image_index: Path, image_labels: Path | None
) -> list[CommandStep]:
    """Returns the steps from a split's CSVs to its points."""
    is_part = choice.fraction is not None
    is_group_of = choice.is_group_of or ("exclude" if split.name == TRAIN else None)
    whole = CommandStep(
        f"points of {split.name}",
        POINTS,
        [
            *flag_words(annotations_input_path=boxes, image_index_input_path=image_index),
            *flag_words(image_labels_input_path=image_labels),
            *choice.classes,
            *flag_words(
                class_description_path=choice.class_descriptions,
                is_group_of=is_group_of,
                seed=choice.seed,
                max_failures=choice.max_failures,
                point_output_path=split.all_points if is_part else split.points,
                image_index_output_path=split.all_images if is_part else split.images,
            ),
            *choice.passed[POINTS],
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
        SUBSET,
        words,
        Step(
            SUBSET,
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
    return CommandStep("label map", LABEL_MAP, [*choice.classes, *words])


def record_steps(choice: OpenImagesChoice, folder: PreparedFolder, split: PreparedSplit) -> list[CommandStep]:
    """Returns the steps from a split's points, which are there, to its records."""
    sized = flag_words(max_dimension=choice.max_dimension)
    limits = flag_words(max_failures=choice.max_failures or _LIMIT)
    sources = flag_words(base_url=choice.images_base_url)
    records = flag_words(
        label_map_path=folder.label_map,
        record_output_path=split.record,
        num_shards=choice.num_shards or max(LEAST_SHARDS, -(-_num_images(split.images) // IMAGES_A_SHARD)),
        group_of_boxes=choice.group_of_boxes or (None if split.name == TRAIN else "crowd"),
    )
    if choice.beam_runner is not None:
        words = flag_words(
            datapoints_input_path=split.points, images_path=split.images, image_saving_directory=split.image_directory
        )
        words += [*sized, *sources, *records, *choice.passed[BEAM], *limits]
        options = ["--", f"--runner={choice.beam_runner}", *choice.beam_options]
        title = f"images and records of {split.name}, on Beam's {choice.beam_runner}"
        return [CommandStep(title, BEAM, [*words, *options])]
    download = flag_words(images_path=split.images, images_output_directory=split.image_directory)
    validate = flag_words(
        image_directory=split.image_directory,
        datapoints_input_path=split.points,
        datapoints_output_path=split.clean_points,
    )
    write = flag_words(datapoints_input_path=split.clean_points, image_directory=split.image_directory)
    return [
        CommandStep(
            f"images of {split.name}", DOWNLOAD, [*download, *sized, *sources, *choice.passed[DOWNLOAD], *limits]
        ),
        CommandStep(f"clean images of {split.name}", VALIDATE, [*validate, *sized, *choice.passed[VALIDATE], *limits]),
        CommandStep(f"records of {split.name}", RECORDS, [*write, *records, *choice.passed[RECORDS], *limits]),
    ]


def _num_images(images: Path) -> int:
    """Returns how many images a list has: one a line, between brackets."""
    with images.open("rb") as file:
        return sum(line.lstrip().startswith(b"{") for line in file)
