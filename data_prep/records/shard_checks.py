"""Checks of whole record files, and their summary: behind `verify_tfrecords`, and what `inspect_data` says of them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from data_prep.formats.label_map import LabelMap
from data_prep.records.record_checks import RecordChecker
from data_prep.records.record_files import CorruptRecordError, read_record_file
from data_prep.records.record_report import RecordReport
from data_prep.records.record_rules import SEVERITIES, Severity, most_are_unusable

CORRUPT_FILE: Final = "corrupt record file"
MOSTLY_UNUSABLE: Final = "most boxes cannot be trained on"

_NO_IDS: npt.NDArray[np.uint64] = np.empty(0, np.uint64)


@dataclass(frozen=True)
class ShardCheck:
    """A file to check.

    Attributes:
        shard: The file.
        label_map: The classes that it may have.
        max_problems_shown: How many examples of each kind of problem are kept.
        decode_fraction: The share of its images that is decoded whole.
        is_strict: Whether boxes that training leaves out are errors, as with `extensions.strict_records`.
    """

    shard: str
    label_map: LabelMap
    max_problems_shown: int
    decode_fraction: float
    is_strict: bool = False


@dataclass
class ShardSummary:
    """Contents and problems of records, counted.

    Attributes:
        shard: The file; empty for the sum of several.
        num_records: Records read.
        num_bad_records: Of these, those with a problem that stops training, and files that broke off.
        num_boxes: In all.
        num_unusable: Of these, those that training leaves out for their place or weight.
        num_without_boxes: Records that have none.
        breaks_off: Whether the file could not be read to its end.
        boxes_by_class: By label map id.
        images_by_class: Records that have a box of the class, by label map id.
        verified_by_class: Records in which a person looked for the class, by label map id.
        problems: How often each kind that stops training was found.
        warnings: How often each kind that does not was found.
        examples: The first of each kind, in words.
        source_ids: uint64 [N], a hash of each record's id.
    """

    shard: str = ""
    num_records: int = 0
    num_bad_records: int = 0
    num_boxes: int = 0
    num_unusable: int = 0
    num_without_boxes: int = 0
    breaks_off: bool = False
    boxes_by_class: Counter[int] = field(default_factory=Counter)
    images_by_class: Counter[int] = field(default_factory=Counter)
    verified_by_class: Counter[int] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    source_ids: npt.NDArray[np.uint64] = field(default_factory=lambda: _NO_IDS)

    def note(self, kind: str, example: str) -> None:
        """Notes a problem, with an example that is shown whatever the others are."""
        self.problems[kind] += 1
        self.examples[kind].append(example)

    def note_some(self, kind: str, example: str, max_shown: int) -> None:
        """Notes a problem, with an example unless there are `max_shown` of its kind."""
        self.problems[kind] += 1
        self._show(kind, example, max_shown)

    def _show(self, kind: str, example: str, max_shown: int) -> None:
        if len(self.examples[kind]) < max_shown:
            self.examples[kind].append(example)

    def add_record(self, report: RecordReport, where: str, max_problems_shown: int, *, is_strict: bool = False) -> None:
        """Adds what the checks found in the next record.

        Args:
            report: Of the record.
            where: Its file and number.
            max_problems_shown: How many examples of each kind of problem are kept.
            is_strict: Whether boxes that training leaves out are errors.
        """
        where += f", image {report.source_id}" * bool(report.source_id)
        errors = {Severity.ERROR, Severity.UNUSABLE} if is_strict else {Severity.ERROR}
        is_bad = False
        for kind, detail in report.problems:
            is_error = SEVERITIES[kind] in errors
            is_bad |= is_error
            (self.problems if is_error else self.warnings)[kind] += 1
            self._show(kind, f"{where}: {detail}", max_problems_shown)
        self.num_records += 1
        self.num_bad_records += is_bad
        self.num_boxes += report.num_boxes
        self.num_unusable += report.num_unusable
        self.num_without_boxes += report.num_boxes == 0
        self.boxes_by_class.update(report.class_ids)
        self.images_by_class.update(report.class_ids.keys())
        self.verified_by_class.update(report.verified_class_ids)


def check_shard(check: ShardCheck, checker: RecordChecker) -> Generator[None, None, ShardSummary]:
    """Checks one file, as far as it can be read; yields once a record and returns what was found."""
    summary = ShardSummary(shard=check.shard)
    source_ids: list[int] = []
    try:
        for serialized in read_record_file(check.shard):
            report = checker(serialized, decode_fraction=check.decode_fraction)
            where = f"{check.shard}, record {summary.num_records}"
            summary.add_record(report, where, check.max_problems_shown, is_strict=check.is_strict)
            # Where nothing names the image, its number does.
            digest = hashlib.blake2b((report.source_id or where).encode(), digest_size=8).digest()
            source_ids.append(int.from_bytes(digest, "little"))
            yield
    except (CorruptRecordError, OSError) as error:
        where = f"{check.shard}, record {summary.num_records}"
        summary.note_some(CORRUPT_FILE, f"{where}: {error}", check.max_problems_shown)
        summary.num_bad_records += 1
        summary.breaks_off = True
    summary.source_ids = np.array(source_ids, np.uint64)
    return summary


def sum_of(summaries: Sequence[ShardSummary], max_problems_shown: int) -> ShardSummary:
    """Returns what all files hold together."""
    total = ShardSummary()
    for summary in summaries:
        total.num_records += summary.num_records
        total.num_bad_records += summary.num_bad_records
        total.num_boxes += summary.num_boxes
        total.num_unusable += summary.num_unusable
        total.num_without_boxes += summary.num_without_boxes
        total.breaks_off |= summary.breaks_off
        total.boxes_by_class.update(summary.boxes_by_class)
        total.images_by_class.update(summary.images_by_class)
        total.verified_by_class.update(summary.verified_by_class)
        total.problems.update(summary.problems)
        total.warnings.update(summary.warnings)
        for kind, examples in summary.examples.items():
            total.examples[kind].extend(examples[: max_problems_shown - len(total.examples[kind])])
    total.source_ids = np.concatenate([summary.source_ids for summary in summaries])
    judge_usable(total)
    return total


def judge_usable(summary: ShardSummary) -> str:
    """Notes it as a problem of all the records if most of their boxes cannot be used, at which training stops.

    Returns:
        What was noted; empty where nothing was.
    """
    if not most_are_unusable(summary.num_unusable, summary.num_boxes):
        return ""
    counts = f"{summary.num_unusable} of {summary.num_boxes} boxes"
    sentence = f"{counts}; coordinates are relative to the image, from 0 to 1"
    summary.note(MOSTLY_UNUSABLE, sentence)
    return sentence


def num_repeated(summary: ShardSummary) -> int:
    """Returns how many records have the source id of an earlier one."""
    return len(summary.source_ids) - len(np.unique(summary.source_ids))
