"""The CSV of many tutorials, written here by a writer of its own."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_prep.annotations.conversion_options import Options
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

    assert remark(0.1, 0.9, 1.0).startswith("coordinates: relative (shares of the image), for 3 of 3 boxes")
    assert remark(10, 400, 3).startswith("coordinates: pixel, for 0 of 3 boxes")
    assert remark(*[0.5] * 19, 640).startswith("coordinates: relative")  # one bad row among many
    assert remark(*[99] * 19, 1).startswith("coordinates: pixel")
    assert remark("x", "nan", 0.5).startswith("coordinates: relative (shares of the image), for 1 of 1")
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
        (5, "box outside the image"),
        (6, "bad label"),
        (7, "not a number"),
        (8, "not a number"),
        (9, "two sizes of one image"),
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
        ("", "no column file, class"),
        ("a/b.jpg,cat,1,2,3,4\n", "a file without a header needs one"),
        ("a/b,1,2,3,4,cat\n", "a file without a header needs one"),
        ("filename,x,y,w,h,class\n", "no column xmin, ymin, xmax, ymax .*--xmin_column says which is the xmin"),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=word):
        read_flat_csv(path, coordinates="auto", first_pixel=0, reject=lambda *_: None)


def points_of(path: Path, text: str | bytes, converted: Any, **more: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Returns label, x0, y0, x1, y1 of the boxes of each image of a CSV, in which nothing may be rejected."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = converted(read_flat_csv, path, **(AUTO | more))
    assert result.rejected == []
    edges = ("x0", "y0", "x1", "y1")
    return {
        point["id"]: [(box["label"], *(round(box[edge], 9) for edge in edges)) for box in point["annotations"]]
        for point in result.points
    }


CAT = {"a": [("cat", 0.1, 0.2, 0.3, 0.4)]}


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffilename;class;xmin;ymin;xmax;ymax\r\na.jpg;cat;0,1;0,2;0,3;0,4\r\n;;;;;\r\n",  # Excel, by commas
        '\ufefffilename;class;xmin;ymin;xmax;ymax\r\n"a.jpg";"cat";0.1;0.2;0.3;0.4\r\n',
        "filename\twidth\theight\tclass\txmin\tymin\txmax\tymax\na.jpg\t100\t100\tcat\t10,0\t20\t30\t40\n",
        "Unnamed: 0,Image Path,filename,class,xmin,ymin,xmax,ymax\n0,x,a.jpg,cat,0.1,0.2,0.3,0.4\n",  # pandas
        ",filename,width,height,class,xmin,ymin,xmax,ymax\n0,a.jpg,100.0,100.0,cat,10.0,20.0,30.0,40.0\n",
        "picture,class_id,name,score,xmin,ymin,xmax,ymax\na.jpg,17,cat,1,0.1,0.2,0.3,0.4\n",  # an earlier version
        "Image_Name,Label_Name,left,top,right,bottom\na.jpg,cat,.1,.2,.3,.4\n",
        'path,"x;y",x1,y1,x2,y2,label\na.jpg,9,.1,.2,.3,.4,cat\n',
    ],
)
def test_what_spreadsheets_pandas_and_tools_write(tmp_path: Path, converted: Any, text: str) -> None:
    assert points_of(tmp_path / "a.csv", text, converted) == CAT


def test_what_predict_folder_writes(tmp_path: Path, converted: Any) -> None:
    from serving.folders.tables import DETECTION_COLUMNS

    path = tmp_path / "detections.csv"
    path.write_text(
        ",".join(DETECTION_COLUMNS) + "\na.jpg,1,cat,0.75,0.1,0.2,0.3,0.4\na.jpg,1,cat,85%,0.1,0.2,0.3,0.4\n"
    )
    result = converted(read_flat_csv, path, **AUTO)
    assert [box["confidence"] for box in result.points[0]["annotations"]] == [0.75, 1.0]
    source = read_flat_csv(path, reject=lambda *_: None, **AUTO)
    assert [len(image.boxes) for image in source.images] == [2]
    assert source.remarks[-1] == "1 cells of column 'score' are no confidence from 0 to 1; their boxes have none"


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        ("photo,kind,l,t,r,b", "a.jpg,cat,.1,.2,.3,.4",
         {"file": "Photo", "class": "kind", "xmin": "l", "ymin": "t", "xmax": "r", "ymax": " b "}),
        ("filename,class,cx,cy,w,h", "a.jpg,cat,.2,.3,.2,.2",
         {"x_center": "cx", "y_center": "cy", "box_width": "w", "box_height": "h"}),
        ("filename,class,x,y,width,height", "a.jpg,cat,.1,.2,.2,.2",
         {"xmin": "x", "ymin": "y", "box_width": "width", "box_height": "height"}),
        ("filename,id,label,x0,x1,y0,y1", "a.jpg,cat,3,.1,.3,.2,.4", {"class": "id"}),
        ("filename,W,H,class,xmin,ymin,xmax,ymax", "a.jpg,100,200,cat,10,40,30,80", {"width": "W", "height": "H"}),
    ],
)  # fmt: skip
def test_columns_that_are_asked_for(
    tmp_path: Path, converted: Any, header: str, row: str, columns: dict[str, str]
) -> None:
    assert points_of(tmp_path / "a.csv", f"{header}\n{row}\n", converted, columns=columns) == CAT


def test_all_flags_of_open_images_are_kept(tmp_path: Path, converted: Any) -> None:
    flags = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
    path = tmp_path / "boxes.csv"
    rows = [f"a,/m/x,1,.1,.3,.2,.4,{','.join('1.0' if n == m else '-1' for m in range(5))}\n" for n in range(5)]
    path.write_text(f"ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,{','.join(flags)}\n{''.join(rows)}")
    boxes = converted(read_flat_csv, path, **AUTO).points[0]["annotations"]
    keys = ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside")
    assert [[box[key] for key in keys] for box in boxes] == [[n == m for m in range(5)] for n in range(5)]


def test_a_column_that_is_asked_for_is_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("filename,width,class,xmin,ymin,xmax,ymax\na.jpg,90,cat,1,2,3,4\n")
    source = read_flat_csv(
        path, columns={"height": "width"}, coordinates="pixel", first_pixel=0, reject=lambda *_: None
    )
    assert [(image.width, image.height) for image in source.images] == [(None, 90)]


def test_a_second_column_that_might_be_meant_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("filename,class,class_name,xmin,ymin,xmax,ymax\na.jpg,3,cat,.1,.2,.3,.4\n")
    source = read_flat_csv(path, reject=lambda *_: None, **AUTO)
    assert source.remarks[0] == (
        "the class is in column 'class', though there is 'class_name' as well; --class_column says otherwise"
    )
    source = read_flat_csv(path, columns={"class": "class_name"}, reject=lambda *_: None, **AUTO)
    assert [box.label for image in source.images for box in image.boxes] == ["cat"] and len(source.remarks) == 1


def test_a_file_without_a_header_and_images_without_objects(tmp_path: Path, converted: Any) -> None:
    rows = "a.jpg,.1,.2,.3,.4,cat\nb.PNG,,,,,\n"
    expected = CAT | {"b": []}
    path = tmp_path / "a.csv"
    assert points_of(path, rows, converted) == expected  # told by itself
    assert points_of(path, "b.PNG,,,,,\na.jpg,.1,.2,.3,.4,cat\n", converted) == expected
    assert points_of(path, rows.replace(".jpg", ""), converted, without_header=True) == expected
    source = read_flat_csv(path, without_header=True, reject=lambda *_: None, **AUTO)
    assert source.remarks[0] == "no header: its columns are taken as file, xmin, ymin, xmax, ymax, class"
    nothing = "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,.1,.2,.3,.4\nb.jpg,nan,NaN,nan,,<NA>\n"
    assert points_of(path, nothing, converted) == expected
    path.write_text("a.jpg,.1,.2,.3,x,cat\na.jpg,.1,.2,.3,.4,cat\na.jpg,.1\n")
    result = converted(read_flat_csv, path, without_header=True, **AUTO)
    assert sorted(result.rejected) == [
        ("a.csv:1", "not a number", "ymax is 'x'"),
        ("a.csv:3", "wrong number of cells", "2 cells, the header has 6"),
    ]


@pytest.mark.parametrize(
    ("text", "more", "word"),
    [
        (
            "filename,class,a,b,c,d\n",
            {"columns": {"xmin": "q"}},
            r"no column 'q' \(--xmin_column\); its first line has",
        ),
        (",".join(LONG) + "\n", {"columns": {"width": "q"}}, r"no column 'q' \(--width_column\)"),
        (",".join(LONG) + "\n", {"columns": {"class": "filename"}}, "no column file"),
        (",".join(LONG) + "\n", {"columns": {"xmin": "ymin", "ymin": "ymin"}}, "'ymin' is asked for as two things"),
        ("a.jpg,1,2,3\n", {"without_header": True}, "without a header its lines must be .*; the first has 4 cells"),
        (",".join(LONG) + "\n", {"without_header": True, "columns": {"class": "a"}}, "--class_column names a column"),
    ],
)
def test_columns_that_are_not_there_are_refused(tmp_path: Path, text: str, more: dict[str, Any], word: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=word) as refused:
        read_flat_csv(path, reject=lambda *_: None, **AUTO, **more)
    assert "\n" not in str(refused.value)


def test_a_long_line_an_open_quote_and_bad_decimals_cost_their_row_alone(tmp_path: Path, converted: Any) -> None:
    path = tmp_path / "a.csv"
    good = "a.jpg;cat;0,1;0,2;0,3;0,4"
    bad = [
        '"a.jpg;cat;0;0;1;1',
        f"a.jpg;{'c' * 2_000_000};0;0;1;1",
        "a.jpg;cat;1.000,5;0,2;0,3;0,4",
        "a.jpg;cat;0;0,1,2;1;1",
    ]
    path.write_text("\n".join(["filename;class;xmin;ymin;xmax;ymax", good, *bad, good]) + "\n")
    result = converted(read_flat_csv, path, **AUTO)
    assert [(where, reason) for where, reason, _ in result.rejected] == [
        ("a.csv:3", "not CSV"),
        ("a.csv:4", "line too long"),
        ("a.csv:5", "not a number"),
        ("a.csv:6", "not a number"),
    ]
    assert result.summary.kept_by_label == {"cat": 2}


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        read_flat_csv(tmp_path / "pipe", reject=lambda *_: None, **AUTO)
