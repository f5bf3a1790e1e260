"""What photographs of a place show, counted as a listing does, and what its host corrects."""

from __future__ import annotations

from serving.demonstration.amenities import Corrections, find_amenities, listing_text, marks


def test_each_amenity_is_found_once_with_the_most_that_one_image_shows(detection, found):
    first = found(detection(2, 0.9), detection(2, 0.7), detection(1, 0.8))
    second = found(detection(2, 0.95), detection(2, 0.4))  # the weak one is not counted
    third = found(detection(2, 0.3))
    amenities = find_amenities([first, second, third], 0.5)
    assert [(each.name, each.count, each.num_images, each.score) for each in amenities] == [
        ("Lamp", 2, 2, 0.95),
        ("Bed", 1, 1, 0.8),
    ]
    assert all(each.sure and each.listed for each in amenities)
    assert listing_text(amenities) == "Lamp (2)\nBed"


def test_what_nearly_reaches_the_threshold_is_left_to_the_host_and_the_rest_is_left_out(detection, found):
    answers = [found(detection(1, 0.5), detection(2, 0.49), detection(2, 0.26), detection(3, 0.24)), found()]
    bed, lamp = find_amenities([*answers, found(detection(2, 0.4))], 0.5)
    assert (bed.name, bed.sure, bed.listed, bed.num_images) == ("Bed", True, True, 1)
    assert (lamp.name, lamp.sure, lamp.listed, lamp.count, lamp.num_images) == ("Lamp", False, False, 1, 2)


def test_at_a_threshold_of_0_all_that_the_model_answers_is_sure(detection, found):
    (bed,) = find_amenities([found(detection(1, 0.02), detection(1, 0.01))], 0.0)
    assert (bed.sure, bed.count) == (True, 2)


def test_only_the_classes_that_were_picked_are_found(detection, found):
    answers = [found(detection(1, 0.9), detection(2, 0.8))]
    assert [amenity.name for amenity in find_amenities(answers, 0.5, ["Lamp"])] == ["Lamp"]
    assert find_amenities([found()], 0.5) == []


def test_what_the_host_said_outlives_more_images(detection, found):
    corrections = Corrections(listed={"Bed": False, "Window": True}, counts={"Lamp": 4}, added=["Sauna", "Lamp"])
    images = [found(detection(1, 0.9), detection(2, 0.8), detection(3, 0.3))]
    for answers in (images, [*images, found(detection(1, 0.99), detection(1, 0.9), detection(2, 0.9))]):
        amenities = corrections.applied_to(find_amenities(answers, 0.5))
        assert listing_text(amenities) == "Lamp (4)\nWindow\nSauna"
    gone = corrections.applied_to(find_amenities([found()], 0.5))
    assert listing_text(gone) == "Sauna\nLamp (4)"  # both were added by name
    again = corrections.applied_to(find_amenities(images, 0.5))
    assert not next(amenity for amenity in again if amenity.name == "Bed").listed


def test_what_was_added_stays_listed_where_an_image_shows_it_weakly(detection, found):
    amenities = Corrections(added=["Lamp"]).applied_to(find_amenities([found(detection(2, 0.3))], 0.5))
    assert [(each.name, each.listed, each.num_images) for each in amenities] == [("Lamp", True, 1)]
    assert listing_text(Corrections({"Lamp": False}, added=["Lamp"]).applied_to(amenities)) == ""


def test_what_is_unticked_has_no_box_and_what_is_unsure_a_question_mark(detection, found):
    answer = found(detection(1, 0.9), detection(1, 0.3), detection(2, 0.3), detection(3, 0.8))
    amenities = find_amenities([answer], 0.5)

    def words(**listed: bool) -> list[tuple[str, float]]:
        as_corrected = Corrections(listed).applied_to(amenities)
        return [(word, detection.score) for detection, word in marks(answer, as_corrected, 0.5)]

    assert words() == [("Bed", 0.9), ("Lamp?", 0.3), ("Window", 0.8)]
    assert words(Bed=False, Lamp=True) == [("Lamp", 0.3), ("Window", 0.8)]
