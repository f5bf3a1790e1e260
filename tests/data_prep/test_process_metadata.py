from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data_prep.formats.points import read_points
from data_prep.process_metadata import main
from tests.data_prep.conftest import IMAGE_COLUMNS, write_csv

ROOT = Path(__file__).parents[2]
STREET = ROOT.parent / "shared" / "samples" / "street"
GOOD_BOX = "img1,xclick,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0\n"


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_ledger(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def add_rows(path, *rows):
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{row}\n" for row in rows)


def test_points_are_typed_and_ordered_as_the_image_index(open_images_files, run):
    files = open_images_files
    outcome = run(main, *files.words())
    assert outcome.code == 0, outcome.error
    flags = {f"is_{name}": False for name in ("occluded", "truncated", "group_of", "depiction", "inside")}
    box = {"confidence": 1.0, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9, **flags}
    assert read_json(files.folder / "points.json") == [
        {
            "id": "img3",
            "annotations": [
                {**box, "label": "/m/07c52", "x0": 0.0, "x1": 1.0, "is_occluded": True, "is_inside": True},
                {**box, "label": "/m/03ssj5", "is_truncated": True, "is_group_of": True, "is_depiction": True},
            ],
        },
        {
            "id": "img1",
            "annotations": [
                {**box, "label": "/m/03ssj5", "is_truncated": True},
                {**box, "label": "/m/0dtln", "y0": 0.25, "is_truncated": True},
            ],
        },
    ]
    assert read_points(files.folder / "points.json") == read_json(files.folder / "points.json")
    assert read_json(files.folder / "images.json") == [
        {
            "id": "img3",
            "url": "http://localhost/img3.jpg",
            "subset": "train",
            "original_md5": "abc==",
            "original_size": 7,
            "rotation": 90,
        },
        {"id": "img1", "url": "http://localhost/img1.jpg", "subset": "train"},
    ]
    assert "boxes: 4 read, 4 kept, 0 of other classes, 0 rejected" in outcome.output
    assert "images: 3 in the index, 2 kept" in outcome.output
    assert "boxes a class: Bed 2, Television 1, Lamp 1" in outcome.output
    assert not (files.folder / "points.rejected.jsonl").exists()


@pytest.mark.parametrize("how", ["names", "mids", "file"])
def test_only_the_classes_asked_for_and_their_images_stay(open_images_files, run, how):
    files = open_images_files
    trainable = files.folder / "trainable.txt"
    trainable.write_text("Table\n/m/0dtln\n")
    classes = {
        "names": ("--classes", "Table", "lamp"),
        "mids": ("--classes", "/m/04bcr3", "/m/0dtln"),
        "file": ("--trainable_classes_path", trainable),
    }[how]
    outcome = run(main, *files.words(*classes))
    assert outcome.code == 0
    (point,) = read_points(files.folder / "points.json")
    assert (point["id"], [box["label"] for box in point["annotations"]]) == ("img1", ["/m/0dtln"])
    assert [image["id"] for image in read_json(files.folder / "images.json")] == ["img1"]
    assert "4 read, 1 kept, 3 of other classes" in outcome.output
    assert "classes without a box: Table" in outcome.output


def test_columns_are_found_by_name_and_files_without_flags_or_confidence_are_read(open_images_files, run):
    files = open_images_files
    files.boxes.write_text("YMax,YMin,XMax,XMin,LabelName,Note,ImageID\n0.9,0.2,0.6,0.1,/m/03ssj5,hello,img1\n")
    assert run(main, *files.words()).code == 0
    (point,) = read_points(files.folder / "points.json")
    (box,) = point["annotations"]
    assert (box["x0"], box["x1"], box["y0"], box["y1"], box["confidence"]) == (0.1, 0.6, 0.2, 0.9, 1.0)
    assert not any(value for key, value in box.items() if key.startswith("is_"))


def test_gzipped_csvs_give_the_same(open_images_files, run):
    files = open_images_files
    assert run(main, *files.words()).code == 0
    expected = [(files.folder / name).read_bytes() for name in ("points.json", "images.json")]
    for path in (files.boxes, files.index):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    zipped = (
        *("--annotations_input_path", f"{files.boxes}.gz", "--image_index_input_path", f"{files.index}.gz"),
        *("--point_output_path", files.folder / "p.json", "--image_index_output_path", files.folder / "i.json"),
    )
    assert run(main, *files.words(), *zipped).code == 0
    assert [(files.folder / name).read_bytes() for name in ("p.json", "i.json")] == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("img1,x,/m/03ssj5,1,abc,0.6,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,1,0_1,0.6,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,1,0.1,\u0660.\u0666,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,0_1,0.1,0.6,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,\uff11,0.1,0.6,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,1,nan,0.6,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,1,0.1,inf,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,1,0.1,,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,one,0.1,0.6,0.2,0.9,0,0,0,0,0", "not a number"),
        ("img1,x,/m/03ssj5,1,0.6,0.1,0.2,0.9,0,0,0,0,0", "reversed box"),
        ("img1,x,/m/03ssj5,1,0.1,0.6,0.9,0.2,0,0,0,0,0", "reversed box"),
        ("img1,x,/m/03ssj5,1,0.1,0.1,0.2,0.9,0,0,0,0,0", "box without area"),
        ("img1,x,/m/03ssj5,1,1.0000001,1.0000009,0.2,0.9,0,0,0,0,0", "box without area"),
        ("img1,x,/m/03ssj5,1,-0.1,0.6,0.2,0.9,0,0,0,0,0", "outside 0..1"),
        ("img1,x,/m/03ssj5,1,0.1,0.6,0.2,480,0,0,0,0,0", "outside 0..1"),
        ("img1,x,/m/03ssj5,2,0.1,0.6,0.2,0.9,0,0,0,0,0", "outside 0..1"),
        ("img1,x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,maybe,0,0", "bad flag"),
        ("img1,x,,1,0.1,0.6,0.2,0.9,0,0,0,0,0", "bad label"),
        ("../../etc/passwd,x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0", "unsafe image id"),
        (",x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0", "empty image id"),
        ("img1,x,/m/0none,1,0.1,0.6,0.2,0.9,0,0,0,0,0", "unknown label"),
        ("img\0,x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0", "unsafe image id"),
        ("img1,x,/m/03ssj5,1", "wrong number of cells"),
        ('"img1"x,x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0', "not CSV"),
        ("img1,x," + "y" * 200_000 + ",1,0.1,0.6,0.2,0.9,0,0,0,0,0", "not CSV"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_left_out_and_named(open_images_files, run, row, reason):
    files = open_images_files
    add_rows(files.boxes, row, GOOD_BOX.strip())
    outcome = run(main, *files.words("--max_failures", 1))
    assert outcome.code == 0
    assert "boxes: 6 read, 5 kept, 0 of other classes, 1 rejected" in outcome.output
    (entry,) = read_ledger(files.folder / "points.rejected.jsonl")
    assert (entry["item"], entry["reason"]) == ("train-annotations-bbox.csv:6", reason)
    assert entry["detail"]
    assert f"1 rejected (1 {reason}" in outcome.output
    boxes = [box for point in read_points(files.folder / "points.json") for box in point["annotations"]]
    assert len(boxes) == 5


def test_a_hair_outside_the_image_is_cut_off(open_images_files, run):
    files = open_images_files
    add_rows(files.boxes, "img1,x,/m/03ssj5,1,-0.0000005,1.0000005,0,1,0,0,0,0,0")
    assert run(main, *files.words()).code == 0
    box = read_points(files.folder / "points.json")[-1]["annotations"][-1]
    assert (box["x0"], box["x1"]) == (0.0, 1.0)


def test_images_that_the_index_lacks_are_left_out_and_named(open_images_files, run):
    files = open_images_files
    add_rows(files.boxes, *(GOOD_BOX.replace("img1", name).strip() for name in ("lost", "lost", "short")))
    add_rows(files.index, "short,train,http://x", "img1,train,http://y,,,,,,,,,")
    outcome = run(main, *files.words("--ledger_path", files.folder / "ledger.jsonl", "--max_failures", 4))
    assert outcome.code == 0
    assert "boxes: 7 read, 4 kept, 0 of other classes, 0 rejected, 3 whose image is not in the index" in outcome.output
    assert "images: 5 in the index (1 rows that cannot be read), 2 kept" in outcome.output
    entries = {
        entry["item"]: (entry["reason"], entry["detail"]) for entry in read_ledger(files.folder / "ledger.jsonl")
    }
    assert entries == {
        "train-images.csv:5": ("wrong number of cells", "3 cells, the header has 12"),
        "train-images.csv:6": ("image listed twice", "image img1"),
        "lost": ("image not in the index", "2 boxes"),
        "short": ("image not in the index", "1 box"),
    }
    assert [image["url"] for image in read_json(files.folder / "images.json")][-1] == "http://localhost/img1.jpg"


# Each with what images.json then holds of it, and the column that is counted as left out.
ODD_CELLS = [
    ({"Rotation": "nan"}, {}, None),
    ({"Rotation": ""}, {}, None),
    ({"Rotation": "180"}, {"rotation": 180}, None),
    ({"Rotation": "12.5"}, {}, "1 Rotation (such as '12.5', line 5)"),
    ({"Rotation": "a\x1b[2J"}, {}, "1 Rotation (such as 'a\\x1b[2J', line 5)"),
    ({"OriginalSize": "196370.0"}, {"original_size": 196370}, None),
    ({"OriginalSize": "nan"}, {}, None),
    ({"OriginalSize": "big"}, {}, "1 OriginalSize (such as 'big', line 5)"),
    ({"OriginalSize": "-5"}, {}, "1 OriginalSize (such as '-5', line 5)"),
    ({"OriginalSize": "0_1"}, {}, "1 OriginalSize (such as '0_1', line 5)"),
    ({"OriginalSize": "\u0661\u0662"}, {}, "1 OriginalSize (such as '\u0661\u0662', line 5)"),
    ({"OriginalSize": "9" * 19}, {}, f"1 OriginalSize (such as '{'9' * 19}', line 5)"),
    ({"OriginalMD5": "nan", "License": "", "Author": "nan"}, {"author": "nan"}, None),
    ({"OriginalURL": ""}, {"url": None}, None),
    ({"OriginalURL": "nan"}, {"url": None}, None),
    ({"OriginalURL": "http://x/" + "y" * 9000}, {"url": None}, "1 OriginalURL (such as 'http://x/yyy"),
    ({"OriginalURL": "http://u:secret@x/" + "y" * 9000}, {"url": None}, "1 OriginalURL (such as 'http://***@x/yyy"),
]


@pytest.mark.parametrize(("cells", "expected", "left_out"), ODD_CELLS)
def test_an_odd_cell_of_the_index_costs_no_image_and_no_box(open_images_files, run, cells, expected, left_out):
    files = open_images_files
    add_rows(files.boxes, GOOD_BOX.replace("img1", "odd").strip())
    row = {"ImageID": "odd", "Subset": "train", "OriginalURL": "http://localhost/odd.jpg"} | cells
    add_rows(files.index, ",".join(row.get(column, "") for column in IMAGE_COLUMNS))
    outcome = run(main, *files.words())
    assert outcome.code == 0
    assert "boxes: 5 read, 5 kept, 0 of other classes, 0 rejected, 0 whose image is not in the index" in outcome.output
    assert not (files.folder / "points.rejected.jsonl").exists()
    wanted = {"id": "odd", "url": "http://localhost/odd.jpg", "subset": "train"} | expected
    entry = read_json(files.folder / "images.json")[-1]
    assert entry == {key: value for key, value in wanted.items() if value is not None}
    if left_out is None:
        assert "left out" not in outcome.output
    else:
        assert f"cells of the index left out, their images kept: {left_out}" in outcome.output
    assert ("images without a URL: 1; " in outcome.output) == ("url" in expected)


def test_an_index_as_pandas_writes_it_keeps_every_box(open_images_files, run):
    files = open_images_files
    rows = [
        {"ImageID": name, "Subset": "train", "OriginalSize": "196370.0", "Rotation": "nan"}
        for name in ("img3", "img2", "img1")
    ]
    write_csv(files.index, IMAGE_COLUMNS, rows)
    outcome = run(main, *files.words())
    assert outcome.code == 0
    assert "boxes: 4 read, 4 kept" in outcome.output
    assert "images without a URL: 2; download_images needs --base_url" in outcome.output
    assert read_json(files.folder / "images.json") == [
        {"id": name, "subset": "train", "original_size": 196370} for name in ("img3", "img1")
    ]


def test_too_many_rejects_exit_with_3_and_the_rest_is_written(open_images_files, run):
    files = open_images_files
    add_rows(files.boxes, GOOD_BOX.replace("0.1", "x").strip(), GOOD_BOX.replace("0.1", "y").strip())
    assert run(main, *files.words("--max_failures", 2)).code == 0
    (files.folder / "points.json").unlink()
    assert run(main, *files.words("--max_failures", 1)).code == 3
    assert len(read_points(files.folder / "points.json")) == 2


def test_losing_most_of_a_small_set_does_not_end_with_0(open_images_files, run):
    files = open_images_files
    lines = files.boxes.read_text().splitlines()
    more = [lines[1].replace("img1", f"lost{number % 2}") for number in range(900)]
    files.boxes.write_text("\n".join([*lines, *more]) + "\n")
    outcome = run(main, *files.words())
    assert outcome.code == 3
    assert "900 whose image is not in the index" in outcome.output
    assert "900 of 904 boxes were lost: more than --max_failures (1% or 1000, whichever is smaller)" in outcome.error


def test_one_bad_row_in_a_hundred_is_allowed(open_images_files, run):
    files = open_images_files
    add_rows(files.boxes, *[GOOD_BOX.strip()] * 95, GOOD_BOX.replace("0.1", "x").strip())  # with four: 100
    assert run(main, *files.words()).code == 0
    add_rows(files.boxes, GOOD_BOX.replace("0.1", "x").strip())
    assert run(main, *files.words()).code == 3


def test_a_share_is_of_the_boxes_and_of_the_images(open_images_files, run):
    files = open_images_files
    add_rows(files.boxes, *(GOOD_BOX.replace("img1", "lost").strip() for _ in range(4)))  # half of all
    assert run(main, *files.words("--max_failures", "50%")).code == 0
    outcome = run(main, *files.words("--max_failures", "49%"))
    assert outcome.code == 3
    assert outcome.output.startswith("nothing to do: ")
    assert outcome.error == "4 of 8 boxes were lost: more than --max_failures (49%)\n"
    files.boxes.write_text("".join(files.boxes.read_text().splitlines(keepends=True)[:6]))
    outcome = run(main, *files.words("--max_failures", "30%"))
    assert (outcome.code, outcome.error) == (3, "1 of 3 images were lost: more than --max_failures (30%)\n")


def test_names_in_the_index_that_are_not_utf8_do_no_harm(open_images_files, run):
    files = open_images_files
    lines = files.index.read_bytes().replace(
        b"train,http://localhost/img1.jpg,,,,", b"train,http://localhost/i,,,,Andr\xe9"
    )
    files.index.write_bytes(lines)
    assert run(main, *files.words()).code == 0
    assert [image["id"] for image in read_json(files.folder / "images.json")] == ["img3", "img1"]


@pytest.mark.parametrize(
    ("which", "content", "code", "message"),
    [
        (
            "boxes",
            b"ImageID,LabelName,XMin,XMax,YMin\n",
            2,
            "no column YMax; the columns of its first line are: Image",
        ),
        (
            "index",
            b"ImageID,Subset\nimg1,train\n",
            2,
            "no column OriginalURL; the columns of its first line",
        ),
        ("boxes", b"", 2, "the file is empty"),
        ("index", b"", 2, "the file is empty"),
        ("boxes", b"ImageID,LabelName,XMin,XMax,YMin,YMax\n", 1, "no boxes in it"),
        (
            "boxes",
            b"ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/07c52,1,0,0,1\n",
            1,
            "none of its 1 boxes is left: 1 rejected (1 rev",
        ),
        ("index", b"ImageID,OriginalURL\nother,http://x\n", 1, "none of the 2 images with boxes, such as img1"),
        ("index", b"ImageID,OriginalURL\n", 1, "none of the 2 images with boxes, such as img1"),
        ("boxes", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 1, "damaged"),
    ],
)
def test_files_that_cannot_be_used_leave_the_earlier_outputs(open_images_files, run, which, content, code, message):
    files = open_images_files
    assert run(main, *files.words()).code == 0
    before = [(files.folder / name).read_bytes() for name in ("points.json", "images.json")]
    path = getattr(files, which)
    path.write_bytes(content)
    outcome = run(main, *files.words())
    assert outcome.code == code
    assert message in outcome.error
    assert str(path) in outcome.error
    assert outcome.error.count("\n") == 1
    assert [(files.folder / name).read_bytes() for name in ("points.json", "images.json")] == before
    assert not list(files.folder.glob(".partial-*"))


def test_nothing_left_after_filtering_says_what_there_is(open_images_files, run):
    files = open_images_files
    outcome = run(main, *files.words("--classes", "Wall clock", "Table"))
    assert outcome.code == 1
    assert "none of its 4 boxes is left: 4 are of other classes than Wall clock, Table: Bed 2" in outcome.error
    assert not (files.folder / "points.json").exists()


def test_a_misspelt_class_suggests_the_nearest(open_images_files, run):
    files = open_images_files
    outcome = run(main, *files.words("--classes", "Bed", "Televison"))
    assert outcome.code == 2
    assert "class 'Televison' is not in the class descriptions; did you mean 'Television' (/m/07c52)" in outcome.error


def test_without_descriptions_classes_are_the_labels_of_the_csv(open_images_files, run):
    files = open_images_files
    files.boxes.write_text(files.boxes.read_text().replace("/m/03ssj5", "sofa"))
    bare = files.words()[:8]
    assert run(main, *bare, "--classes", "sofa", "/m/0wanted").code == 0
    outcome = run(main, *bare, "--classes", "sofas")
    assert outcome.code == 2
    assert "has the label 'sofas'; did you mean 'sofa'?" in outcome.error
    assert "--class_description_path" in outcome.error


def test_one_file_under_two_flags_is_refused_before_anything_is_read(open_images_files, run):
    files = open_images_files
    before = files.boxes.read_bytes()
    outcome = run(main, *files.words("--point_output_path", files.folder / "." / files.boxes.name))
    assert outcome.code == 2
    assert "--annotations_input_path and --point_output_path are the same file" in outcome.error
    outcome = run(main, *files.words("--image_index_output_path", files.folder / "points.json"))
    assert outcome.code == 2
    assert files.boxes.read_bytes() == before
    assert not (files.folder / "points.json").exists()


def test_as_a_process_from_the_repositorys_root(open_images_files):
    files = open_images_files
    add_rows(files.boxes, "x/y,x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0")
    command = [sys.executable, "-m", "data_prep.process_metadata", *map(str, files.words("--max-failures", "0"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    assert done.returncode == 3, done.stderr
    assert "5 read, 4 kept" in done.stdout
    assert len(read_points(files.folder / "points.json")) == 2


@pytest.mark.skipif(not STREET.exists(), reason="no ../shared/samples/street: photographs")
def test_real_files_lose_nothing(tmp_path, run):
    points, images = tmp_path / "points.json", tmp_path / "images.json"
    outcome = run(
        main,
        *("--annotations_input_path", STREET / "train-annotations-bbox.csv"),
        *("--image_index_input_path", STREET / "train-images.csv"),
        *("--point_output_path", points, "--image_index_output_path", images),
    )
    assert outcome.code == 0
    with (STREET / "train-annotations-bbox.csv").open(newline="") as file:
        rows = Counter((row["ImageID"], row["LabelName"], float(row["XMin"])) for row in csv.DictReader(file))
    read = Counter(
        (point["id"], box["label"], box["x0"]) for point in read_points(points) for box in point["annotations"]
    )
    assert read == rows
    assert [image["id"] for image in read_json(images)] == [point["id"] for point in read_points(points)]
