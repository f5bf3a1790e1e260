"""Copying images into folders of classes: names from strangers, name clashes, runs that were cut off."""

from __future__ import annotations

import json

import pytest

from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger
from serving.client_library.detections import Box, Detection, ImageDetections
from serving.folders.sorting import JOURNAL_NAME, ImageSorter, best_class, folder_names, safe_folder_name

CLASSES = {1: "Table", 2: "/m/02"}


def found(image, *detections):
    """An image's answer; each detection as class id, score and side in pixels."""
    return ImageDetections(
        image,
        100,
        100,
        tuple(
            Detection(class_id, CLASSES[class_id], score, Box(0, 0, 1, 1), Box(0, 0, side, side))
            for class_id, score, side in detections
        ),
    )


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a/x.jpg", "b/x.jpg", "c.tar.png", "d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


RESULTS = [
    found("a/x.jpg", (1, 0.9, 5)),
    found("b/x.jpg", (1, 0.8, 5)),
    found("c.tar.png", (2, 0.7, 5)),
    found("d.jpg"),
]


def sort(photos, target, results=RESULTS, **settings):
    ledger = Ledger(None)
    counts = ImageSorter(photos, target, CLASSES, min_score=0.5, **settings).sort(results, ledger)
    return counts, ledger


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != JOURNAL_NAME
    }


EXPECTED = {
    "Table/x.jpg": b"a/x.jpg",
    "Table/x-2.jpg": b"b/x.jpg",
    "m_02/c.tar.png": b"c.tar.png",
    "other/d.jpg": b"d.jpg",
}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Chest of drawers", "Chest of drawers"),
        ("/m/03ssj5", "m_03ssj5"),
        ("../../etc", "etc"),
        ("..", "class"),
        ("", "class"),
        ("a\x00b\nc\x1b[31m", "a_b_c_[31m"),
        ('<>:"/\\|?*', "class"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("trailing. ", "trailing"),
        (".hidden", "hidden"),
        ("e\u0301tage\u0300re", "étagère"),
        ("\u202egnp", "gnp"),
        ("\udcff", "class"),
        ("椅" * 50, "椅" * 26),
    ],
)
def test_a_class_name_becomes_a_folder_that_every_system_takes(name, folder, tmp_path):
    assert safe_folder_name(name) == folder
    assert len(folder.encode()) <= 80
    (tmp_path / folder).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [folder]


def test_no_two_classes_share_a_folder_nor_takes_one_that_of_the_rest():
    folders = folder_names({1: "Table", 2: "table", 3: "Other", 4: "a/b", 5: "a:b", 6: "Chair"})
    assert folders == {1: "Table-1", 2: "table-2", 3: "Other-3", 4: "a_b-4", 5: "a_b-5", 6: "Chair"}


def test_the_best_class_is_the_best_scored_and_of_equals_the_largest():
    assert best_class(found("p", (1, 0.6, 90), (2, 0.7, 5)), 0.5) == 2
    assert best_class(found("p", (1, 0.6, 5), (2, 0.6, 90)), 0.5) == 2
    assert best_class(found("p", (1, 0.4, 90)), 0.5) is None
    assert best_class(found("p", (1, 0.5, 90)), 0.5) == 1


def test_images_are_copied_once_under_names_of_their_own(photos, tmp_path):
    target = tmp_path / "sorted"
    counts, ledger = sort(photos, target)
    assert files_below(target) == EXPECTED
    assert dict(counts.copied) == {"Table": 2, "m_02": 1, "other": 1} and ledger.total == 0
    assert (target / "Table/x.jpg").stat().st_mtime_ns == (photos / "a/x.jpg").stat().st_mtime_ns
    counts, _ = sort(photos, target)
    assert (counts.copied.total(), counts.there) == (0, 4)
    assert files_below(target) == EXPECTED


def test_nobody_elses_file_is_written_over(photos, tmp_path):
    target = tmp_path / "sorted"
    (target / "Table").mkdir(parents=True)
    (target / "Table" / "x.jpg").write_bytes(b"mine")
    sort(photos, target)
    assert (target / "Table/x.jpg").read_bytes() == b"mine"
    assert (target / "Table/x-2.jpg").read_bytes() == b"a/x.jpg"
    assert (target / "Table/x-3.jpg").read_bytes() == b"b/x.jpg"


def test_what_a_person_moved_stays_where_it_was_put(photos, tmp_path):
    target = tmp_path / "sorted"
    sort(photos, target)
    (target / "other/d.jpg").rename(target / "Table/d.jpg")
    sort(photos, target)
    assert "other/d.jpg" not in files_below(target) and len(files_below(target)) == 4


@pytest.mark.parametrize("lines", [1, 2, 3, 4])
@pytest.mark.parametrize("copy_was_made", [True, False])
def test_a_run_cut_off_anywhere_goes_on_to_the_same_end(photos, tmp_path, lines, copy_was_made):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    sort(photos, whole)
    journal = (whole / JOURNAL_NAME).read_text().splitlines(keepends=True)[:lines]
    for line in journal:
        copy = cut / json.loads(line)["copy"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((whole / json.loads(line)["copy"]).read_bytes())
    if not copy_was_made:
        copy.rename(copy.with_name(".partial-0123-x"))
    (cut / JOURNAL_NAME).write_text("".join(journal) + '{"image": "torn')
    sort(photos, cut)
    assert files_below(cut) == EXPECTED


def test_a_journal_of_an_earlier_version_is_gone_on_with(photos, tmp_path):
    target = tmp_path / "sorted"
    sort(photos, target)
    journal = target / JOURNAL_NAME
    journal.write_text(journal.read_text().replace('"image"', '"picture"'))
    counts, _ = sort(photos, target)
    assert (counts.copied.total(), counts.there) == (0, 4)
    assert files_below(target) == EXPECTED


def test_an_image_that_is_gone_is_in_the_ledger(photos, tmp_path):
    (photos / "d.jpg").unlink()
    counts, ledger = sort(photos, tmp_path / "sorted")
    assert counts.copied.total() == 3 and dict(ledger.counts) == {"cannot be copied": 1}


@pytest.mark.parametrize("line", ['{"image": "d.jpg", "copy": "../../d.jpg"}', "{}", "7", "no JSON"])
def test_a_broken_journal_is_refused_with_its_line(photos, tmp_path, line):
    target = tmp_path / "sorted"
    target.mkdir()
    (target / JOURNAL_NAME).write_text(line + "\n")
    with pytest.raises(UserError, match=r"\.sorted\.jsonl, line 1"):
        sort(photos, target)
