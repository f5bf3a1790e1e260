"""COCO files made and read back by pycocotools, and what is wrong with others."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask
from pycocotools.coco import COCO

from data_prep.annotations.coco import read_coco
from data_prep.runtime.command_line import UsageError

NO_KEEPING: dict[str, Any] = {"keep_category_ids": False}


def coco_of(scenes: Any, ids: tuple[int, ...] = (1, 2, 3)) -> COCO:
    """Returns the scenes as pycocotools holds them, with polygons and areas as COCO's own files have."""
    names = ("red block", "blue block", "green block")
    categories = [
        {"id": class_id, "name": name, "supercategory": "block"} for class_id, name in zip(ids, names, strict=True)
    ]
    id_of = {category["name"]: category["id"] for category in categories}
    images, annotations = [], []
    for number, scene in enumerate(scenes, start=100):
        images.append({"id": number, "file_name": scene.file_name, "width": scene.width, "height": scene.height})
        for label, xmin, ymin, xmax, ymax in scene.boxes:
            polygon = [xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax]
            annotations.append(
                {
                    "id": 9000 + len(annotations),
                    "image_id": number,
                    "category_id": id_of[label],
                    "segmentation": [polygon],
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                    "area": (xmax - xmin) * (ymax - ymin),
                    "iscrowd": 0,
                }
            )
    coco = COCO()
    coco.dataset = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    coco.createIndex()
    return coco


def write(path: Path, dataset: Any) -> Path:
    path.write_text(json.dumps(dataset), encoding="utf-8")
    return path


def test_what_pycocotools_holds_comes_out_as_drawn(
    tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None]
) -> None:
    coco = coco_of(scenes)
    path = write(tmp_path / "instances.json", coco.dataset)

    result = converted(read_coco, path, **NO_KEEPING)

    agrees_with_scenes(result)
    # And box by box against a fresh pycocotools on the same file.
    again = COCO(str(path))
    for image_id, image in again.imgs.items():
        annotations = again.loadAnns(again.getAnnIds(imgIds=image_id))
        point = next(point for point in result.points if point["id"] == Path(image["file_name"]).stem)
        assert len(point["annotations"]) == len(annotations)
        for ours, theirs in zip(point["annotations"], annotations, strict=True):
            size = np.array([image["width"], image["height"]] * 2)
            x, y, width, height = theirs["bbox"]
            assert np.array([ours["x0"], ours["y0"], ours["x1"], ours["y1"]]) * size == pytest.approx(
                [x, y, x + width, y + height]
            )
            assert ours["label"] == again.cats[theirs["category_id"]]["name"]
            assert ours["segment_area"] * image["width"] * image["height"] == pytest.approx(
                again.annToMask(theirs).sum()
            )


def test_a_crowd_is_a_group_and_says_that_it_was_a_crowd(tmp_path: Path, scenes: Any, converted: Any) -> None:
    coco = coco_of(scenes)
    pixels = np.zeros((120, 160), np.uint8, order="F")
    pixels[10:50, 20:60] = 1
    encoded = mask.encode(pixels)
    counts = [10 * 160]  # any uncompressed run lengths: they are not read
    coco.dataset["annotations"][0] |= {
        "iscrowd": 1,
        "segmentation": {"counts": counts, "size": [120, 160]},
        "bbox": mask.toBbox(encoded).tolist(),
        "area": float(mask.area(encoded)),
    }
    result = converted(read_coco, write(tmp_path / "a.json", coco.dataset), **NO_KEEPING)
    crowd, other = result.points[0]["annotations"]
    assert crowd["is_group_of"] and crowd["is_crowd"]
    assert crowd["segment_area"] == pytest.approx(40 * 40 / (120 * 160))
    assert not other["is_group_of"] and "is_crowd" not in other
    assert result.boxes_in_pixels("000001", 160, 120)[0] == ("red block", 20, 10, 60, 50)


@pytest.mark.parametrize(
    ("ids", "keep", "expected", "word"),
    [
        ((1, 2, 3), False, {1: "red block", 2: "blue block", 3: "green block"}, "1..3 are kept"),
        ((3, 1, 2), False, {3: "red block", 1: "blue block", 2: "green block"}, "1..3 are kept"),
        ((0, 1, 2), False, {1: "red block", 2: "blue block", 3: "green block"}, "3 of 3 changed"),
        ((1, 90, 44), False, {1: "red block", 3: "blue block", 2: "green block"}, "'green block' 44 -> 2"),
        ((1, 90, 44), True, {1: "red block", 90: "blue block", 44: "green block"}, "kept, with gaps"),
    ],
)
def test_category_ids(
    tmp_path: Path, scenes: Any, ids: tuple[int, ...], keep: bool, expected: dict[int, str], word: str
) -> None:
    path = write(tmp_path / "a.json", coco_of(scenes, ids).dataset)
    source = read_coco(path, keep_category_ids=keep, reject=lambda *_: None)
    assert source.class_ids == {name: class_id for class_id, name in expected.items()}
    assert word in source.class_remark


