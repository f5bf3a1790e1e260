"""The steps from annotations of one's own to records and a config, as commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.cleaning.validation_log import log_path
from data_prep.formats.tf_example import shard_path
from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.fill_flags import CHECK, FILL
from data_prep.preparing.passed_flags import PassingParser
from data_prep.records.manifest import manifest_path
from data_prep.runtime.step_stamp import Step

IMPORT, VALIDATE, SPLIT, DUPLICATES = "import_annotations", "validate_images", "split_points", "find_duplicates"
RECORDS, VERIFY = "make_tfrecords", "verify_tfrecords"
TRAIN, VALIDATION, TEST = "train", "validation", "test"
_WHOLE = "all"  # one set of annotations, before it is split
_LIMITED = (IMPORT, VALIDATE, SPLIT, DUPLICATES, RECORDS)  # they have --max_failures
_SET_FLAGS = (
    "format",
    "annotations_path",
    "image_directory",
    "image_list_path",
    "splits",
)  # each set of annotations has its own


@dataclass(frozen=True)
class AnnotationSet:
    """Annotations that are imported together.

    Attributes:
        name: `train`, `validation`, or `all` where they are yet to be split.
        annotations_paths: Files or folders.
        image_directories: Where the images are; none where they lie with the annotations.
        image_list_path: Names the images to take; None for all.
        splits: Those to take, of formats that have several in one place; none where that is not said.
    """

    name: str
    annotations_paths: Sequence[Path]
    image_directories: Sequence[Path]
    image_list_path: Path | None
    splits: Sequence[str]


class Preparation:
    """What `prepare_dataset` is to do: sets of annotations, files, and commands."""

    def __init__(self, parser: PassingParser, flags: argparse.Namespace) -> None:
        """Takes the flags of the command.

        Args:
            parser: Which knows what is passed on to which step.
            flags: As it parsed them.
        """
        self._parser, self._flags = parser, flags
        self.folder: Path = flags.output_directory
        self.label_map_path = self.folder / "label_map.pbtxt"
        self.config_path = self.folder / "pipeline.config"
        self.sets = list(_annotation_sets(flags))
        self.is_split = len(self.sets) == 1
        self.splits = [TRAIN, VALIDATION, *([TEST] if self.is_split and flags.test_fraction else [])]

    def steps(self) -> list[CommandStep]:
        """Returns the commands, in their order."""
        flags, steps = self._flags, []
        if flags.recipe is not None:
            words = [str(flags.recipe), *self._passed(CHECK)]
            steps.append(CommandStep("the recipe checked, before it is filled in", CHECK, words))
        for one in self.sets:
            steps += [self._import(one), self._validate(one)]
        if self.is_split:
            steps.append(self._split())
        elif not flags.keep_near_duplicates:
            steps.append(self._drop_duplicates())
        for split in self.splits:
            steps += [self._records(split), self._verify(split)]
        if flags.recipe is not None:
            steps.append(self._fill(flags.recipe))
        return steps

    def manifest_of(self, split: str) -> Path:
        """Returns where the manifest of a split's records is."""
        return manifest_path(self._records_path(split))

    def ledgers(self) -> list[tuple[str, Path]]:
        """Returns the ledgers that the steps write where they reject something, each with the step's name."""
        points = [(IMPORT, self._file(one.name, "points.rejected.jsonl")) for one in self.sets]
        images = [(VALIDATE, self._file(one.name, "clean.json.rejected.jsonl")) for one in self.sets]
        splitting = (SPLIT, self._split_folder / "split.rejected.jsonl")
        copies = (DUPLICATES, self._duplicates_path)
        records = [(RECORDS, self._file(split, "record.rejected.jsonl")) for split in self.splits]
        return [*points, *images, splitting if self.is_split else copies, *records]

    @property
    def _split_folder(self) -> Path:
        return self.folder / "split"

    @property
    def _duplicates_path(self) -> Path:
        return self.folder / "duplicates.jsonl"

    def _file(self, name: str, ending: str) -> Path:
        return self.folder / f"{name}.{ending}"

    def _records_path(self, split: str) -> Path:
        return self._file(split, "record")

    def _images(self, name: str) -> Path:
        return self.folder / "images" / name

    def _states_of_images(self, names: Sequence[str]) -> dict[str, Path]:
        """Returns files that change with the images: points do not, when an image becomes another of the same name."""
        return {f"images of {name}": log_path(self._images(name)) for name in names}

    def _points_of_split(self, split: str) -> Path:
        if self.is_split:
            return self._split_folder / split / "points.json"
        return self._file(split, "clean.json" if self._flags.keep_near_duplicates else "unique.json")

    def _passed(self, step: str) -> list[str]:
        limit = ["--max_failures", str(self._flags.max_failures)] if step in _LIMITED else []
        return [*self._parser.words_for(step, self._flags, without=_SET_FLAGS), *limit]

    def _import(self, one: AnnotationSet) -> CommandStep:
        words = ["--format", self._flags.format, "--annotations_path", *map(str, one.annotations_paths)]
        if one.image_directories:
            words += ["--image_directory", *map(str, one.image_directories)]
        if one.image_list_path is not None:
            words += ["--image_list_path", str(one.image_list_path)]
        if one.splits:
            words += ["--splits", *one.splits]
        words += ["--image_output_directory", str(self.folder / "linked" / one.name)]
        words += ["--point_output_path", str(self._file(one.name, "points.json"))]
        words += ["--label_map_path", str(self.label_map_path)]
        return CommandStep(
            f"{_shown(one.name)}: boxes and classes", f"data_prep.{IMPORT}", words + self._passed(IMPORT)
        )

    def _validate(self, one: AnnotationSet) -> CommandStep:
        words = ["--image_directory", str(self.folder / "linked" / one.name)]
        words += ["--image_saving_directory", str(self._images(one.name))]
        words += ["--datapoints_input_path", str(self._file(one.name, "points.json"))]
        words += ["--datapoints_output_path", str(self._file(one.name, "clean.json"))]
        return CommandStep(f"{_shown(one.name)}: images", f"data_prep.{VALIDATE}", words + self._passed(VALIDATE))

    def _split(self) -> CommandStep:
        flags, points = self._flags, self._file(_WHOLE, "clean.json")
        train_fraction = round(1.0 - flags.validation_fraction - flags.test_fraction, 9)
        words = ["--datapoints_input_path", str(points), "--output_directory", str(self._split_folder)]
        words += ["--train_fraction", f"{train_fraction:.9g}"]
        words += ["--validation_fraction", f"{flags.validation_fraction:.9g}"]
        words += ["--test_fraction", f"{flags.test_fraction:.9g}"] * bool(flags.test_fraction)
        if not flags.keep_near_duplicates:
            words += ["--near_duplicates", "--image_directory", str(self._images(_WHOLE))]
        words += self._passed(SPLIT)
        outputs = [self._points_of_split(split) for split in self.splits]
        read = {"points": points, **self._states_of_images([_WHOLE])}
        stamp = Step("prepare_dataset: split_points, rules 1", {"words": words}, read, outputs)
        return CommandStep(f"{' and '.join(self.splits)} parted", f"data_prep.{SPLIT}", words, stamp)

    def _drop_duplicates(self) -> CommandStep:
        inputs = [self._file(split, "clean.json") for split in self.splits]
        outputs = [self._points_of_split(split) for split in self.splits]
        words = ["--datapoints_input_path", *map(str, inputs)]
        words += ["--image_directory", *(str(self._images(split)) for split in self.splits)]
        words += ["--datapoints_output_path", *map(str, outputs), "--ledger_path", str(self._duplicates_path)]
        # Ids are made of file names: 0001.jpg of the one set is not that of the other.
        words += ["--likeness_only", *self._passed(DUPLICATES)]
        read = {**dict(zip(self.splits, inputs, strict=True)), **self._states_of_images(self.splits)}
        stamp = Step("prepare_dataset: find_duplicates, rules 1", {"words": words}, read, outputs)
        return CommandStep("images in both sets", f"data_prep.{DUPLICATES}", words, stamp)

    def _records(self, split: str) -> CommandStep:
        images = self._images(_WHOLE if self.is_split else split)
        words = ["--datapoints_input_path", str(self._points_of_split(split)), "--image_directory", str(images)]
        words += ["--label_map_path", str(self.label_map_path)]
        words += ["--record_output_path", str(self._records_path(split))]
        return CommandStep(f"{split}: records", f"data_prep.{RECORDS}", words + self._passed(RECORDS))

    def _verify(self, split: str) -> CommandStep:
        path, count = self._records_path(split), self._flags.num_shards
        words = ["--input_path", f"{path}-?????-of-{count:05d}", "--label_map_path", str(self.label_map_path)]
        words += self._passed(VERIFY)
        shards = {f"shard {number}": shard_path(path, number, count) for number in range(count)}
        stamp = Step(
            "prepare_dataset: verify_tfrecords, rules 1",
            {"words": words},
            {"label_map": self.label_map_path, **shards},
            [self.manifest_of(split)],
        )
        return CommandStep(f"{split}: records verified", f"data_prep.{VERIFY}", words, stamp)

    def _fill(self, recipe: Path) -> CommandStep:
        words = ["--recipe", str(recipe), "--label_map_path", str(self.label_map_path)]
        words += ["--train_manifest_path", str(self.manifest_of(TRAIN))]
        words += ["--validation_manifest_path", str(self.manifest_of(VALIDATION))]
        words += ["--output_path", str(self.config_path), *self._passed(FILL)]
        return CommandStep("the pipeline config", FILL, words)


def has_validation_set(flags: argparse.Namespace) -> bool:
    """Tells whether the flags name a validation set, so that nothing has to be split."""
    return bool(flags.validation_annotations_path or flags.validation_image_list_path or flags.validation_splits)


def _annotation_sets(flags: argparse.Namespace) -> Iterator[AnnotationSet]:
    images, name = flags.image_directory or [], TRAIN if has_validation_set(flags) else _WHOLE
    yield AnnotationSet(name, flags.annotations_path, images, flags.image_list_path, flags.splits or [])
    if name == TRAIN:
        yield AnnotationSet(
            VALIDATION,
            flags.validation_annotations_path or flags.annotations_path,
            flags.validation_image_directory or images,
            flags.validation_image_list_path,
            flags.validation_splits or ([] if flags.validation_annotations_path else flags.splits or []),
        )


def _shown(name: str) -> str:
    return "all annotations" if name == _WHOLE else name
