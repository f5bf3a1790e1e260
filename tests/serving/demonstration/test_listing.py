"""Amenities, as the listing has them."""

from __future__ import annotations

from serving.demonstration.results import list_amenities


def test_each_amenity_is_listed_once_with_the_most_that_one_image_shows(detection, found):
    first = found(detection(2, 0.9), detection(2, 0.7), detection(1, 0.8))
    second = found(detection(2, 0.95))
    listed = list_amenities([first, second], 0.5)
    assert [(str(amenity), amenity.count, amenity.score) for amenity in listed] == [
        ("Lamp (2)", 2, 0.95),
        ("Bed", 1, 0.8),
    ]
    assert all(amenity.sure for amenity in listed)


def test_what_nearly_reaches_the_threshold_is_left_to_the_host_and_the_rest_is_left_out(detection, found):
    answers = [found(detection(1, 0.5), detection(2, 0.49), detection(2, 0.26), detection(3, 0.24))]
    listed = list_amenities(answers, 0.5)
    assert [(amenity.name, amenity.sure, amenity.count) for amenity in listed] == [("Bed", True, 1), ("Lamp", False, 1)]


def test_only_the_classes_that_were_picked_are_listed(detection, found):
    answers = [found(detection(1, 0.9), detection(2, 0.8))]
    assert [amenity.name for amenity in list_amenities(answers, 0.5, ["Lamp"])] == ["Lamp"]


def test_nothing_is_listed_of_images_that_show_nothing(found):
    assert list_amenities([found()], 0.5) == []