def test_bad_annotations_are_rejected_one_by_one_with_their_place(tmp_path: Path, scenes: Any, converted: Any) -> None:
    dataset = coco_of(scenes).dataset
    good = dataset["annotations"][0]
    bad: list[Any] = [
        good | {"bbox": [float("nan"), 1, 2, 3]},
        good | {"bbox": [1, 2, 3]},
        good | {"bbox": [10, 10, 0, 5]},
        good | {"bbox": [10, 10, -4, 5]},
        good | {"bbox": [150, 10, 40, 5]},
        good | {"bbox": ["1e999", 10, 40, 5]},
        good | {"bbox": [10**400, 10, 40, 5]},
        good | {"category_id": 77},
        good | {"category_id": True},
        good | {"image_id": 77},
        good | {"image_id": [1]},
        "no annotation",
    ]
    dataset["annotations"] = [*bad, *dataset["annotations"]]
    dataset["images"].append(dict(dataset["images"][0]))
    dataset["images"].append({"file_name": "x.jpg"})

    result = converted(read_coco, write(tmp_path / "bad.json", dataset), **NO_KEEPING)

    places = {where.split(" ")[0]: reason for where, reason, _ in result.rejected}
    assert places == {
        "bad.json:annotations[0]": "not a number",
        "bad.json:annotations[1]": "not a box",
        "bad.json:annotations[2]": "box without area",
        "bad.json:annotations[3]": "reversed box",
        "bad.json:annotations[4]": "box outside the image",
        "bad.json:annotations[5]": "not a number",
        "bad.json:annotations[6]": "not a number",
        "bad.json:annotations[7]": "unknown category",
        "bad.json:annotations[8]": "unknown category",
        "bad.json:annotations[9]": "image not in the file",
        "bad.json:annotations[10]": "image not in the file",
        "bad.json:annotations[11]": "image not in the file",
        "bad.json:images[4]": "image listed twice",
        "bad.json:images[5]": "image without an id",
    }
    assert len(result.points) == len(scenes)
    assert sum(len(point["annotations"]) for point in result.points) == 5


def test_urls_and_names_out_of_urls(tmp_path: Path, scenes: Any, converted: Any) -> None:
    dataset = coco_of(scenes).dataset
    first, second, third, fourth = dataset["images"]
    first |= {"coco_url": "http://localhost/val/000001.jpg", "flickr_url": "http://localhost/other.jpg"}
    second |= {"flickr_url": "https://localhost/2.jpg"}
    del third["file_name"]  # as in LVIS
    third["coco_url"] = "http://localhost/val2017/000000391895.jpg"
    fourth["coco_url"] = "file:///etc/passwd"
    result = converted(read_coco, write(tmp_path / "a.json", dataset), **NO_KEEPING)
    assert result.urls == {
        "000001": "http://localhost/val/000001.jpg",
        "street-2": "https://localhost/2.jpg",
        "000000391895": "http://localhost/val2017/000000391895.jpg",
    }


def test_gzip_is_read(tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None]) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes(gzip.compress(json.dumps(coco_of(scenes).dataset).encode()))
    agrees_with_scenes(converted(read_coco, path, **NO_KEEPING))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "not JSON"),
        ('{"images": [', "not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "detections"),
        ('{"images": [], "annotations": []}', "'categories'"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}', "rename"),
        ('{"images": [], "annotations": [], "categories": [{"id": -1, "name": "a"}]}', "whole number"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": ""}]}', "no name of a class"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "\\ud800"}]}', "no name of a class"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": 5}]}', "'name' must be a text"),
        ('{"images": [], "annotations": [], "categories": [7]}', "an object"),
        ("\xff", "UTF-8"),
    ],
)
def test_what_is_no_coco_file_is_refused_in_a_line(tmp_path: Path, content: str, word: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=word) as refused:
        read_coco(path, keep_category_ids=False, reject=lambda *_: None)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_polygons_do_not_stay_in_memory(tmp_path: Path, scenes: Any, converted: Any) -> None:
    import tracemalloc

    dataset = coco_of(scenes).dataset
    polygon = [[round(i * 0.37, 2) for i in range(2000)]]
    for annotation in dataset["annotations"]:
        annotation["segmentation"] = polygon
    dataset["annotations"] = [a | {"id": n} for n, a in enumerate(dataset["annotations"] * 60)]
    path = write(tmp_path / "a.json", dataset)
    tracemalloc.start()
    converted(read_coco, path, **NO_KEEPING)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The text as bytes and as str, and little besides; all polygons as Python's floats would be five times the file.
    assert peak < 3 * path.stat().st_size


