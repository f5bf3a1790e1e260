"""The page of an evaluation in headless Chromium: opened from disk, its threshold moved, its images chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.chromium import chromium
from tests.train.evaluation.page.evaluated_set import (
    HOSTILE,
    MISSING,
    NAMES,
    NUM_IMAGES,
    EvaluatedSet,
    make_evaluated_set,
)
from train.evaluation.operating_study import OperatingStudy
from train.evaluation.page.report import EvaluationReport, Findings, ReportOptions
from train.metrics.box_collection import BoxCollection
from train.metrics.box_matches import match_collection
from train.metrics.confusion import confusion_matrix
from train.metrics.operating_points import BEST_F1, curve_of_all, curves_by_class
from train.metrics.tide import Mistake, TideErrors

KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> EvaluatedSet:
    return make_evaluated_set(tmp_path_factory.mktemp("evaluated"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(evaluated: EvaluatedSet, browser: Any) -> Iterator[Any]:
    troubles: list[str] = []
    opened = browser.new_page(viewport={"width": 1366, "height": 800}, reduced_motion="reduce")
    opened.on("console", lambda message: troubles.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    opened.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    opened.on("request", lambda one: one.url.startswith(("file:", "data:", "blob:")) or troubles.append(one.url))
    opened.goto(evaluated.page.as_uri())
    opened.wait_for_selector(".image")
    yield opened
    opened.close()
    assert not troubles


def set_threshold(page: Any, value: float) -> None:
    page.fill("#threshold-number", str(value))


def live(page: Any) -> list[int]:
    """TP, FP and FN as the head of the page has them."""
    return [int(page.locator(f"#live .{name} b").inner_text().replace(",", "")) for name in ("tp", "fp", "fn")]


def listed(page: Any) -> list[str]:
    """The ids in the gallery, in order."""
    return page.locator(".one .caption bdi").all_inner_texts()


def kind_counts(page: Any) -> dict[str, int]:
    rows = page.locator("#kinds tbody tr")
    return {kind: int(rows.nth(place).locator("td").nth(1).inner_text()) for place, kind in enumerate(KINDS)}


def test_counts_classes_and_confusions_are_those_of_the_metrics_at_every_threshold(page, evaluated):
    matches = evaluated.matches()
    curves = curves_by_class(matches)
    sizes = []
    for threshold in (0.0, 0.2, 0.45, 0.8, 1.0):
        set_threshold(page, threshold)
        point = curve_of_all(matches).at(threshold)
        assert live(page) == [point.true_positives, point.false_positives, point.false_negatives]
        for row, class_id in enumerate(NAMES):
            cells = page.locator(f'#class-table [data-class="{row}"] td').all_inner_texts()
            of_class = curves[class_id].at(threshold)
            found = (of_class.true_positives, of_class.false_positives, of_class.false_negatives)
            assert tuple(map(int, cells[4:7])) == found
        cells = page.locator("#matrix tbody td").all_inner_texts()
        shown = np.array([int(cell.replace("·", "") or 0) for cell in cells]).reshape(len(NAMES) + 1, -1)
        expected = confusion_matrix(matches, dict.fromkeys(NAMES, threshold))
        np.testing.assert_array_equal(shown, expected)
        off_diagonal = expected[:-1, :-1] - np.diag(np.diag(expected[:-1, :-1]))
        sizes.append(int(off_diagonal.sum()))
    assert max(sizes) > 0  # some objects are confused, or the test shows nothing
    set_threshold(page, 0)
    counts = TideErrors(matches).counts()
    assert kind_counts(page) == {kind: counts[Mistake[kind.upper()]] for kind in KINDS}
    assert all(kind_counts(page).values())  # each kind comes
    average = float(page.locator("#class-table tr.all td").nth(2).inner_text())
    assert average == pytest.approx(TideErrors(matches).average_precision(), abs=6e-4)


def test_slider_presets_curves_and_keys_move_the_threshold(page, evaluated):
    matches = evaluated.matches()
    best = BEST_F1.choose(curve_of_all(matches))
    assert best is not None
    assert live(page)[0] == best.true_positives
    page.click("#presets button:has-text('0.5')")
    assert page.input_value("#threshold-number") == "0.5"
    half = curve_of_all(matches).at(0.5)
    assert live(page)[1] == half.false_positives
    page.locator("#threshold-slider").fill("0.3")
    assert page.input_value("#threshold-number") == "0.3"
    page.locator("h1").click()
    page.keyboard.press("]")
    assert page.input_value("#threshold-number") == "0.31"
    chart = page.locator("#charts svg").nth(1)
    chart.scroll_into_view_if_needed()
    around = chart.bounding_box()
    page.mouse.click(around["x"] + around["width"] * 0.75, around["y"] + around["height"] / 2)
    assert 0.7 < float(page.input_value("#threshold-number")) < 0.8
    page.click("#presets button:has-text('one a class')")
    own = [BEST_F1.choose(curve) for curve in curves_by_class(matches).values()]
    assert live(page)[0] == sum(point.true_positives for point in own if point)
    assert page.input_value("#threshold-number") == ""
    # Of one class alone: the others keep theirs.
    page.select_option("#threshold-class", label="Dog")
    before = page.locator('#class-table [data-class="0"] td').nth(3).inner_text()
    set_threshold(page, 0.9)
    assert page.locator('#class-table [data-class="0"] td').nth(3).inner_text() == before
    assert page.locator('#class-table [data-class="1"] td').nth(3).inner_text() == "0.900"


def test_the_worst_images_come_first_and_views_list_boxes_in_their_order(page):
    set_threshold(page, 0.3)
    page.wait_for_timeout(300)
    costs = [
        float(text.partition("costs ")[2].split()[0]) if "costs" in text else 0.0
        for text in page.locator(".one .caption small").all_inner_texts()
    ]
    assert len(costs) == NUM_IMAGES
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 0
    page.click("#views button:has-text('False positives')")
    words = page.locator(".one .caption small").all_inner_texts()
    scores = [float(text.rsplit(" ", 2)[1]) for text in words]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == live(page)[1]
    page.click("#views button:has-text('Misses')")
    sides = [int(text.rsplit(" ", 2)[1]) for text in page.locator(".one .caption small").all_inner_texts()]
    assert sides == sorted(sides, reverse=True)
    assert len(sides) == live(page)[2]
    page.click("#views button:has-text('Confused pairs')")
    pairs = page.locator(".one .caption small").all_inner_texts()
    assert pairs
    assert all(" taken for " in text for text in pairs)
    page.click("#views button:has-text('Most uncertain')")
    assert len(listed(page)) == NUM_IMAGES
    page.click("#views button:has-text('By id')")
    assert listed(page) == [f"room_{number:02d}" for number in range(NUM_IMAGES)]


def test_filters_by_class_kind_size_and_id_and_a_cell_narrow_the_images(page):
    set_threshold(page, 0.3)
    page.click("#views button:has-text('False positives')")
    everything = live(page)[1]
    page.click("#filters .kind:has-text('background')")
    assert page.locator(".one").count() == kind_counts(page)["background"]
    assert 0 < page.locator(".one").count() < everything
    page.select_option(
        "#filter-class",
        label=next(text for text in page.locator("#filter-class option").all_inner_texts() if text.startswith("Cat")),
    )
    words = page.locator(".one .caption small").all_inner_texts()
    assert all(text.startswith("Cat ") and text.endswith(" background") for text in words)
    assert page.locator("#threshold-class").input_value() == "0"
    page.click("#reset")
    assert page.locator(".one").count() == everything
    counts = []
    for size in ("1", "2", "3"):
        page.select_option("#filter-size", size)
        counts.append(page.locator(".one").count())
    assert sum(counts) == everything
    assert counts[2] == 0  # no box has 96 x 96 pixels
    page.click("#reset")
    page.fill("#filter-text", "ROOM_03")
    assert set(listed(page)) == {"room_03"}
    page.click("#reset")
    cell = page.locator("#matrix tbody tr:last-child td button").first
    count = int(cell.inner_text().replace("·", "0"))
    cell.click()
    assert page.locator(".one").count() == count
    assert "background, detected as Cat" in page.locator("#result").inner_text() or not count


def test_by_keyboard_from_image_to_image_boxes_off_and_on_ticked_and_saved(page, evaluated, tmp_path):
    page.keyboard.press("6")  # by id
    assert listed(page)[0] == "room_00"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    assert page.locator("#save").inner_text() == "Save ids of 1 ticked image"
    page.keyboard.press("Enter")
    assert page.locator("#viewer header bdi").inner_text() == "room_01"
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer header bdi").inner_text() == "room_02"
    page.keyboard.press("x")
    assert page.is_checked("#viewer-tick")
    for key, boxes in (("g", ".box.truth"), ("d", ".box.detection")):
        some = page.locator(f"#viewer {boxes}").first
        page.keyboard.press("[") if not some.count() else None
        assert some.is_visible()
        page.keyboard.press(key)
        assert some.is_hidden()
        page.keyboard.press(key)
        assert some.is_visible()
    page.keyboard.press("n")
    assert page.locator("#viewer .box i").first.is_hidden()
    page.keyboard.press("Escape")
    assert page.locator("#viewer").is_hidden()
    # A closing dialog gives the focus back to where it was before the page moves it on.
    page.wait_for_function("document.activeElement.closest('.one')?.dataset.place === '2'")
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename == "image_ids.txt"
    download.value.save_as(tmp_path / "ids.txt")
    assert (tmp_path / "ids.txt").read_text() == "room_01\nroom_02\n"
    page.keyboard.press("/")
    page.keyboard.type("room_05")
    page.click("#untick-all")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "ids.txt")
    assert (tmp_path / "ids.txt").read_text() == "room_05\n"


def test_boxes_lie_on_their_objects_and_say_the_kind_of_a_mistake(page):
    page.click("#views button:has-text('False positives')")
    page.locator(".one .image").first.click()
    lit = page.locator("#viewer .box.wanted")
    assert lit.count() == 1
    assert any(lit.locator("i").inner_text().endswith(kind) for kind in KINDS)
    page.hover("#viewer tbody tr >> nth=0")
    assert page.locator("#viewer .box.lit").count() == 1
    rows = page.locator("#viewer tbody tr").all_inner_texts()
    assert all(len(row.split("\t")) == 3 for row in rows)


def test_hostile_names_are_text_and_the_missing_image_is_told(page, evaluated):
    page.select_option("#threshold-class", label=HOSTILE)
    page.wait_for_timeout(300)
    assert HOSTILE in page.locator("#charts").inner_text()
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("document.querySelectorAll('script').length") == 3
    page.click("#reset")
    page.fill("#filter-text", f"room_{MISSING}")
    assert page.locator(".one .frame.blank").count() == 1
    assert page.locator(".one .frame img").count() == 0
    assert (
        f"{NUM_IMAGES - 1} of {NUM_IMAGES} images have a thumbnail, the worst ones"
        in page.locator("#shown").inner_text()
    )
    assert f"with {NUM_IMAGES - 1} of {NUM_IMAGES} images; 1 not found in {evaluated.images}" in evaluated.printed


def test_a_narrow_window_scrolls_only_down(page):
    for width in (1024, 420):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_threshold_at_all_and_no_detections_counted_break_nothing(page: Any) -> None:
    set_threshold(page, 1)
    assert live(page)[:2] == [0, 0]
    page.wait_for_timeout(300)
    for name in ("worst", "wrong", "missed", "confused", "unsure", "all"):
        page.click(f'[data-view="{name}"]')
    assert page.locator("#live").inner_text()


def test_an_evaluation_without_any_box_opens_and_says_so(browser: Any, tmp_path: Any) -> None:
    study = OperatingStudy(match_collection(BoxCollection({1: "Cat"})), BEST_F1)
    report = EvaluationReport(ReportOptions(tmp_path / "page.html"), {})
    report.write(
        Findings(study.matches, study.errors, study.costs, study.metrics(), study.points, float("inf"), "f1"),
        source="none",
    )
    opened = browser.new_page()
    troubles: list[str] = []
    opened.on("console", lambda message: troubles.append(message.text))
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.goto((tmp_path / "page.html").as_uri())
    assert "No image is like this" in opened.locator("#result").inner_text()
    assert live(opened) == [0, 0, 0]
    opened.close()
    assert not troubles
