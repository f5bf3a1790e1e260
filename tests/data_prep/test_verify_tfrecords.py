from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import verify_tfrecords
from data_prep.formats import tf_example
from data_prep.runtime.large_image_turn import LARGE_PIXELS

LABEL_MAP = """
item { name: '/m/03ssj5' id: 1 display_name: 'Bed' }
item { name: '/m/07c52' id: 7 display_name: 'Television' }
"""


def encoded(size: tuple[int, int] = (80, 60), mode: str = "RGB", image_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 128 if mode == "L" else None).save(buffer, image_format)
    return buffer.getvalue()


def good(source_id: str = "abc", **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "encoded_image": encoded(),
        "image_format": "jpeg",
        "source_id": source_id,
        "height": 60,
        "width": 80,
        "boxes_ymin_xmin_ymax_xmax": [[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0]],
        "class_labels": [1, 7],
        "class_texts": ["/m/03ssj5", "/m/07c52"],
    }
    return tf_example.make_example(**(arguments | changes))


def edited(edit: Callable[[Any], object]) -> bytes:
    """Returns a good record whose features `edit` has changed."""
    import tensorflow as tf

    example = tf.train.Example.FromString(good())
    edit(example.features.feature)
    return bytes(example.SerializeToString())


class Verify:
    """Runs the command on records in a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self.path = folder / "train.record-00000-of-00001"
        self.label_map_path = folder / "label_map.pbtxt"
        self.label_map_path.write_text(LABEL_MAP)
        self._run = run

    def write(self, *records: bytes) -> None:
        import tensorflow as tf

        with tf.io.TFRecordWriter(str(self.path)) as writer:
            for record in records:
                writer.write(record)

    def __call__(self, *words: object) -> Any:
        pattern = self.folder / "train.record-*"
        flags = ("--input_path", pattern, "--label_map_path", self.label_map_path)
        return self._run(verify_tfrecords.main, *flags, *words)


@pytest.fixture
def verify(tmp_path: Path, run: Callable[..., Any]) -> Verify:
    return Verify(tmp_path, run)


def test_sound_records_pass_with_a_table(verify: Verify) -> None:
    verify.write(
        good("a"),
        good("b", boxes_ymin_xmin_ymax_xmax=[], class_labels=[], class_texts=[]),
        good("c", encoded_image=encoded(mode="L")),
        good("d", encoded_image=encoded(image_format="PNG"), image_format="png"),
        good("e", class_texts=["Bed", "Television"]),  # display names name the ids as well
        good("f", boxes_ymin_xmin_ymax_xmax=[[0, 0, 1 + 5e-7, 1], [-5e-7, 0, 1, 1]], class_labels=[1, 1],
             class_texts=["Bed", "Bed"], image_class_labels=[7], image_class_texts=["Television"]),
    )  # fmt: skip
    outcome = verify()
    assert outcome.code == 0, outcome.output
    assert "6 records in 1 files are sound: 10 boxes, 1 records without any" in outcome.output
    lines = [line.split() for line in outcome.output.splitlines()]
    assert ["6", "5", "Bed", "(1)"] in lines
    assert ["4", "4", "Television", "(7)"] in lines


def test_a_record_without_any_object_key_is_an_image_without_boxes(verify: Verify) -> None:
    def edit(features: Any) -> None:
        for key in tf_example.OBJECT_KEYS:
            features.pop(key, None)

    verify.write(edited(edit))
    assert verify().code == 0


def boxes(*coordinates: float) -> bytes:
    return good(boxes_ymin_xmin_ymax_xmax=[[0, 0, 1, 1], coordinates], areas=[1, 1])


def drop(key: str) -> bytes:
    return edited(lambda features: features.pop(key))


JPEG = encoded()


def without_texts(**changes: Any) -> bytes:
    return good(class_texts=["", ""], **changes)


def with_feature(key: str, kind: str, *values: Any) -> bytes:
    def edit(features: Any) -> None:
        features.pop(key, None)
        getattr(features[key], kind).value.extend(values)

    return edited(edit)


PROBLEMS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "id 0": (lambda: without_texts(class_labels=[1, 0]), "class id outside the label map", "class/label 0"),
    "id too large": (lambda: without_texts(class_labels=[1, 8]), "class id outside the label map", "1 to 7"),
    "id in a gap": (lambda: without_texts(class_labels=[1, 3]), "class id outside the label map", "label 3"),
    "no classes": (
        lambda: edited(lambda f: (f.pop("image/object/class/text"), f.pop("image/object/class/label"))),
        "boxes without classes",
        "for 2 boxes",
    ),
    "truncated": (lambda: good(encoded_image=JPEG[: len(JPEG) // 2]), "image does not decode", "abc"),
    "a page": (lambda: good(encoded_image=b"<html>"), "image does not decode", "not an image"),
    "empty": (lambda: good(encoded_image=b""), "image does not decode", "empty file"),
    "no image": (lambda: drop("image/encoded"), "missing key", "image/encoded"),
    "garbage": (lambda: b"\xff\xff\xffno example", "not a tf.train.Example", "record 1"),
    "label as float": (
        lambda: with_feature("image/object/class/label", "float_list", 1.0, 7.0),
        "wrong type",
        "image/object/class/label is a float_list",
    ),
    "two names": (
        lambda: with_feature("image/filename", "bytes_list", b"a", b"b"),
        "not one value",
        "image/filename has 2",
    ),
    "lengths": (
        lambda: edited(lambda features: features["image/object/bbox/xmax"].float_list.value.pop()),
        "unequal lengths",
        "bbox/xmax 1",
    ),
    "no xmin": (lambda: drop("image/object/bbox/xmin"), "unequal lengths", "bbox/xmax 2"),
    "length of a flag": (
        lambda: edited(lambda features: features["image/object/group_of"].int64_list.value.append(0)),
        "unequal lengths",
        "group_of 3",
    ),
    "length of texts": (
        lambda: edited(lambda features: features["image/object/class/text"].bytes_list.value.pop()),
        "unequal lengths",
        "class/text 1",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_would_stop_training_fails(verify: Verify, name: str) -> None:
    make, kind, detail = PROBLEMS[name]
    verify.write(good("first"), make(), good("last"))
    outcome = verify()
    assert outcome.code == 1
    assert outcome.error.count("\n") == 1
    assert "in 1 of 3 records" in outcome.error
    table = outcome.output
    assert kind in table
    assert detail in table
    assert f"{verify.path}, record 1" in table
    if name != "garbage":
        assert "image abc" in table
    kinds = [line.strip().split("  ", 1)[1] for line in table.splitlines() if not line.startswith(" " * 10)]
    assert set(kinds) == {kind}  # one mistake is not reported as several


UNUSABLE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "not a number": (lambda: boxes(math.nan, 0.1, 0.5, 0.6), "box is not finite", "box 1: ymin nan"),
    "infinite": (lambda: boxes(0.1, 0.1, 0.5, math.inf), "box is not finite", "xmax inf"),
    "reversed y": (lambda: boxes(0.6, 0.1, 0.5, 0.6), "reversed box", "ymin 0.6"),
    "reversed x": (lambda: boxes(0.1, 0.7, 0.5, 0.6), "reversed box", "xmin 0.7"),
    "no height": (lambda: boxes(0.5, 0.1, 0.5, 0.6), "box without area", "ymax 0.5"),
    "no width": (lambda: boxes(0.1, 0.6, 0.5, 0.6), "box without area", "xmax 0.6"),
    "beside the image": (lambda: boxes(1.01, 0.1, 1.05, 0.6), "box without area", "ymin 1.01"),
    "pixels": (lambda: boxes(10, 20, 50, 60), "box far outside the image", "ymax 50"),
    "weight": (lambda: good(weights=[1, math.inf]), "weight is not finite", "weight inf"),
}
WARNINGS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a hair outside": (lambda: boxes(0.1, -0.00001, 0.5, 0.6), "box reaches beyond the image", "xmin -1e-05"),
    "id 0 beside a text": (lambda: good(class_labels=[1, 0]), "class text disagrees with id", "is id 7, and not 0"),
    "swapped": (lambda: good(class_labels=[7, 7]), "class text disagrees with id", "'/m/03ssj5' is id 1, and not 7"),
    "unknown text": (lambda: good(class_texts=["Bed", "Sofa"]), "class text outside the label map", "'Sofa' beside"),
    "no ids": (lambda: drop("image/object/class/label"), "optional key missing", "the texts name the classes"),
    "no source_id": (lambda: drop("image/source_id"), "optional key missing", "image/source_id"),
    "no image height": (lambda: drop("image/height"), "optional key missing", "image/height"),
    "image-level id": (
        lambda: good(image_class_labels=[9], image_class_texts=["x"]),
        "verified class outside the label map",
        "image/class/label 9, image/class/text 'x'",
    ),
    "area": (lambda: good(areas=[1, math.nan]), "not a finite number", "image/object/area"),
    "height": (lambda: good(height=61), "size differs from the image", "image/height is 61, the image's 60"),
    "two heights": (
        lambda: with_feature("image/height", "int64_list", 60, 60),
        "malformed key that training does not read",
        "image/height has 2",
    ),
    "occluded": (
        lambda: with_feature("image/object/occluded", "int64_list", 1),
        "malformed key that training does not read",
        "occluded 1 values for 2 boxes",
    ),
    "another's checksum": (
        lambda: with_feature("image/key/sha256", "bytes_list", b"0" * 64),
        "checksum differs from the image",
        "image/key/sha256 is " + "0" * 64,
    ),
    "a png named jpeg": (
        lambda: good(encoded_image=encoded(image_format="PNG")),
        "format differs from the image",
        "image/format is 'jpeg', the image a png",
    ),
    "no format at all": (lambda: good(image_format="raw"), "format differs from the image", "'raw'"),
}


@pytest.mark.parametrize("name", [*UNUSABLE, *WARNINGS])
def test_what_trains_all_the_same_is_a_counted_warning(verify: Verify, name: str) -> None:
    make, kind, detail = (UNUSABLE | WARNINGS)[name]
    verify.write(good("first"), make(), good("last"))
    outcome = verify()
    assert outcome.code == 0, outcome.error
    table = outcome.output
    assert f"1  warning: {kind}" in table
    assert detail in table
    assert f"{verify.path}, record 1" in table
    assert "3 records in 1 files are sound" in table
    assert "; 1 warnings" in table
    assert ("6 boxes (1 of them cannot be trained on)" in table) == (name in UNUSABLE)
    assert verify("--strict_records").code == (1 if name in UNUSABLE else 0)


def test_boxes_are_counted_under_the_class_that_training_gives_them(verify: Verify) -> None:
    verify.write(
        good("a", class_labels=[0, 0], class_texts=["Bed", "Bed"]),
        drop("image/object/class/label"),
        good("b", class_texts=["Bed", "Sofa"]),
        boxes(0.5, 0.5, 0.5, 0.5),
    )
    lines = [line.split() for line in verify().output.splitlines()]
    assert ["5", "4", "Bed", "(1)"] in lines
    assert ["1", "1", "Television", "(7)"] in lines


def test_another_data_sets_label_map_fails(verify: Verify) -> None:
    verify.write(good("a", class_texts=["Sofa", "Lamp"]), good("b", class_texts=["Sofa", "Lamp"]))
    outcome = verify()
    assert outcome.code == 1
    assert "warning: class text outside the label map" in outcome.output
    assert "training would leave out every one of 4 boxes, for the reasons above; is " in outcome.error


def test_coordinates_in_pixels_fail_as_a_whole(verify: Verify) -> None:
    in_pixels = good(boxes_ymin_xmin_ymax_xmax=[[10, 20, 50, 60]] * 2)
    verify.write(*[in_pixels] * 60)
    outcome = verify()
    assert outcome.code == 1
    assert "most boxes cannot be trained on" in outcome.output
    assert "120 of 120 boxes; coordinates are relative to the image" in outcome.output


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image/format", b"jpg"),
        ("image/format", b"JPEG"),
        ("image/format", b""),
        ("image/key/sha256", b""),
        ("image/key/sha256", hashlib.sha256(JPEG).hexdigest().upper().encode()),
    ],
)
def test_other_spellings_of_format_and_checksum_and_none_are_sound(verify: Verify, key: str, value: bytes) -> None:
    verify.write(with_feature(key, "bytes_list", value))
    assert verify().code == 0


def test_large_images_that_are_no_jpegs_are_decoded_to_their_end(verify: Verify) -> None:
    side = math.isqrt(LARGE_PIXELS) + 1
    whole = encoded((side, side), "L", "PNG")
    size = {"image_format": "png", "height": side, "width": side}
    verify.write(good("whole", encoded_image=whole, **size))
    assert verify().code == 0
    cuts = [whole[: len(whole) // 2], whole[:-12], whole[:200] + b"xxxx" + whole[204:]]
    verify.write(*(good(encoded_image=content, **size) for content in cuts))
    outcome = verify()
    assert outcome.code == 1
    assert "3  image does not decode" in outcome.output
    assert verify("--decode_fraction", 0).code == 0


def test_a_record_that_breaks_off_is_named_and_the_other_files_are_checked(verify: Verify) -> None:
    verify.path = verify.folder / "train.record-00001-of-00002"
    verify.write(good("c", class_labels=[1, 99], class_texts=["", ""]))
    verify.path = verify.folder / "train.record-00000-of-00002"
    verify.write(good("a"), good("b"))
    whole = verify.path.read_bytes()
    for damaged, problem in ((whole[:-30], "truncated"), (whole[:-30] + bytes(30), "corrupted")):
        verify.path.write_bytes(damaged)
        outcome = verify()
        assert outcome.code == 1
        assert f"{verify.path}, record 1: {problem}" in outcome.output
        assert "train.record-00001-of-00002, record 0, image c" in outcome.output
        assert "2 problems in 2 of 2 records" in outcome.error


def test_only_the_first_of_each_kind_are_shown_and_all_are_counted(verify: Verify) -> None:
    verify.write(*(good(f"p{number}", height=61) for number in range(9)))
    outcome = verify("--max_problems_shown", 2)
    assert outcome.code == 0
    assert outcome.output.count("image's 60") == 2
    assert "9  warning: size differs from the image" in outcome.output
    assert "and 7 more" in outcome.output


def test_what_a_hostile_record_says_is_shown_safely(verify: Verify) -> None:
    verify.write(good("\x1b[2J\n" + "x" * 10_000, height=61))
    outcome = verify()
    assert "size differs" in outcome.output
    assert "\x1b" not in outcome.output
    assert max(map(len, outcome.output.splitlines())) < 1000


def test_repeated_ids_are_noted(verify: Verify) -> None:
    verify.write(good("a"), good("b"), good("a"))
    outcome = verify()
    assert outcome.code == 0
    assert "1 records have another's source_id" in outcome.output


def test_nothing_to_check(verify: Verify) -> None:
    outcome = verify()
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)
    assert "no record file matches" in outcome.error
    verify.write()
    outcome = verify()
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert "not one record" in outcome.error


def test_what_differs_from_the_manifest_fails(verify: Verify) -> None:
    from data_prep.formats.label_map import LabelMap, LabelMapItem, read_label_map
    from data_prep.records.manifest import Manifest, ShardEntry, manifest_path, write_manifest
    from data_prep.records.shard_report import ShardReport

    verify.write(good("a"), good("b"))
    path = manifest_path(verify.folder / "train.record")

    def put(label_map: LabelMap, num_images: int) -> None:
        shards = (ShardEntry(verify.path.name, "x", ShardReport(num_images=num_images)),)
        write_manifest(path, Manifest("train.record", label_map, "label_map.pbtxt", {}, "", shards))

    label_map = read_label_map(verify.label_map_path)
    put(label_map, 2)
    assert verify().code == 0
    put(label_map, 3)
    outcome = verify()
    assert outcome.code == 1
    assert f"{verify.path} has 2 records, {path} says 3" in outcome.output
    put(LabelMap([LabelMapItem(1, "/m/07c52"), LabelMapItem(7, "/m/03ssj5", "Bed")]), 2)
    outcome = verify()
    assert outcome.code == 1
    assert "class '/m/03ssj5' (Bed) has id 7 there and 1 here" in outcome.output


def test_only_a_share_of_the_images_is_decoded_if_asked(verify: Verify) -> None:
    whole = encoded((640, 480))
    holed = whole[: len(whole) // 2] + b"\xff\xfe" * 20 + whole[len(whole) // 2 + 40 :]
    records = [good(f"p{number}", encoded_image=holed, height=480, width=640) for number in range(60)]
    verify.write(*records)
    found = {}
    for share in (0, 0.5, 1):
        outcome = verify("--decode_fraction", share)
        match = re.search(r"(\d+)  image does not decode", outcome.output)
        found[share] = int(match[1]) if match else 0
    assert (found[0], found[1]) == (0, 60)
    assert 15 <= found[0.5] <= 45
    verify.write(good("a", height=61))
    assert "size differs" in verify("--decode_fraction", 0).output  # the header is read all the same


def test_several_processes_say_what_one_says(verify: Verify) -> None:
    for index in range(4):
        verify.path = verify.folder / f"train.record-0000{index}-of-00004"
        verify.write(*(good(f"p{index}{number}", height=60 + (number == 3)) for number in range(5)))
    outcomes = [verify("--num_processes", count, "--max_problems_shown", 2) for count in (1, 2)]
    assert outcomes[0] == outcomes[1]
    assert "4  warning: size differs from the image" in outcomes[0].output
    assert "train.record-00000-of-00004, record 3, image p03" in outcomes[0].output
    assert "and 2 more" in outcomes[0].output


def test_verified_labels_are_summed_up(verify: Verify) -> None:
    looked_for = {"image_class_labels": [1, 7], "image_class_texts": ["/m/03ssj5", "/m/07c52"]}
    verify.write(good("a", **looked_for), good("b", image_class_labels=[7], image_class_texts=["Television"]))
    assert "3 verified labels of whole images, of 2 classes: Television 2, Bed 1" in verify().output