def panoptic_of(scenes: Any) -> dict[str, Any]:
    """Returns the scenes as COCO's panoptic JSON: their blocks are things, and sky is around them."""
    instances = coco_of(scenes, ids=(1, 27, 90)).dataset
    sky = {"id": 187, "name": "sky-other", "supercategory": "sky", "isthing": 0}
    segments: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in instances["images"]}
    for box in instances["annotations"]:
        keys = ("id", "category_id", "bbox", "area", "iscrowd")
        segments[box["image_id"]].append({key: box[key] for key in keys})
    annotations = []
    for image in instances["images"]:
        air = {"id": 7, "category_id": 187, "bbox": [0, 0, image["width"], image["height"]], "area": 9, "iscrowd": 0}
        name = f"{image['id']}.png"
        annotations.append({"image_id": image["id"], "file_name": name, "segments_info": [*segments[image["id"]], air]})
    categories = [category | {"isthing": 1} for category in instances["categories"]]
    return {"images": instances["images"], "annotations": annotations, "categories": [*categories, sky]}


def test_things_of_a_panoptic_file_are_boxes_and_stuff_is_counted(
    tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None]
) -> None:
    content = panoptic_of(scenes)
    path = write(tmp_path / "panoptic_val2017.json", content)
    result = converted(read_coco, path, **NO_KEEPING)
    agrees_with_scenes(result)
    assert result.points[0]["annotations"][0]["segment_area"] == pytest.approx(48 * 48 / (160 * 120))
    source = read_coco(path, reject=lambda *_: None, **NO_KEEPING)
    assert source.class_ids == {"red block": 1, "blue block": 2, "green block": 3}
    assert sum(1 for _ in source.images) == 4
    assert source.remarks == ["4 segments of stuff left out, of 1 categories that are no things"]
    assert read_coco(path, keep_category_ids=True, reject=lambda *_: None).class_ids == {
        "red block": 1, "blue block": 27, "green block": 90
    }  # fmt: skip


def test_bad_segments_are_rejected_with_their_place(tmp_path: Path, scenes: Any, converted: Any) -> None:
    content = panoptic_of(scenes)
    first, second, third, _ = content["annotations"]
    first["segments_info"][0]["iscrowd"] = 1
    first["segments_info"][1]["bbox"] = [1, 2, 3]
    second["segments_info"] = {"id": 1}
    third["segments_info"] = [5, {"id": 8, "category_id": 3, "bbox": [0, 0, 1, 1]}]
    content["annotations"].append({"image_id": 5, "segments_info": [{"id": 1}]})
    result = converted(read_coco, write(tmp_path / "panoptic.json", content), **NO_KEEPING)
    assert sorted((where, reason) for where, reason, _ in result.rejected) == [
        ("panoptic.json:annotations[0].segments_info[1] (id 9001)", "not a box"),
        ("panoptic.json:annotations[1].segments_info", "not a box"),
        ("panoptic.json:annotations[2].segments_info[0]", "not a box"),
        ("panoptic.json:annotations[2].segments_info[1] (id 8)", "unknown category"),
        ("panoptic.json:annotations[4].segments_info[0]", "image not in the file"),
    ]
    assert [point["id"] for point in result.points] == ["000001", "img.v2.rf.4"]  # the others lost all they had
    (crowd,) = result.points[0]["annotations"]
    assert crowd["is_crowd"] and crowd["is_group_of"]


def test_a_file_of_stuff_alone_is_refused(tmp_path: Path, scenes: Any) -> None:
    content = panoptic_of(scenes)
    content["categories"] = content["categories"][-1:]
    with pytest.raises(UsageError, match="all its categories are stuff"):
        read_coco(write(tmp_path / "panoptic.json", content), reject=lambda *_: None, **NO_KEEPING)
