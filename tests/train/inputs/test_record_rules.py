"""What the checks say of a record and what the reader does with it: one table, and records made at random."""

from __future__ import annotations

import io
import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from data_prep.formats import tf_example  # noqa: E402
from data_prep.formats.label_map import LabelMap, LabelMapItem  # noqa: E402
from data_prep.records import record_rules as rules  # noqa: E402
from data_prep.records.record_checks import RecordChecker  # noqa: E402
from data_prep.records.record_report import RecordReport  # noqa: E402
from data_prep.records.record_rules import SEVERITIES, Severity  # noqa: E402
from train.inputs.class_labels import VerifiedLabelReader  # noqa: E402
from train.inputs.decode import RecordDecoder  # noqa: E402
from train.inputs.ground_truth import CLASSES  # noqa: E402

LABEL_MAP = LabelMap([LabelMapItem(1, "/m/1", "Bed"), LabelMapItem(2, "/m/2"), LabelMapItem(4, "/m/4", "Table")])
NUM_CLASSES = 4
STOPS, STRICT_STOPS, TRAINS = Severity.ERROR, Severity.UNUSABLE, Severity.WARNING
SOUND = None


def encoded(image_format: str = "JPEG", mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.new(mode, (24, 16)).save(content, image_format)
    return content.getvalue()


JPEG = encoded()
GOOD: dict[str, Any] = {
    tf_example.IMAGE_ENCODED: [JPEG],
    tf_example.IMAGE_FORMAT: [b"jpeg"],
    tf_example.IMAGE_FILENAME: [b"x.jpg"],
    tf_example.IMAGE_SOURCE_ID: [b"x"],
    tf_example.IMAGE_HEIGHT: [16],
    tf_example.IMAGE_WIDTH: [24],
    tf_example.BOX_YMIN: [0.0, 0.25],
    tf_example.BOX_XMIN: [0.0, 0.25],
    tf_example.BOX_YMAX: [1.0, 0.75],
    tf_example.BOX_XMAX: [1.0, 0.75],
    tf_example.CLASS_TEXT: [b"/m/1", b"Table"],
    tf_example.CLASS_LABEL: [1, 4],
}
NO_OBJECTS = dict.fromkeys(key for key in GOOD if key.startswith("image/object"))


def record(changes: dict[str, list[Any] | None]) -> bytes:
    """Makes a good record with other values; None leaves a key out, and ("float_list", ...) is of that kind."""
    example = tf.train.Example()
    for key, given in (GOOD | changes).items():
        if given is None:
            continue
        kind, values = f"{tf_example.FEATURES[key].kind}_list", given
        if isinstance(given, tuple):
            kind, *values = given
        getattr(example.features.feature[key], kind).value.extend(values)
        getattr(example.features.feature[key], kind).SetInParent()
    return bytes(example.SerializeToString())


def of_box(*ymin_xmin_ymax_xmax: float) -> dict[str, list[Any] | None]:
    return {key: [0.0 if index < 2 else 1.0, value] for index, (key, value) in enumerate(
        zip(rules.BOX_KEYS, ymin_xmin_ymax_xmax, strict=True))}  # fmt: skip


NONE: list[Any] = []
# What it is: the record, what both make of it, and how many of its boxes are trained on.
TABLE: dict[str, tuple[bytes, Severity | None, int]] = {
    "good": (record({}), SOUND, 2),
    "display name and empty text": (record({"image/object/class/text": [b"Bed", b""]}), SOUND, 2),
    "no objects": (record(NO_OBJECTS), SOUND, 0),
    "empty lists": (record(dict.fromkeys(NO_OBJECTS, NONE)), SOUND, 0),
    "png": (record({"image/encoded": [encoded("PNG")], "image/format": [b"png"]}), SOUND, 2),
    "unknown keys": (record({}) + b"\x0a\x00", SOUND, 2),
    # As other tools export them.
    "no source_id": (record({"image/source_id": None}), TRAINS, 2),
    "no name at all": (record({"image/source_id": None, "image/filename": None}), TRAINS, 2),
    "no size": (record({"image/height": None, "image/width": None}), TRAINS, 2),
    "no filename, no format": (record({"image/filename": None, "image/format": None}), SOUND, 2),
    "texts without ids": (record({"image/object/class/label": None}), TRAINS, 2),
    "ids without texts": (record({"image/object/class/text": None}), SOUND, 2),
    "id 0 beside a known text": (record({"image/object/class/label": [0, 4]}), TRAINS, 2),
    "another id beside a text": (record({"image/object/class/label": [2, 4]}), TRAINS, 2),
    "a text that the map lacks": (record({"image/object/class/text": [b"/m/1", b"Sofa"]}), TRAINS, 1),
    "such a text without ids": (
        record({"image/object/class/text": [b"Sofa", b"Sofa"], "image/object/class/label": None}),
        TRAINS,
        0,
    ),
    "wrong height": (record({"image/height": [99]}), TRAINS, 2),
    "two heights": (record({"image/height": [16, 16]}), TRAINS, 2),
    "height as text": (record({"image/height": ("bytes_list", b"16")}), TRAINS, 2),
    "wrong format": (record({"image/format": [b"png"]}), TRAINS, 2),
    "wrong checksum": (record({"image/key/sha256": [b"0" * 64]}), TRAINS, 2),
    "odd list that is not read": (record({"image/object/occluded": [1]}), TRAINS, 2),
    "area not finite": (record({"image/object/area": [1.0, math.nan]}), TRAINS, 2),
    "verified class that the map lacks": (record({"image/class/text": [b"Sofa"]}), TRAINS, 2),
    "a hair outside": (record(of_box(-0.01, 0.25, 0.75, 1.002)), TRAINS, 2),
    # Boxes that are left out.
    "no area": (record(of_box(0.5, 0.25, 0.5, 0.75)), STRICT_STOPS, 1),
    "reversed": (record(of_box(0.25, 0.75, 0.5, 0.25)), STRICT_STOPS, 1),
    "not a number": (record(of_box(0.25, math.nan, 0.5, 0.75)), STRICT_STOPS, 1),
    "infinite": (record(of_box(0.25, 0.25, 0.5, math.inf)), STRICT_STOPS, 1),
    "beside the image": (record(of_box(1.01, 0.25, 1.05, 0.5)), STRICT_STOPS, 1),
    "in pixels": (record(of_box(4, 6, 12, 18)), STRICT_STOPS, 1),
    "weight not finite": (record({"image/object/weight": [1.0, math.nan]}), STRICT_STOPS, 1),
    "no area, and a text that the map lacks": (
        record(of_box(0.5, 0.25, 0.5, 0.75) | {"image/object/class/text": [b"Sofa", b"Sofa"]}),
        STRICT_STOPS,
        0,
    ),
    # What stops training.
    "id 0": (record({"image/object/class/label": [0, 4], "image/object/class/text": None}), STOPS, 0),
    "an id in a gap": (record({"image/object/class/label": [3, 4], "image/object/class/text": None}), STOPS, 0),
    "an id beyond": (record({"image/object/class/label": [5, 4], "image/object/class/text": [b"", b""]}), STOPS, 0),
    "no classes": (record({"image/object/class/label": None, "image/object/class/text": None}), STOPS, 0),
    "one text for two": (record({"image/object/class/text": [b"/m/1"]}), STOPS, 0),
    "one xmax for two": (record({"image/object/bbox/xmax": [1.0]}), STOPS, 0),
    "no xmax": (record({"image/object/bbox/xmax": None}), STOPS, 0),
    "no ymin": (record({"image/object/bbox/ymin": None}), STOPS, 0),
    "one flag for two": (record({"image/object/is_crowd": [1]}), STOPS, 0),
    "classes without boxes": (record(dict.fromkeys(rules.BOX_KEYS)), STOPS, 0),
    "ids as numbers": (record({"image/object/class/label": ("float_list", 1.0, 4.0)}), STOPS, 0),
    "no ids, but as numbers": (record({"image/object/class/label": ("float_list",)}), STOPS, 0),
    "boxes as whole numbers": (record({"image/object/bbox/ymin": ("int64_list", 0, 0)}), STOPS, 0),
    "verified class as number": (record({"image/class/label": ("float_list", 1.0)}), STOPS, 0),
    "two names": (record({"image/source_id": [b"x", b"y"]}), STOPS, 0),
    "a name that is an empty list": (record({"image/source_id": NONE}), STOPS, 0),
    "no image": (record({"image/encoded": None}), STOPS, 0),
    "an empty image": (record({"image/encoded": [b""]}), STOPS, 0),
    "half an image": (record({"image/encoded": [JPEG[: len(JPEG) // 2]]}), STOPS, 0),
    "a page": (record({"image/encoded": [b"<html></html>"]}), STOPS, 0),
    "no example": (b"\xff\xff\x01no example", STOPS, 0),
}


class Reader:
    """Decodes single records as training and evaluation do."""

    def __init__(self, label_map: LabelMap | None = LABEL_MAP) -> None:
        verified = VerifiedLabelReader(label_map, NUM_CLASSES)
        decoders = [RecordDecoder(label_map, NUM_CLASSES, is_strict=is_strict) for is_strict in (False, True)]

        def function(decode: RecordDecoder) -> Any:
            signature = [tf.TensorSpec([], tf.string)]
            return tf.function(lambda one: (decode(one, tf.constant(7, tf.int64)), verified(one)), signature)

        self._read, self._read_strictly = map(function, decoders)

    def __call__(self, serialized: bytes, *, strictly: bool = False) -> Any:
        """Returns the decoded record, or None where it stops the pipeline."""
        try:
            return (self._read_strictly if strictly else self._read)(serialized)[0]
        except tf.errors.InvalidArgumentError:
            return None
        except UnicodeDecodeError:  # TensorFlow's, over its own message, which holds the record
            return None


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def worst(report: RecordReport) -> Severity | None:
    severities = {SEVERITIES[kind] for kind, _ in report.problems}
    return next((severity for severity in (STOPS, STRICT_STOPS, TRAINS) if severity in severities), None)


def assert_agree(serialized: bytes, report: RecordReport, reader: Reader, what: object) -> None:
    decoded, strictly = reader(serialized), reader(serialized, strictly=True)
    assert (decoded is None) == (worst(report) is STOPS), (what, report.problems)
    assert (strictly is None) == (worst(report) in (STOPS, STRICT_STOPS)), (what, report.problems)
    if decoded is not None:
        assert Counter(decoded.ground_truth[CLASSES].numpy().tolist()) == report.class_ids, (what, report.problems)
        assert int(decoded.num_unusable) == report.num_unusable, (what, report.problems)
        assert int(decoded.num_unknown) == report.num_boxes - report.class_ids.total() - report.num_unusable, what
        assert bool(decoded.unusable_box.numpy()) == (report.num_unusable > 0)
        assert report.source_id == decoded.source_id.numpy().decode() or not report.source_id


@pytest.mark.parametrize("name", TABLE)
def test_the_checks_and_the_reader_agree(reader: Reader, name: str) -> None:
    serialized, verdict, num_trained = TABLE[name]
    report = RecordChecker(LABEL_MAP)(serialized)
    assert worst(report) is verdict, report.problems
    assert_agree(serialized, report, reader, name)
    decoded = reader(serialized)
    assert (0 if decoded is None else len(decoded.ground_truth[CLASSES])) == num_trained


def test_every_kind_of_problem_is_in_the_table_but_for_the_one_that_no_label_map_brings() -> None:
    found = {kind for serialized, _, _ in TABLE.values() for kind, _ in RecordChecker(LABEL_MAP)(serialized).problems}
    assert set(SEVERITIES) - found == {rules.ID_BELOW_ONE}
    report = RecordChecker(None)(TABLE["id 0 beside a known text"][0])
    assert [kind for kind, _ in report.problems] == [rules.ID_BELOW_ONE]
    assert Reader(None)(TABLE["id 0 beside a known text"][0]) is None


COORDINATES = [0.0, 0.25, 0.5, 0.75, 1.0, -0.05, 1.05, -0.1, 1.1, -0.1001, 1.1001, 1 - 1e-8, 1e-30, -1e-7, 3e38,
               math.nan, math.inf, -math.inf]  # fmt: skip


def anything(draw: random.Random) -> bytes:
    count = draw.choice([0, 1, 2, 3])

    def number() -> int:
        return draw.choice([count] * 60 + [0, 1])

    some = draw.choice([0, 0, 5, 8, 18])
    low_and_high = (COORDINATES[:some] or [0.0, 0.25, -0.01], COORDINATES[:some] or [0.5, 1.0, 1.01])
    changes: dict[str, list[Any] | None] = {
        key: [draw.choice(low_and_high[index // 2]) for _ in range(number())]
        for index, key in enumerate(rules.BOX_KEYS)
    }
    changes[tf_example.CLASS_TEXT] = [draw.choice([b"/m/1", b"Bed", b"", b"Sofa", b"/m/4"]) for _ in range(number())]
    changes[tf_example.CLASS_LABEL] = [draw.choice([1] * 9 + [2, 4, 4, 0, 3, 2**40]) for _ in range(number())]
    changes[tf_example.OBJECT_WEIGHT] = draw.choice([None, None, [draw.choice([0.0, 1.0, math.nan])] * number()])
    changes[tf_example.OBJECT_DIFFICULT] = draw.choice([None, None, [1] * number()])
    for key in draw.sample(sorted(changes), draw.choice([0, 0, 1, 2])):
        changes[key] = None
    return record(changes)


def test_the_checks_and_the_reader_agree_on_anything(reader: Reader) -> None:
    draw, check = random.Random(3), RecordChecker(LABEL_MAP)
    verdicts: Counter[Severity | None] = Counter()
    for number in range(600):
        serialized = anything(draw)
        report = check(serialized)
        verdicts[worst(report)] += 1
        assert_agree(serialized, report, reader, (number, tf.train.Example.FromString(serialized)))
    assert min(verdicts.values()) >= 30
    assert len(verdicts) == 4


def test_the_rules_say_the_same_of_arrays_and_of_tensors() -> None:
    generator = np.random.default_rng(0)
    boxes = generator.choice(np.array(COORDINATES, np.float32), [2000, 4])
    weights = generator.choice(np.array([0, 1, -1, np.nan, np.inf], np.float32), 2000)
    with np.errstate(invalid="ignore"):
        usable = rules.are_usable(boxes, weights, lambda mask: np.all(mask, axis=1))
        reasons = rules.reasons_unusable(boxes, weights, lambda mask: np.all(mask, axis=1))

    def of_tensor(mask: tf.Tensor) -> tf.Tensor:
        return tf.reduce_all(mask, axis=1)

    np.testing.assert_array_equal(rules.are_usable(tf.constant(boxes), tf.constant(weights), of_tensor), usable)
    of_tensors = rules.reasons_unusable(tf.constant(boxes), tf.constant(weights), of_tensor)
    for kind, holds in reasons.items():
        np.testing.assert_array_equal(of_tensors[kind], holds)
    # Whatever is unusable has a reason, and nothing else has.
    np.testing.assert_array_equal(np.any(list(reasons.values()), axis=0), ~usable)
