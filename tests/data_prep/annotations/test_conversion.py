"""Boxes in the frame of the stored pixels, whatever EXIF shows; boxes that stick out; images found and placed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_prep.annotations.conversion import convert
from data_prep.annotations.conversion_options import Options, Summary
from data_prep.annotations.image_folder import find_image_file, place_image
from data_prep.annotations.image_list import ImageList, read_image_list
from data_prep.annotations.source_image import SourceBox, SourceImage
from data_prep.images.image_file import find_image
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError


def source(
    name: str = "a.jpg", *, size: tuple[int, int] | None = (100, 80), edges: Any = (10, 20, 30, 40)
) -> SourceImage:
    """Returns an image with one box: xmin, ymin, xmax, ymax in pixels."""
    width, height = size or (None, None)
    return SourceImage("file:1", (name,), False, (SourceBox("file:2", "thing", *edges),), width, height)


def run(images: list[SourceImage], options: Options) -> tuple[list[dict[str, Any]], Summary, list[tuple[str, ...]]]:
    rejected: list[tuple[str, ...]] = []
    summary = Summary()
    points = [p for p, _ in convert(images, options, summary, lambda *words: rejected.append(words))]
    return points, summary, rejected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_drawn_on_the_turned_image_lie_on_the_object_in_the_stored_one(tmp_path: Path, orientation: int) -> None:
    stored = Image.new("RGB", (160, 96), "white")
    stored.paste((200, 0, 0), (16, 8, 64, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    # What a labelling tool shows, and where a person draws the box on it.
    with Image.open(tmp_path / "a.jpg") as file:
        seen = ImageOps.exif_transpose(file).convert("RGB")
    red = np.asarray(seen)[..., 1] < 128
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    points, summary, rejected = run([source(size=seen.size, edges=edges)], Options(image_directory=tmp_path))
    assert rejected == []
    box = points[0]["annotations"][0]
    found = [box["x0"] * 160, box["y0"] * 96, box["x1"] * 160, box["y1"] * 96]
    assert found == pytest.approx([16, 8, 64, 40], abs=1)
    assert summary.images_turned == (orientation >= 2)


def test_an_image_of_another_shape_is_rejected_and_a_scaled_one_is_kept(tmp_path: Path) -> None:
    Image.new("RGB", (50, 40)).save(tmp_path / "a.jpg")
    options = Options(image_directory=tmp_path)
    points, summary, rejected = run([source(size=(100, 80))], options)
    assert summary.images_scaled == 1 and rejected == []
    assert points[0]["annotations"][0]["x0"] == 0.1
    for size in ((100, 100), (80, 100)):
        points, _, rejected = run([source(size=size)], options)
        assert points == [] and rejected[0][:2] == ("file:1", "another image size")
    assert "turned, but no EXIF orientation" in rejected[0][2]


@pytest.mark.parametrize(
    ("edges", "outcome"),
    [
        ((0, 0, 100, 80), (0, 0, 1, 1)),
        ((-1, -1, 101, 81), (0, 0, 1, 1)),
        ((-3, 0, 50, 80), "box outside the image"),
        ((0, 0, 50, 82), "box outside the image"),
        ((100, 10, 101, 20), "box without area"),
        ((-2, 10, -1, 20), "box without area"),
    ],
)
def test_boxes_that_stick_out_a_little_are_cut_and_counted(edges: Any, outcome: Any) -> None:
    points, summary, rejected = run(
        [source(edges=edges)], Options(max_overhang=0.02, with_images_of_rejected_boxes=True)
    )
    annotations = points[0]["annotations"]
    if isinstance(outcome, str):
        assert annotations == [] and [(where, reason) for where, reason, _ in rejected] == [("file:2", outcome)]
        assert summary.boxes_cut == 0
    else:
        assert [annotations[0][key] for key in ("x0", "y0", "x1", "y1")] == list(outcome)
        assert summary.boxes_cut == (edges[0] < 0)
    if outcome == "box outside the image":
        points, summary, _ = run([source(edges=edges)], Options(max_overhang=1.0))
        assert len(points[0]["annotations"]) == 1 and summary.boxes_cut == 1


def test_two_images_of_one_id_are_one_too_many() -> None:
    points, _, rejected = run([source("a.jpg"), source("a.png"), source("b/a.jpg")], Options())
    assert points[0]["id"] == "a" and len(points) == 2
    assert points[1]["file_name"] == "b/a.jpg"
    assert [reason for _, reason, _ in rejected] == ["image listed twice"]
    points, _, rejected = run([source("a.jpg"), source("b/a.jpg")], Options(ids_with_folders=False))
    assert [point["id"] for point in points] == ["a"] and len(rejected) == 1


def test_images_that_are_none_or_not_there_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "html.jpg").write_text("<html>gone</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    names = ["html.jpg", "empty.jpg", "missing.jpg", "../a.jpg"]
    points, _, rejected = run([source(name) for name in names], Options(image_directory=tmp_path))
    assert points == []
    assert [reason for _, reason, _ in rejected] == ["not an image", "empty file", "missing", "unsafe image name"]


def test_images_are_found_by_name_then_by_file_name_then_by_stem(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("sub/a.jpg", "b.PNG", "c.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "c.txt").write_text("no image")
    (tmp_path.parent / "outside.jpg").write_bytes(b"x")
    found = {name: find_image_file(tmp_path, name) for name in ("sub/a.jpg", "sub\\a", "x/y/b.jpg", "c.txt", "d.jpg")}
    assert found == {
        "sub/a.jpg": tmp_path / "sub/a.jpg",
        "sub\\a": tmp_path / "sub/a.jpg",
        "x/y/b.jpg": tmp_path / "b.PNG",
        "c.txt": None,
        "d.jpg": None,
    }
    with pytest.raises(RejectedError):
        find_image_file(tmp_path, "../outside.jpg")


def test_placed_images_are_found_by_the_next_steps_and_the_originals_are_safe(tmp_path: Path) -> None:
    images, target = tmp_path / "images", tmp_path / "by_id"
    (images / "sub").mkdir(parents=True)
    target.mkdir()
    image = images / "sub" / "My Cat.JPG"
    Image.new("RGB", (100, 80)).save(image)
    before = image.read_bytes()
    options = Options(image_directory=images, placing_directory=target)
    points, summary, _ = run([source("sub/My Cat.JPG")], options)
    placed = find_image(target, points[0]["id"])
    assert placed is not None and placed.is_symlink() and placed.read_bytes() == before
    assert (summary.images_placed, summary.images_in_place) == (1, 0)
    assert run([source("sub/My Cat.JPG")], options)[1].images_in_place == 1
    # A repair in place takes the link's place; importing again leaves the repaired one.
    repaired = target / "repaired"
    repaired.write_bytes(b"repaired")
    repaired.replace(placed)
    assert run([source("sub/My Cat.JPG")], options)[1].images_in_place == 1
    assert placed.read_bytes() == b"repaired" and image.read_bytes() == before


def test_copies_are_made_once_and_again_when_the_source_is_newer(tmp_path: Path) -> None:
    image = tmp_path / "a.JPEG"
    Image.new("RGB", (8, 8)).save(image)
    first = image.read_bytes()
    target = tmp_path / "by_id"
    target.mkdir()
    assert place_image(image, target, "x", "copy") is True
    assert place_image(image, target, "x", "copy") is False
    assert (target / "x.jpeg").read_bytes() == first and not (target / "x.jpeg").is_symlink()
    Image.new("RGB", (9, 9)).save(image)
    later = (target / "x.jpeg").stat().st_mtime + 5
    os.utime(image, (later, later))
    assert place_image(image, target, "x", "copy") is True
    assert (target / "x.jpeg").read_bytes() == image.read_bytes() != first
    assert sorted(path.name for path in target.iterdir()) == ["x.jpeg"]


def test_a_list_chooses_images_and_knows_which_it_did_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("2008_000002 -1\n2008_000003  1\n./images/train/b.jpg\nmy cat.jpg\n2008_000002 -1\ngone\n")
    images = read_image_list(path)
    assert len(images) == 5
    taken = [images.includes([name]) for name in ("2008_000002.jpg", "b.png", "my cat.jpg", "c.jpg", "2008_000003")]
    assert taken == [True, True, True, False, True]
    assert images.unmatched == ["gone"]
    options = Options(wanted=ImageList(["b"]))
    points, summary, _ = run([source("a.jpg"), source("x/b.jpg")], options)
    assert len(points) == 1 and summary.images_not_wanted == 1


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfea\x00"])
def test_a_list_that_names_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        read_image_list(path)
