"""The `create_*_tf_record` scripts, called by their paths with the API's flags, and what their records hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format
from object_detection.utils import config_util, label_map_util

from tests.conftest import block_image

TOOLS = Path(__file__).resolve().parents[2] / "compat" / "object_detection" / "dataset_tools"
LABEL_MAP = "item { id: 3 name: 'red' } item { id: 7 name: 'blue' }"


def run(script: str, folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, TOOLS / script, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def images(tmp_path) -> Path:
    """Three images of two blocks each."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"photo{number}.jpg").write_bytes(block_image(number)[0])
    return folder


def records(folder: Path, pattern: str) -> list[tuple[list[float], list[int], list[bytes]]]:
    """Of each record xmin of its boxes, their ids and names."""
    found = []
    for path in sorted(folder.glob(pattern)):
        for raw in tf.data.TFRecordDataset(str(path)):
            features = tf.train.Example.FromString(raw.numpy()).features.feature
            found.append(
                (
                    list(features["image/object/bbox/xmin"].float_list.value),
                    list(features["image/object/class/label"].int64_list.value),
                    list(features["image/object/class/text"].bytes_list.value),
                )
            )
    return found


def require_blocks(found) -> None:
    """Three records with both blocks, as `LABEL_MAP` numbers them."""
    expected = sorted(sorted(float(box[1]) for box in block_image(number)[1]) for number in range(3))
    assert sorted(sorted(xmin) for xmin, _, _ in found) == [pytest.approx(row, abs=5e-3) for row in expected]
    assert all(sorted(zip(ids, names, strict=True)) == [(3, b"red"), (7, b"blue")] for _, ids, names in found)


def test_coco(images, tmp_path):
    rows = [(number, *one) for number in range(3) for one in zip(*block_image(number)[1:], strict=True)]
    annotations = [
        {
            "id": index,
            "image_id": number,
            "category_id": {1: 3, 2: 7}[class_id],
            "bbox": [float(x) for x in (box[1] * 128, box[0] * 96, (box[3] - box[1]) * 128, (box[2] - box[0]) * 96)],
            "iscrowd": 0,
        }
        for index, (number, box, class_id) in enumerate(rows)
    ]
    (tmp_path / "instances.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": number, "file_name": f"photo{number}.jpg", "width": 128, "height": 96} for number in range(3)
                ],
                "annotations": annotations,
                "categories": [{"id": 3, "name": "red"}, {"id": 7, "name": "blue"}],
            }
        )
    )
    words = ["--logtostderr", "--train_image_dir=images", "--train_annotations_file=instances.json"]
    assert "--logtostderr has no effect" in run("create_coco_tf_record.py", tmp_path, *words, "--output_dir=records")
    assert (tmp_path / "records" / "coco_train.record-00000-of-00100").is_file()
    require_blocks(records(tmp_path / "records", "coco_train.record-?????-of-00100"))
    said = run("create_coco_tf_record.py", tmp_path, *words, "--include_masks", code=2)
    assert "--include_masks: only boxes are detected here" in said


def test_pascal_voc(images, tmp_path):
    year = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    images.rename(year / "JPEGImages")
    for number in range(3):
        _, boxes, ids = block_image(number)
        objects = "".join(
            f"<object><name>{ {1: 'red', 2: 'blue'}[class_id] }</name><bndbox><xmin>{round(box[1] * 128)}</xmin>"
            f"<ymin>{round(box[0] * 96)}</ymin><xmax>{round(box[3] * 128)}</xmax><ymax>{round(box[2] * 96)}</ymax>"
            "</bndbox></object>"
            for box, class_id in zip(boxes, ids, strict=True)
        )
        (year / "Annotations" / f"photo{number}.xml").write_text(
            f"<annotation><filename>photo{number}.jpg</filename><size><width>128</width><height>96</height>"
            f"<depth>3</depth></size>{objects}</annotation>"
        )
    lines = [f"photo{number} {'-1' if number else ' 1'}\n" for number in range(3)]
    (year / "ImageSets" / "Main" / "aeroplane_train.txt").write_text("".join(lines))
    (tmp_path / "map.pbtxt").write_text(LABEL_MAP)
    run(
        "create_pascal_tf_record.py", tmp_path, "--data_dir=VOCdevkit", "--year=VOC2012", "--set=train",
        "--output_path=records/pascal.record", "--label_map_path=map.pbtxt",
    )  # fmt: skip
    require_blocks(records(tmp_path / "records", "pascal.record"))


def test_open_images(images, tmp_path):
    (tmp_path / "map.pbtxt").write_text(LABEL_MAP)
    lines = [
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    ]
    for number in range(4):  # Of the last there is no image.
        _, boxes, ids = block_image(number)
        for (ymin, xmin, ymax, xmax), class_id in zip(boxes.tolist(), ids, strict=True):
            name = {1: "red", 2: "blue"}[class_id]
            lines.append(f"photo{number},xclick,{name},1,{xmin},{xmax},{ymin},{ymax},0,0,0,0,0")
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    run(
        "create_oid_tf_record.py", tmp_path, "--input_box_annotations_csv=boxes.csv",
        "--input_images_directory=images", "--input_label_map=map.pbtxt",
        "--output_tf_record_path_prefix=records/train.record", "--num_shards=2",
    )  # fmt: skip
    require_blocks(records(tmp_path / "records", "train.record-0000?-of-00002"))


def test_a_label_map_that_does_not_parse_is_named_with_its_line(tmp_path):
    (tmp_path / "map.pbtxt").write_text("item {\n  id: 1\n  name: \u2018cat\u2019\n}\n", encoding="utf-8")
    with pytest.raises(text_format.ParseError, match=r"map\.pbtxt:3: "):
        label_map_util.get_label_map_dict(str(tmp_path / "map.pbtxt"))


def test_somebodys_own_train_is_not_run(tmp_path):
    """A workspace may have a folder called train, and says so where it has a file of that name."""
    environment = os.environ | {"PYTHONPATH": str(TOOLS.parents[1])}
    words = [sys.executable, "-c", "import object_detection, train.pipeline; print('imported')"]
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "image.jpg").touch()

    def imported() -> str:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "imported" in imported()
    (tmp_path / "train.py").write_text("print('training begins')")
    said = imported()
    assert "training begins" not in said
    assert f"{tmp_path / 'train.py'} is found first; rename that" in said


def test_what_is_not_there_says_what_to_do():
    for name, words in {
        "object_detection.dataset_tools.create_pet_tf_record": "import_annotations",
        "object_detection.model_lib_v2": "python -m train.train trains",
        "object_detection.metrics.coco_evaluation": "train.evaluate",
        "object_detection.nowhere": r"docs/migration\.md",
    }.items():
        with pytest.raises(ImportError, match=words):
            __import__(name)
    with pytest.raises(ImportError, match="browse_inputs"):
        from object_detection import inputs  # noqa: F401
    with pytest.raises(AttributeError, match="is not here: Context R-CNN is not supported"):
        config_util.get_context_feature_length(None)
    assert not hasattr(config_util, "nothing_of_the_kind")
