"""The page in headless Chromium: opened from disk, looked at, and clicked."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep.formats.tf_example import make_example
from data_prep.inspect_data import main
from data_prep.records.record_files import RecordWriter
from tests.chromium import chromium

HOSTILE_START = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(files: Any, run: Callable[..., Any], browser: Any) -> Iterator[Callable[..., Any]]:
    """Writes a page of the small data set with the given flags, and opens it from disk."""
    troubles: list[str] = []
    pages = []

    def opened(*words: object) -> Any:
        path = files.folder / "page.html"
        done = run(
            main, "--datapoints_input_path", files.points, "--image_directory", files.images,
            "--label_map_path", files.label_map, "--output_path", path, "--max_failures", 1, *words,
        )  # fmt: skip
        assert (done.code, done.error) == (0, "")
        page = browser.new_page(viewport={"width": 1366, "height": 768}, reduced_motion="reduce")
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or troubles.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(".image")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert not troubles


def shown(page: Any) -> list[str]:
    """The ids in the gallery, in order."""
    return page.locator(".image .caption bdi").all_inner_texts()


def test_it_opens_with_the_suspicious_first_and_says_what_there_is(open_page):
    page = open_page()
    assert page.locator("h1").inner_text() == "Data set: points.json"
    tiles = page.locator(".tile").all_inner_texts()
    assert tiles[0].split() == ["11", "images"]
    assert tiles[1].split() == ["13", "boxes"]
    assert tiles[2].split("\n")[1] == "classes; 1 more have no box"
    ids = shown(page)
    assert len(ids) == 11
    assert ids[:2] == ["doubled", "twice"]
    assert ids[-1] == "gone"  # its blank comes after all that can be seen
    assert ids[-5:-1] == ["plain0", "plain1", "plain2", "plain3"]
    kinds = dict(text.split("\n") for text in page.locator("#kinds .kind").all_inner_texts())
    assert {name: count for name, count in kinds.items() if count != "0"} == {
        "extreme ratio": "1", "tiny": "1", "huge": "1", "duplicate": "2", "two classes": "2",
        "no image": "1", "no boxes": "1",
    }  # fmt: skip
    assert page.locator("#anchors").is_hidden()
    assert page.locator("#charts figure").count() == 6


def test_filters_narrow_the_images_and_reset_brings_them_back(open_page):
    page = open_page()
    page.select_option("#filter-class", label="Dog (4)")
    assert sorted(shown(page)) == ["doubled", "speck", "twice", "whole"]
    assert page.locator("#charted").inner_text() == "of Dog: show all classes"
    assert page.locator('[data-class="1"]').get_attribute("aria-selected") == "true"
    page.fill("#filter-low", "100")
    page.fill("#filter-high", "300")
    assert sorted(shown(page)) == ["doubled", "twice"]
    page.click("#filters .kind:has-text('two classes')")
    assert shown(page) == ["twice"]
    page.click("#reset")
    assert len(shown(page)) == 11
    assert page.input_value("#filter-low") == ""
    page.fill("#filter-text", "PLAIN")
    assert shown(page) == ["plain0", "plain1", "plain2", "plain3"]
    page.fill("#filter-text", "nothing")
    assert shown(page) == []
    assert "No image is like this" in page.locator("#result").inner_text()
    page.click("#reset")
    page.select_option("#filter-with", label="Dog (4)")
    page.select_option("#filter-class", label="Cat (8)")
    assert sorted(shown(page)) == ["doubled", "twice"]
    page.click("#reset")
    page.click("#filters .kind:has-text('occluded')")
    assert shown(page) == ["doubled"]
    page.click("#filters .kind:has-text('group of')")
    assert sorted(shown(page)) == ["doubled", "stripe"]
    page.click("#reset")
    page.check("#filter-shown")
    assert "gone" not in shown(page)
    assert len(shown(page)) == 10


def test_kinds_table_matrix_and_bars_filter_too(open_page):
    page = open_page()
    page.click("#kinds .kind:has-text('tiny')")
    assert shown(page) == ["speck"]
    page.click("#kinds .kind:has-text('no boxes')")
    assert shown(page) == ["empty"]
    page.click("#kinds .kind:has-text('no boxes')")
    assert len(shown(page)) == 11
    page.click('[data-class="0"]')
    assert len(shown(page)) == 7
    page.click("#all-classes")
    assert len(shown(page)) == 11
    page.locator("#together .clickable").first.click()  # cats, with dogs
    assert sorted(shown(page)) == ["doubled", "twice"]
    page.click("#reset")
    page.locator("#charts figure:has-text('in pixels') g.clickable").first.click()  # below 8 pixels
    assert shown(page) == ["speck"]
    assert (page.input_value("#filter-low"), page.input_value("#filter-high")) == ("0", "8")


def test_orders(open_page):
    page = open_page()
    page.select_option("#filter-sort", "name")
    assert shown(page) == sorted(shown(page))
    page.select_option("#filter-sort", "smallest")
    assert shown(page)[0] == "speck"
    page.select_option("#filter-sort", "largest")
    assert shown(page)[0] == "whole"
    page.select_option("#filter-sort", "most")
    assert shown(page)[0] == "doubled"
    page.select_option("#filter-sort", "fewest")
    assert shown(page)[0] == "empty"
    page.select_option("#filter-sort", "ratio")
    assert shown(page)[0] == "stripe"


def test_the_table_of_classes_sorts_and_finds(open_page):
    page = open_page()
    names = page.locator("#class-table tbody td:first-child")
    assert names.all_inner_texts()[:2] == ["Cat", "Dog"]
    page.click("#class-table th:has-text('class') button")
    assert [name[:4] for name in names.all_inner_texts()] == ["<img", "Bird", "Cat", "Dog"]
    page.click("#class-table th:has-text('boxes') button")
    page.click("#class-table th:has-text('boxes') button")
    assert names.all_inner_texts()[0] == "Bird"
    page.fill("#class-search", "/m/do")  # by label too
    assert names.all_inner_texts() == ["Dog"]
    assert page.locator("#class-table tbody tr td").all_inner_texts()[3:5] == ["1", "0"]  # verified, verified absent


def test_boxes_lie_on_their_objects(open_page):
    page = open_page()
    page.fill("#filter-text", "plain0")
    check_box(page, ".image")
    page.click(".image")
    check_box(page, "#viewer")


def check_box(page: Any, scope: str) -> None:
    """The one box in `scope` encloses the red block of its image, and no more."""
    assert page.locator(f"{scope} .box i").inner_text() == "Cat"
    stage = page.locator(f"{scope} .stage")
    pixels = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("RGB")).astype(int)
    around, box = stage.bounding_box(), page.locator(f"{scope} .box").bounding_box()
    left, top = round(box["x"] - around["x"]), round(box["y"] - around["y"])
    right, bottom = left + round(box["width"]), top + round(box["height"])
    assert min(right - left, bottom - top) > 40
    is_object = np.abs(pixels - [230, 30, 40]).max(axis=2) < 60
    assert is_object[top + 5 : bottom - 5, left + 5 : right - 5].mean() > 0.98
    assert is_object[top + 5 : bottom - 5, right + 5 : right + 15].mean() < 0.02
    assert is_object[top + 5 : bottom - 5, left - 15 : left - 5].mean() < 0.02
    assert is_object[bottom + 5 : bottom + 15, left:right].mean() < 0.02


def test_the_viewer_goes_from_image_to_image(open_page):
    page = open_page()
    page.select_option("#filter-sort", "name")
    page.click(".image:has-text('doubled')")
    assert page.locator("#viewer header bdi").inner_text() == "doubled"
    rows = page.locator("#viewer tbody tr").all_inner_texts()
    assert rows[0].split("\t") == ["Cat", "256 x 192", "duplicate, occluded"]
    assert len(rows) == 3
    page.hover("#viewer tbody tr:nth-child(3)")
    assert page.locator("#viewer .box.lit i").inner_text() == "Dog"
    page.click("#next")
    assert page.locator("#viewer header bdi").inner_text() == "empty"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#viewer header bdi").inner_text() == "doubled"
    page.keyboard.press("Escape")
    assert page.locator("#viewer").is_hidden()


def test_boxes_of_other_classes_can_be_hidden(open_page):
    page = open_page()
    page.select_option("#filter-class", label="Dog (4)")
    page.fill("#filter-text", "doubled")
    assert page.locator(".image .box.other").count() == 2
    page.check("#filter-alone")
    assert page.locator(".image .box").count() == 1


def test_hostile_names_are_text(open_page):
    page = open_page("--title", "<b>bold</b><script>alert(3)</script>")
    assert page.locator("h1").inner_text() == "<b>bold</b><script>alert(3)</script>"
    page.fill("#filter-text", "stripe")
    assert page.locator(".image .box i").inner_text().startswith(HOSTILE_START)
    page.hover("#together .cell >> nth=-1")
    assert HOSTILE_START in page.locator("#tip").inner_text()
    page.click(".image")
    assert page.locator("#viewer td").first.inner_text().startswith(HOSTILE_START)
    assert page.locator("img[src='x'], script:not([type]) >> nth=1").count() == 0
    assert page.evaluate("document.querySelectorAll('script').length") == 3


def test_what_is_not_shown_is_said_and_drawn_blank(open_page):
    page = open_page("--max_thumbnails", "3", "--max_listed_pictures", "6")  # its earlier name
    said = page.locator("#listed").inner_text()
    assert said.startswith("The page lists 6 of the 11 images: those with a thumbnail, then the most suspicious, ")
    assert "3 of 11 images are shown" in said
    assert page.locator(".image").count() == 6
    assert page.locator(".image img").count() == 3
    assert page.locator(".frame.blank").count() == 3
    assert page.locator("#result").inner_text() == "6 of 6 listed images, 3 with a thumbnail; 6 drawn below."


def test_a_narrow_window_scrolls_only_down(open_page):
    page = open_page()
    for width in (1024, 420):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_anchor_coverage_is_drawn_and_filters(open_page):
    config = Path(__file__).resolve().parents[3] / "configs" / "ssd_mobilenet_v2_fpnlite_320.config"
    page = open_page("--pipeline_config_path", config)
    assert page.locator("#anchors").is_visible()
    rows = page.locator("#coverage tbody tr")
    lines = [line.split("\t") for line in rows.all_inner_texts()]
    assert lines[0][0] == "all"
    assert [line[0][:4] for line in lines[1:]] == ["<img", "Dog", "Cat"]  # the worst first
    assert lines[1][1].split() == ["0%", "of", "1"]
    page.click("#coverage button")
    assert "speck" in shown(page)
    assert "plain0" not in shown(page)
    rows.nth(2).click()
    assert page.input_value("#filter-class") == "1"


def test_bad_records_are_named_with_examples_and_can_be_chosen(
    tmp_path: Path, run: Callable[..., Any], browser: Any
) -> None:
    content = io.BytesIO()
    Image.new("RGB", (120, 80)).save(content, "JPEG")
    records = tmp_path / "train.record"
    with RecordWriter(records) as writer:
        for number, class_id in enumerate((1, 99999, 1)):
            writer.write(
                make_example(
                    encoded_image=content.getvalue(), image_format="jpeg", source_id=f"{HOSTILE_START}{number}",
                    height=80, width=120, boxes_ymin_xmin_ymax_xmax=[(0.1, 0.1, 0.5, 0.5)], class_labels=[class_id],
                    class_texts=[""],
                )
            )  # fmt: skip
    label_map = tmp_path / "label_map.pbtxt"
    label_map.write_text("item { name: 'cat' id: 1 }\n")
    path = tmp_path / "page.html"
    done = run(main, "--input_path", records, "--label_map_path", label_map, "--output_path", path)
    assert done.code == 3
    page = browser.new_page(viewport={"width": 1366, "height": 768}, reduced_motion="reduce")
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(".image")
    problems = page.locator("#problems")
    assert "1 record would stop training; warnings train all the same" in problems.inner_text()
    problems.locator("summary").click()
    assert f"record 1, image {HOSTILE_START}1: image/object/class/label 99999" in problems.inner_text()
    page.locator("#kinds button.kind", has_text="bad record").click()
    assert shown(page) == [f"{HOSTILE_START}1"]
    page.close()
    assert not troubles
