"""Troubles in a host's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from data_prep.images import image_file
from data_prep.images.image_file import NOT_AN_IMAGE
from serving.demonstration.host_words import NOT_NOW, NOT_SET_UP, number_of, photo_trouble

REASONS = set(re.findall(r'ImageError\("([^"]+)"', Path(image_file.__file__).read_text(encoding="utf-8")))
ENGINEERS_WORDS = re.compile(r"model|server|decode|gRPC|threshold|pixel|endpoint|byte|header", re.IGNORECASE)


@pytest.mark.parametrize("reason", sorted(REASONS | {"timed out", "refused by the server", "never heard of"}))
def test_each_trouble_names_the_photo_and_what_to_do(reason):
    words = photo_trouble("living room.jpg", reason)
    assert "“living room.jpg”" in words
    assert "Please" in words
    assert not ENGINEERS_WORDS.search(words)


def test_a_damaged_photo_a_large_one_and_one_that_is_none_are_told_apart():
    sentences = [photo_trouble("a", reason) for reason in ("does not decode", "too many pixels", NOT_AN_IMAGE)]
    assert ["damaged" in sentences[0], "too large" in sentences[1], "not a photo" in sentences[2]] == [True] * 3
    assert len(set(sentences)) == 3


def test_what_is_wrong_with_the_service_names_no_machine():
    assert not ENGINEERS_WORDS.search(NOT_NOW + NOT_SET_UP)


def test_counts_have_their_noun():
    assert (number_of(1, "photo"), number_of(2, "photo")) == ("1 photo", "2 photos")
