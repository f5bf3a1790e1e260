"""Names of images become ids that are file names, apart from one another, and none leads out of its folder."""

from __future__ import annotations

import re
import unicodedata

import pytest

from data_prep.annotations.image_ids import image_id_of, safe_parts
from data_prep.formats.points import check_image_id
from data_prep.runtime.ledger import RejectedError


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("000000000139.jpg", "000000000139"),
        ("2008_000008", "2008_000008"),
        ("IMG_1.JPEG", "IMG_1"),
        ("a.v2.rf.0f.png", "a.v2.rf.0f"),
        ("./a.jpg", "a"),
        ("a.tar", "a.tar"),
        ("C:\\Users\\me\\images\\1.jpg", "1"),
        ("/home/me/1.jpg", "1"),
    ],
)
def test_plain_names_keep_their_stem(name: str, image_id: str) -> None:
    assert image_id_of(name) == image_id


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("living room.jpg", "living_room-"),
        ("train2017/1.jpg", "train2017_1-"),
        ("a\\b\\1.jpg", "a_b_1-"),
        ("küche (2).png", "k_che_2_-"),
        ("日本.jpg", "_-"),
        (".hidden.jpg", "hidden-"),
        ("x" * 200 + ".jpg", "x" * 117 + "-"),
    ],
)
def test_other_names_are_made_readable_and_kept_apart(name: str, begin: str) -> None:
    image_id = image_id_of(name)
    assert re.fullmatch(re.escape(begin) + "[0-9a-f]{10}", image_id)
    assert check_image_id(image_id) == image_id


def test_names_that_look_alike_have_ids_of_their_own() -> None:
    names = ["a/1.jpg", "b/1.jpg", "a_1.jpg", "a 1.jpg", "a  1.jpg", "ä.jpg", "ö.jpg", "x" * 200, "x" * 201, "A/1.jpg"]
    assert len({image_id_of(name) for name in names}) == len(names)
    # The suffix, the way a letter is composed and the kind of slash make no difference.
    assert image_id_of("a/1.jpg") == image_id_of("a/1") == image_id_of("a\\1.PNG") == image_id_of("./a//1.jpg")
    assert image_id_of("ä.jpg") == image_id_of(unicodedata.normalize("NFD", "ä.jpg"))


def test_without_folders_only_the_file_name_counts() -> None:
    assert image_id_of("train2017/1.jpg", with_folders=False) == "1"


@pytest.mark.parametrize(
    "name",
    ["", "  ", "../1.jpg", "a/../../1.jpg", "a\\..\\1.jpg", "..", ".", "/", "a/", "a\0.jpg", "a\n.jpg",
     "x/" * 600 + "a", "é" * 200, "\ud800.jpg"],
)  # fmt: skip
def test_what_is_no_file_below_a_folder_is_refused(name: str) -> None:
    with pytest.raises(RejectedError) as refused:
        image_id_of(name)
    assert refused.value.reason == "unsafe image name"
    with pytest.raises(RejectedError):
        safe_parts(name)
