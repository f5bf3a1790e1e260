"""python -m data_prep.prepare_dataset: from annotations of one's own to records and a config, in one command.

That the config trains, tests/docs/test_notebooks.py shows.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from data_prep.formats.points import read_points
from data_prep.prepare_dataset import main
from data_prep.records.manifest import read_manifest
from data_prep.runtime.command_line import UsageError

ROOT = Path(__file__).resolve().parents[2]
RECIPE = str(ROOT / "configs" / "ssd_efficientnet-lite0_fpn_320.config")
CLASSES = ("cup", "plate")
SIDE = 96


@dataclass(frozen=True)
class Annotated:
    """An image, and its box: xmin, ymin, xmax, ymax in pixels."""

    name: str
    label: str
    box: tuple[int, int, int, int]


def draw(folder: Path, count: int, *, seed: int = 0) -> list[Annotated]:
    """Draws images that no hash takes for one another."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(seed)
    made = []
    for number in range(count):
        pixels = chance.integers(0, 256, (6, 6, 3), np.uint8)
        image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        left, top = (int(value) for value in chance.integers(0, SIDE // 2, 2))
        made.append(Annotated(f"{number:04d}.jpg", CLASSES[number % 2], (left, top, left + 30, top + 40)))
        image.save(folder / made[-1].name, quality=95)
    return made


def write_coco(path: Path, images: list[Annotated]) -> None:
    path.write_text(
        json.dumps(
            {
                "images": [
                    {"id": number, "file_name": one.name, "width": SIDE, "height": SIDE}
                    for number, one in enumerate(images)
                ],
                "annotations": [
                    {
                        "id": number, "image_id": number, "category_id": CLASSES.index(one.label) + 1, "iscrowd": 0,
                        "bbox": [one.box[0], one.box[1], one.box[2] - one.box[0], one.box[3] - one.box[1]],
                    }
                    for number, one in enumerate(images)
                ],
                "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
            }
        )
    )  # fmt: skip


def write_pascal_voc(folder: Path, images: list[Annotated]) -> None:
    folder.mkdir()
    for one in images:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = one.name
        size = ElementTree.SubElement(root, "size")
        found = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(found, "name").text = one.label
        box = ElementTree.SubElement(found, "bndbox")
        for parent, name, value in (
            (size, "width", SIDE), (size, "height", SIDE),
            *((box, name, value) for name, value in zip(("xmin", "ymin", "xmax", "ymax"), one.box, strict=True)),
        ):  # fmt: skip
            ElementTree.SubElement(parent, name).text = str(value)
        ElementTree.ElementTree(root).write((folder / one.name).with_suffix(".xml"))


def write_yolo(folder: Path, images: list[Annotated]) -> None:
    folder.mkdir()
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    for one in images:
        xmin, ymin, xmax, ymax = (edge / SIDE for edge in one.box)
        cells = ((xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin)
        (folder / one.name).with_suffix(".txt").write_text(f"{CLASSES.index(one.label)} {' '.join(map(repr, cells))}\n")


def write_csv(path: Path, images: list[Annotated]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
        writer.writerows([one.name, SIDE, SIDE, one.label, *one.box] for one in images)


WRITERS = {"coco": write_coco, "pascal_voc": write_pascal_voc, "yolo": write_yolo, "csv": write_csv}


def words(annotations_format: str = "coco", *more: str) -> list[str]:
    return [
        *("--format", annotations_format, "--annotations_path", annotations_format, "--image_directory", "photos"),
        *("--output_directory", "data", "--num_shards", "2", "--recipe", RECIPE, *more),
    ]


def states(folder: Path) -> dict[str, int]:
    """The times of all that the steps leave, but for the points of sound images, which are written each time."""
    return {
        path.name: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.suffix in (".json", ".pbtxt", ".config", ".jpg") or ".record-" in path.name
        if path.name != "all.clean.json"
    }


def digests(folder: Path) -> dict[str, str]:
    found = {path for pattern in ("*.record-*", "*.pbtxt", "*.config") for path in folder.glob(pattern)}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with forty annotated images in every format, and what the command makes of COCO's."""
    folder = tmp_path_factory.mktemp("own")
    images = draw(folder / "photos", 40)
    for name, write in WRITERS.items():
        write(folder / name, images)
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.prepare_dataset", *words()],
        cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (folder / "output.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy without what was made, and the place from which a test runs."""
    for name in ("photos", *WRITERS):
        copy = shutil.copytree if (finished / name).is_dir() else shutil.copy2
        copy(finished / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_said_and_made(finished: Path) -> None:
    output = (finished / "output.txt").read_text()
    assert re.findall(r"== step (\d) of 9: (.*)\npython -m (\S+)", output) == [
        ("1", "the recipe checked", "configs.check"),
        ("2", "all annotations: boxes and classes", "data_prep.import_annotations"),
        ("3", "all annotations: images", "data_prep.validate_images"),
        ("4", "train and validation parted", "data_prep.split_points"),
        ("5", "train: records", "data_prep.make_tfrecords"),
        ("6", "train: records verified", "data_prep.verify_tfrecords"),
        ("7", "validation: records", "data_prep.make_tfrecords"),
        ("8", "validation: records verified", "data_prep.verify_tfrecords"),
        ("9", "the pipeline config", "configs.fill"),
    ]
    end = output[output.index("== done") :].splitlines()
    assert end[-3:] == [
        "train: 32 images with 32 boxes",
        "validation: 8 images with 8 boxes",
        "next: python -m train.train --pipeline_config_path data/pipeline.config --model_dir data/model",
    ]
    checked = subprocess.run(
        [sys.executable, "-m", "configs.check", "data/pipeline.config"],
        cwd=finished, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert checked.stdout == "data/pipeline.config: can be used\n"


@pytest.mark.parametrize("annotations_format", [name for name in WRITERS if name != "coco"])
def test_other_formats_give_the_same_boxes(finished: Path, folder: Path, annotations_format: str) -> None:
    assert main(words(annotations_format)) == 0
    for split in ("train", "validation"):
        points = [
            {
                point["id"]: [(box["label"], box["x0"], box["y0"]) for box in point["annotations"]]
                for point in read_points(path)
            }
            for path in (finished / f"data/split/{split}/points.json", folder / f"data/split/{split}/points.json")
        ]
        assert points[0].keys() == points[1].keys()
        for image_id, boxes in points[0].items():
            (label, *corner), (other, *near) = boxes[0], points[1][image_id][0]
            assert label == other
            assert corner == pytest.approx(near, abs=1e-6)
    assert (folder / "data/pipeline.config").read_bytes() == (finished / "data/pipeline.config").read_bytes()


def test_run_again_it_does_nothing_and_with_one_more_image_only_what_is_new(
    finished: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished / "data", folder / "data", symlinks=True)
    shutil.rmtree(folder / "data" / "linked")  # its links lead elsewhere
    assert main(words()) == 0
    before = states(folder / "data")
    capfd.readouterr()
    assert main(words()) == 0
    assert states(folder / "data") == before
    output = capfd.readouterr().out
    assert output.count("nothing to do: ") == 7
    assert "nothing had to be decoded" in output

    images = draw(folder / "more", 41)
    shutil.copy(folder / "more" / images[-1].name, folder / "photos")
    write_coco(folder / "coco", images)
    (folder / "data" / "test.record.manifest.json").write_text("of an earlier split")
    assert main(words()) == 0
    output = capfd.readouterr().out
    before = {name: time for name, time in before.items() if name.endswith(".jpg")}
    assert before.items() < states(folder / "data").items()
    assert "note: data/test.record.manifest.json and its records are an earlier run's" in output
    assert sum(_num_images(folder, split) for split in ("train", "validation")) == 41


def _num_images(folder: Path, split: str) -> int:
    manifest = read_manifest(folder / "data" / f"{split}.record.manifest.json")
    assert manifest is not None
    return manifest.total().num_images


def test_killed_again_and_again_it_makes_the_same_in_the_end(finished: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "data_prep.prepare_dataset", *words()]
    for step in (2, 3, 4, 5, 7):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"== step {step} of 9"):
                break
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert main(words()) == 0
    assert digests(folder / "data") == digests(finished / "data")
    assert len(digests(folder / "data")) == 6
    assert not [path for path in (folder / "data").rglob(".partial-*") if path.is_file()]


def test_each_step_can_be_run_alone(finished: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words("coco", "--dry_run")) == 0
    assert not (folder / "data").exists()
    script = capsys.readouterr().out.replace("python -m", f"{sys.executable} -m")
    assert script.count("# ") == 9
    subprocess.run(["bash", "-e", "-c", script], env={"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    assert digests(folder / "data") == digests(finished / "data")


def test_without_a_recipe_it_is_the_one_for_cpus_and_images_are_made_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word for word in words("coco", "--dry_run") if word not in ("--recipe", RECIPE)]) == 0
    output = capsys.readouterr().out
    assert f"--recipe {RECIPE}" in output
    assert "--max_dimension 640" in output  # twice the 320 of the network


def test_splits_that_lie_in_one_place_are_taken_apart(folder: Path) -> None:
    images = [
        Annotated(name, label, (int(xmin), int(ymin), int(xmax), int(ymax)))
        for name, _, _, label, xmin, ymin, xmax, ymax in list(csv.reader((folder / "csv").open()))[1:]
    ]
    (folder / "set" / "labels").mkdir(parents=True)
    for split, part in (("train", images[:30]), ("val", images[30:])):
        (folder / "set" / "images" / split).mkdir(parents=True)
        write_yolo(folder / "set" / "labels" / split, part)
        for one in part:
            shutil.copy(folder / "photos" / one.name, folder / "set" / "images" / split)
    (folder / "set" / "data.yaml").write_text(
        f"path: .\ntrain: images/train\nval: images/val\nnames: {list(CLASSES)}\n"
    )
    more = (
        "--format yolo --annotations_path set/data.yaml --splits train --validation_splits val --output_directory data"
    )
    assert main([*more.split(), "--num_shards", "2"]) == 0
    assert (_num_images(folder, "train"), _num_images(folder, "validation")) == (30, 10)


def copies(folder: Path, names: Iterator[str] | list[str], into: Path, prefix: str) -> list[str]:
    """Puts smaller copies of images, of another quality, into a folder."""
    made = []
    for name in names:
        with Image.open(folder / name) as image:
            image.resize((SIDE - 16, SIDE - 16)).save(into / f"{prefix}{name}", quality=70)
        made.append(f"{prefix}{name}")
    return made


def test_near_duplicates_lie_on_one_side(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = (folder / "csv").read_text().splitlines()
    names = [row.partition(",")[0] for row in rows[1:21]]
    copies(folder / "photos", names, folder / "photos", "copy-")
    (folder / "csv").write_text(
        "\n".join([*rows, *(f"copy-{row}".replace(f",{SIDE},{SIDE},", ",80,80,") for row in rows[1:21])])
    )
    assert main(words("csv", "--validation_fraction", "0.3")) == 0
    assert "20 of several images (40 in all)" in capfd.readouterr().out
    sides = [
        {point["id"] for point in read_points(path)} for path in sorted((folder / "data/split").glob("*/points.json"))
    ]
    assert sum(map(len, sides)) == 60
    for name in names:
        pair = {Path(name).stem, f"copy-{Path(name).stem}"}
        assert any(pair <= side for side in sides), pair


def test_a_validation_set_of_its_own_loses_nothing_and_train_the_copies(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "val").mkdir()
    held_out = draw(folder / "val_photos", 6, seed=1)  # of the same names as others in photos
    write_coco(folder / "val" / "a.json", held_out)
    (folder / "leaked").mkdir()
    leaked = copies(folder / "photos", ["0000.jpg", "0001.jpg"], folder / "leaked", "leaked-")
    write_csv(folder / "val" / "b.csv", [Annotated(name, "cup", (1, 2, 30, 40)) for name in leaked])
    more = ["--validation_annotations_path", "val/a.json", "--validation_image_directory", "val_photos"]
    assert main(words("coco", *more)) == 0
    assert (_num_images(folder, "train"), _num_images(folder, "validation")) == (40, 6)
    shutil.copy(folder / "leaked" / leaked[0], folder / "val_photos" / "0005.jpg")
    assert main(words("coco", *more)) == 0
    assert (_num_images(folder, "train"), _num_images(folder, "validation")) == (39, 6)
    output = capfd.readouterr().out
    assert "left out by find_duplicates: 1 also in validation; data/duplicates.jsonl names each" in output
    assert main(words("coco", *more, "--keep_near_duplicates", "--dry_run")) == 0
    output = capfd.readouterr().out
    assert "find_duplicates" not in output
    assert "--datapoints_input_path data/train.clean.json --image_directory data/images/train" in output.replace(
        "\\\n    ", ""
    )


def test_rejected_boxes_end_it_with_3_until_they_are_allowed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (folder / "csv").read_text()
    (folder / "csv").write_text(text + "0001.jpg,96,96,cup,50,50,20,60\n")
    process = subprocess.run(
        [sys.executable, "-m", "data_prep.prepare_dataset", *words("csv")],
        env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 3
    assert "step 2 of 9, all annotations: boxes and classes, ended with exit code 3" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert main(words("csv", "--max_failures", "1")) == 0
    output = capfd.readouterr().out
    assert "left out by import_annotations: 1 reversed box; data/all.points.rejected.jsonl names each" in output


def test_flags_go_to_the_steps_that_have_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "--boxes_are_of stored --coordinates pixel --max_dimension 64 --test_fraction 0.25 --seed 3 --num_epochs 2"
    more += " --images_without_boxes drop --num_processes 1 --batch_size 4 --max_failures 7"
    assert main(words("csv", *more.split(), "--dry_run")) == 0
    commands = {
        re.search(r"-m (\S+)", block)[1]: block.replace("\\\n    ", "")  # type: ignore[index]
        for block in capsys.readouterr().out.split("\n\n")
    }
    assert "--coordinates pixel --boxes_are_of stored --max_failures 7" in commands["data_prep.import_annotations"]
    assert "--max_dimension 64 --num_processes 1 --max_failures 7" in commands["data_prep.validate_images"]
    split = commands["data_prep.split_points"]
    assert "--train_fraction 0.55 --validation_fraction 0.2 --test_fraction 0.25" in split
    assert "--seed 3" in split
    assert "--images_without_boxes 0.0" in commands["data_prep.make_tfrecords"]
    assert "test.record" in commands["data_prep.make_tfrecords"]  # of three, the last
    assert "--num_epochs 2.0 --batch_size 4" in commands["configs.fill"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--annotations_path", "nowhere"], "nowhere does not exist"),
        (["--recipe", "nowhere.config"], "nowhere.config: no such file"),
        (["--num_shards", "100001"], "at most"),
        (["--output_directory", "photos/data"], "is within photos"),
        (["--output_directory", "beds,lamps"], "beds,lamps: records in this folder would be taken for"),
        (["--validation_fraction", "0"], "leave nothing"),
        (["--test_fraction", "0.9"], "leave nothing"),
        (["--validation_annotations_path", "coco", "--test_fraction", "0.1"], "nothing is split"),
        (["--validation_annotations_path", "nowhere"], "--validation_annotations_path nowhere does not exist"),
        (["--validation_image_directory", "photos"], "is for --validation_annotations_path"),
        (["--num_epochs", "1", "--num_steps", "1"], "give one"),
        (["--coordinates", "pixel"], "is for --format csv"),
        (["--validation_splits", "val"], "say by --splits which to train on"),
    ],
)
def test_what_cannot_be_is_refused_before_any_step(folder: Path, more: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        main(words("coco", *more))
    assert not (folder / "data").exists()


def test_a_recipe_that_cannot_be_used_ends_it_at_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.config").write_text("model { center_net { } }")
    with pytest.raises(Exception, match="step 1 of 9, the recipe checked, ended with exit code 2"):
        main(words("coco", "--recipe", "bad.config"))
    assert not (folder / "data" / "all.points.json").exists()
