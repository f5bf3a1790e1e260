"""The steps from annotations of one's own to records and a config, as commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.cleaning.validation_log import log_path
from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.fill_flags import CHECK, FILL
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.last_steps import VERIFY, check_step, fill_step, verify_step
from data_prep.preparing.passed_flags import PassingParser
from data_prep.preparing.prepared_folder import TEST, TRAIN, VALIDATION, PreparedFolder
from data_prep.preparing.recipe_resolution import max_dimension_for
from data_prep.runtime.step_stamp import Step

IMPORT, VALIDATE, SPLIT, DUPLICATES = "import_annotations", "validate_images", "split_points", "find_duplicates"
RECORDS = "make_tfrecords"
_WHOLE = "all"  # one set of annotations, before it is split
_LIMITED = (IMPORT, VALIDATE, SPLIT, DUPLICATES, RECORDS)  # they have --max_failures
# Each set of annotations has its own.
_SET_FLAGS = ("format", "annotations_path", "image_directory", "image_list_path", "splits")


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
        self.folder = PreparedFolder(flags.output_directory)
        self.sets = list(_annotation_sets(flags))
        self.is_split = len(self.sets) == 1
        self.splits = [TRAIN, VALIDATION, *([TEST] if self.is_split and flags.test_fraction else [])]

    def steps(self) -> list[CommandStep]:
        """Returns the commands, in their order."""
        steps = [check_step(self._flags.recipe, self._passed(CHECK))]
        for one in self.sets:
            steps += [self._import(one), self._validate(one)]
        if self.is_split:
            steps.append(self._split())
        elif not self._flags.keep_near_duplicates:
            steps.append(self._drop_duplicates())
        for split in self.splits:
            steps += [self._records(split), self._verify(split)]
        return [*steps, fill_step(self.folder, self._flags.recipe, self._passed(FILL))]

    def ledgers(self) -> list[tuple[str, Path]]:
        """Returns the ledgers that the steps write where they reject something, each with the step's name."""
        sets, splits = ([self.folder.split(one) for one in names] for names in (self._set_names, self.splits))
        points = [(IMPORT, one.points.with_name(one.points.stem + ".rejected.jsonl")) for one in sets]
        images = [(VALIDATE, _with_ending(one.clean_points, ".rejected.jsonl")) for one in sets]
        splitting = (SPLIT, self._split_folder / "split.rejected.jsonl")
        copies = (DUPLICATES, self._duplicates_path)
        records = [(RECORDS, _with_ending(one.record, ".rejected.jsonl")) for one in splits]
        return [*points, *images, splitting if self.is_split else copies, *records]

    @property
    def _set_names(self) -> list[str]:
        return [one.name for one in self.sets]

    @property
    def _split_folder(self) -> Path:
        return self.folder.path / "split"

    @property
    def _duplicates_path(self) -> Path:
        return self.folder.path / "duplicates.jsonl"

    def _linked(self, name: str) -> Path:
        return self.folder.path / "linked" / name

    def _states_of_images(self, names: Sequence[str]) -> dict[str, Path]:
        """Returns files that change with the images: points do not, when an image becomes another of the same name."""
        return {f"images of {name}": log_path(self.folder.split(name).image_directory) for name in names}

    def _points_of_split(self, split: str) -> Path:
        if self.is_split:
            return self._split_folder / split / "points.json"
        if self._flags.keep_near_duplicates:
            return self.folder.split(split).clean_points
        return self.folder.path / f"{split}.unique.json"

    def _passed(self, step: str) -> list[str]:
        limit = ["--max_failures", str(self._flags.max_failures)] if step in _LIMITED else []
        return [*self._parser.words_for(step, self._flags, without=_SET_FLAGS), *limit]

    def _import(self, one: AnnotationSet) -> CommandStep:
        words = flag_words(
            format=self._flags.format,
            annotations_path=one.annotations_paths,
            image_directory=one.image_directories or None,
            image_list_path=one.image_list_path,
            splits=one.splits or None,
            image_output_directory=self._linked(one.name),
            point_output_path=self.folder.split(one.name).points,
            label_map_path=self.folder.label_map,
        )
        return CommandStep(
            f"{_shown(one.name)}: boxes and classes", f"data_prep.{IMPORT}", words + self._passed(IMPORT)
        )

    def _validate(self, one: AnnotationSet) -> CommandStep:
        files = self.folder.split(one.name)
        words = flag_words(
            image_directory=self._linked(one.name),
            image_saving_directory=files.image_directory,
            datapoints_input_path=files.points,
            datapoints_output_path=files.clean_points,
            max_dimension=self._flags.max_dimension or max_dimension_for(self._flags.recipe),
        )
        return CommandStep(f"{_shown(one.name)}: images", f"data_prep.{VALIDATE}", words + self._passed(VALIDATE))

    def _split(self) -> CommandStep:
        flags, files = self._flags, self.folder.split(_WHOLE)
        shares = {"validation_fraction": flags.validation_fraction, "test_fraction": flags.test_fraction or None}
        words = flag_words(
            datapoints_input_path=files.clean_points,
            output_directory=self._split_folder,
            train_fraction=round(1.0 - flags.validation_fraction - flags.test_fraction, 9),
            **shares,
            near_duplicates=not flags.keep_near_duplicates,
            image_directory=None if flags.keep_near_duplicates else files.image_directory,
        )
        words += self._passed(SPLIT)
        read = {"points": files.clean_points, **self._states_of_images([_WHOLE])}
        outputs = [self._points_of_split(split) for split in self.splits]
        stamp = Step("prepare_dataset: split_points, rules 1", {"words": words}, read, outputs)
        return CommandStep(f"{' and '.join(self.splits)} parted", f"data_prep.{SPLIT}", words, stamp)

    def _drop_duplicates(self) -> CommandStep:
        files = [self.folder.split(split) for split in self.splits]
        outputs = [self._points_of_split(split) for split in self.splits]
        words = flag_words(
            datapoints_input_path=[one.clean_points for one in files],
            image_directory=[one.image_directory for one in files],
            datapoints_output_path=outputs,
            ledger_path=self._duplicates_path,
            likeness_only=True,  # ids are made of file names: 0001.jpg of the one set is not that of the other
        )
        words += self._passed(DUPLICATES)
        read = {**{one.name: one.clean_points for one in files}, **self._states_of_images(self.splits)}
        stamp = Step("prepare_dataset: find_duplicates, rules 1", {"words": words}, read, outputs)
        return CommandStep("images in both sets", f"data_prep.{DUPLICATES}", words, stamp)

    def _records(self, split: str) -> CommandStep:
        words = flag_words(
            datapoints_input_path=self._points_of_split(split),
            image_directory=self.folder.split(_WHOLE if self.is_split else split).image_directory,
            label_map_path=self.folder.label_map,
            record_output_path=self.folder.split(split).record,
        )
        return CommandStep(f"{split}: records", f"data_prep.{RECORDS}", words + self._passed(RECORDS))

    def _verify(self, split: str) -> CommandStep:
        return verify_step(
            f"{split}: records verified", self.folder, split, self._flags.num_shards, self._passed(VERIFY)
        )


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


def _with_ending(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _shown(name: str) -> str:
    return "all annotations" if name == _WHOLE else name
