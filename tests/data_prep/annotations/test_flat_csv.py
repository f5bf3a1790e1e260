"""The CSV of many tutorials, written here by a writer of its own."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_prep.annotations.conversion import Options
from data_prep.annotations.flat_csv import read_flat_csv
from data_prep.runtime.command_line import UsageError

AUTO: dict[str, Any] = {"coordinates": "auto", "first_pixel": 0}
LONG = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
SHORT = ("filename", "xmin", "ymin", "xmax", "ymax", "class")


def write_scenes(path: Path, scenes: Any, columns: Sequence[str] = LONG, *, relative: bool = False) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for scene in scenes:
            row: dict[str, Any] = {"filename": scene.file_name, "width": scene.width, "height": scene.height}
            across, down = (scene.width, scene.height) if relative else (1, 1)
            for label, xmin, ymin, xmax, ymax in scene.boxes:
                edges = (xmin / across, ymin / down, xmax / across, ymax / down)
                writer.writerow(
                    row | {"class": label} | dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
                )
            if not scene.boxes:
                writer.writerow(row)
    return path


@pytest.mark.parametrize("columns", [LONG, SHORT, LONG[::-1]])
@pytest.mark.parametrize("relative", [False, True])
def test_the_scenes_come_out_as_drawn(
    tmp_path: Path,
    scenes: Any,
    image_folder: Path,
    converted: Any,
    agrees_with_scenes: Callable[[Any], None],
    columns: Sequence[str],
    relative: bool,
) -> None:
    path = write_scenes(tmp_path / "labels.csv", scenes, columns, relative=relative)
    agrees_with_scenes(converted(read_flat_csv, path, Options(image_directory=image_folder), **AUTO))
    if relative or columns != SHORT:
        agrees_with_scenes(converted(read_flat_csv, path, **AUTO))
    else:
        assert set(converted(read_flat_csv, path, **AUTO).reasons) == {"no image size"}


def test_the_rule_for_pixels_and_shares_is_said_and_can_be_overruled(tmp_path: Path, converted: Any) -> None:
    path = tmp_path / "a.csv"

    def remark(*edges: object, coordinates: Any = "auto") -> str:
        rows = "".join(f"a.jpg,{edge},{edge},{edge},{edge},a\n" for edge in edges)
        path.write_text(f"filename,xmin,ymin,xmax,ymax,class\n{rows}")
        source = read_flat_csv(path, coordinates=coordinates, first_pixel=0, reject=lambda *_: None)
        return source.remarks[0]

    assert remark(0.1, 0.9, 1.0).startswith("coordinates: relative (shares of the picture), for 3 of 3 boxes")
    assert remark(10, 400, 3).startswith("coordinates: pixel, for 0 of 3 boxes")
    assert remark(*[0.5] * 19, 640).startswith("coordinates: relative")  # one bad row among many
    assert remark(*[99] * 19, 1).startswith("coordinates: pixel")
    assert remark("x", "nan", 0.5).startswith("coordinates: relative (shares of the picture), for 1 of 1")
    assert remark(0.5, 640, coordinates="pixel") == "coordinates: pixel, as --coordinates says"
    with pytest.raises(UsageError, match=r"1 of 2 boxes .* --coordinates"):
        remark(0.5, 640)


def test_other_names_of_columns_and_flags(tmp_path: Path, converted: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "Image_Path,X0,Y0,X1,Y1,Label,occluded,truncated,difficult,IsGroupOf\n"
        "a.jpg,0.1,0.2,0.3,0.4,cat,1,0,true,1\n"
        "a.jpg,0.1,0.2,0.3,0.4,cat,0,1,0,\n"
        "a.jpg,0.1,0.2,0.3,0.4,cat,0,perhaps,0,\n"
    )
    result = converted(read_flat_csv, path, **AUTO)
    first, second = result.points[0]["annotations"]
    assert [first[key] for key in ("x0", "y0", "x1", "y1")] == [0.1, 0.2, 0.3, 0.4]
    assert first["is_occluded"] and first["is_group_of"] and first["is_difficult"] and not first["is_truncated"]
    assert second["is_truncated"] and not second["is_occluded"] and "is_difficult" not in second
    assert result.rejected == [("a.csv:4", "bad flag", "is_truncated is 'perhaps', not 0 or 1")]


def test_pixels_counted_from_one(tmp_path: Path, converted: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,100,50,cat,1,1,100,50\n")
    annotation = converted(read_flat_csv, path, coordinates="auto", first_pixel=1).points[0]["annotations"][0]
    assert [annotation[key] for key in ("x0", "y0", "x1", "y1")] == [0, 0, 1, 1]


def test_bad_rows_are_rejected_with_their_line(tmp_path: Path, converted: Any) -> None:
    rows = [
        "a.jpg,100,100,cat,10,10,50,50",
        "a.jpg,100,100,cat,50,10,10,50",
        "a.jpg,100,100,cat,10,10,10,50",
        "a.jpg,100,100,cat,10,10,500,50",
        "a.jpg,100,100,,10,10,50,50",
        "a.jpg,100,100,cat,,10,50,50",
        "a.jpg,100,100,cat,inf,10,50,50",
        "a.jpg,200,100,cat,10,10,50,50",
        "a.jpg,100,100,cat,10,10,50",
        "../../etc/passwd,100,100,cat,10,10,50,50",
        ",100,100,cat,10,10,50,50",
        "b.jpg,100,100,cat,10,10,50,50",
        "sub/b.jpg,100,100,cat,10,10,50,50",
        "a.jpg,100,100,cat,1_0,10,50,50",
        "a.jpg,100,100,cat,10,\u0661\u0660,50,50",
    ]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([",".join(LONG), *rows]), encoding="utf-8")
    result = converted(read_flat_csv, path, **AUTO)
    assert sorted((int(where.rpartition(":")[2]), reason) for where, reason, _ in result.rejected) == [
        (3, "reversed box"),
        (4, "box without area"),
        (5, "box outside the picture"),
        (6, "bad label"),
        (7, "not a number"),
        (8, "not a number"),
        (9, "two sizes of one picture"),
        (10, "wrong number of cells"),
        (11, "unsafe image name"),
        (12, "unsafe image name"),
        (15, "not a number"),
        (16, "not a number"),
    ]
    assert [len(point["annotations"]) for point in result.points] == [1, 1, 1]
    assert len({point["id"] for point in result.points}) == 3


def test_rows_of_an_image_need_not_be_together_and_gzip_is_read(tmp_path: Path, converted: Any) -> None:
    path = tmp_path / "a.csv.gz"
    rows = "filename,xmin,ymin,xmax,ymax,class\nb.jpg,0,0,1,1,x\na.jpg,0,0,1,1,x\nb.jpg,0,0,0.5,1,y\n"
    path.write_bytes(gzip.compress(rows.encode()))
    result = converted(read_flat_csv, path, **AUTO)
    assert [(point["id"], [a["label"] for a in point["annotations"]]) for point in result.points] == [
        ("b", ["x", "y"]),
        ("a", ["x"]),
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no column filename"),
        ("a/b.jpg,1,2,3,4,cat\n", "a file without a header needs one"),
        ("filename,x,y,w,h,class\n", "no column xmin, ymin, xmax, ymax"),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=word):
        read_flat_csv(path, coordinates="auto", first_pixel=0, reject=lambda *_: None)
