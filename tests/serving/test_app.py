"""The page in headless Chromium, asking a running server: what a person sees and does, on a desk and on a phone."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.local_server import LoadingOptions, LocalServer, ServerOptions
from serving.operating.model_server_config import ServedModel, VersionPolicy
from tests.chromium import chromium

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60_000  # milliseconds; a busy machine
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1366, "height": 900}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("streamlit") is None,
    reason="Streamlit is not installed (requirements-app.txt)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium with a camera that shows a test image."""
    with chromium("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream") as started:
        yield started


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Iterator[LocalServer]:
    """A server of two versions, `stable` and `canary`, which call the same thing differently."""
    base_path = tmp_path_factory.mktemp("versions")
    write_model(base_path / "1", class_id=1)
    write_model(base_path / "2", class_id=2)
    model = ServedModel("detector", str(base_path), VersionPolicy("all"), {"stable": 1, "canary": 2})
    loading = LoadingOptions(poll_wait_seconds=0, allow_labels_for_unavailable=True)
    with LocalServer([model], ServerOptions(loading=loading)) as server:
        yield server


@contextlib.contextmanager
def running_page(*words: str, launcher: tuple[str, ...] = ("streamlit", "run", "serving/app.py")) -> Iterator[str]:
    """Starts the page's process, with `words` after the --; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", *launcher, *(["--"] if launcher[0] == "streamlit" else []), *words]
    environment = {**os.environ, "STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if b"URL:" in line:
                break
        else:
            raise AssertionError(f"{command} ended")
        address = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=60) as answer:
            assert answer.status == 200
        yield address
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="module")
def address(two_versions: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of `two_versions`."""
    label_map = tmp_path_factory.mktemp("labels") / "label_map.pbtxt"
    label_map.write_text(
        'item { id: 1 name: "/m/1" display_name: "Red *sofa* [x](http://y)" } item { id: 2 name: "Lamp" }',
        encoding="utf-8",
    )
    with running_page(
        "--server", f"localhost:{two_versions.port}", "--model_name", "detector", "--label_map_path", str(label_map),
        "--version_label", "stable", "--version_label", "canary", "--max_pictures", "2",
    ) as started:  # fmt: skip
        yield started


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address at a width."""
    contexts, troubles = [], []

    def opened(address: str, viewport: dict[str, int] = DESK) -> Any:
        context = browser.new_context(viewport=viewport, permissions=["camera"])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("request", lambda request: _is_local(request.url) or troubles.append(request.url))
        page.goto(address)
        page.wait_for_selector("h2, [data-testid=stAlert]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not troubles


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def text_of(page: Any) -> str:
    """What a person reads."""
    return page.inner_text("[data-testid=stMain]").replace("\u2060", "")


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def bring(page: Any, *files: tuple[str, bytes]) -> None:
    page.set_input_files(
        "input[type=file]",
        [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files],
    )


def ready(page: Any) -> None:
    """Waits until the script has run to its end, and the browser has all that it shows."""
    page.wait_for_selector("[data-testid=stDownloadButton]")
    page.wait_for_selector("[data-testid=stStatusWidget]", state="detached")
    page.locator("[data-testid=stSkeleton]").first.wait_for(state="detached")
    page.wait_for_function("[...document.images].every(image => image.complete)")


def shown_images(page: Any, count: int) -> list[Any]:
    """Returns the images that the page shows, which are `count` as soon as all are there."""
    images = page.locator("[data-testid=stImage] img")
    images.nth(count - 1).wait_for()
    assert images.count() == count
    return images.all()


def choose(page: Any, label: str, option: str) -> None:
    box = page.get_by_label(label, exact=False).first
    box.scroll_into_view_if_needed()
    # A list closes when the page is scrolled, of which it hears a frame later.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box.click()
    page.get_by_role("option", name=option).click()


def downloaded(page: Any) -> dict[str, Any]:
    ready(page)
    with page.expect_download() as download:
        page.click("[data-testid=stDownloadButton] button")
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def test_a_image_is_dropped_its_boxes_seen_and_downloaded_and_the_listing_confirmed(open_page, address, image):
    page = open_page(address)
    bring(page, ("living [room].png", image((16, 12, 48, 36))))
    ready(page)
    text = text_of(page)
    assert "living [room].png: 64 x 48 pixels" in text
    assert "stable (version 1): 1 box, answered in" in text
    assert "In the listing: Red *sofa* [x](http://y)" in text  # as it is: neither bold nor a link
    assert page.locator("[data-testid=stMain] a").count() == 0
    shown_images(page, 1)
    saved = downloaded(page)
    assert (saved["model_name"], saved["min_score"], saved["classes"]) == ("detector", 0.5, [])
    assert saved["amenities"] == [{"name": "Red *sofa* [x](http://y)", "count": 1, "score": 0.9}]
    (version,) = saved["versions"]
    assert (version["version"], version["version_label"]) == (1, "stable")
    (detection,) = version["pictures"][0]["detections"]
    assert detection["box_pixels"] == {"ymin": 12.0, "xmin": 16.0, "ymax": 36.0, "xmax": 48.0}
    page.locator("[data-testid=stCheckbox]").first.click()  # the host says it is not there
    page.wait_for_selector("text=In the listing: none")
    assert downloaded(page)["amenities"] == []


def test_the_threshold_and_the_classes_choose_what_is_shown(open_page, address, image):
    page = open_page(address)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    ready(page)
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")  # to 0: the second, weak box is shown as well
    page.wait_for_selector("text=2 boxes, answered in")
    slider.press("End")
    page.wait_for_selector("text=0 boxes, answered in")
    page.wait_for_selector("text=Perhaps also")  # 0.9 does not reach 1, but half of it
    slider.press("Home")
    page.wait_for_selector("text=2 boxes, answered in")
    choose(page, "Classes", "Lamp")
    page.wait_for_selector("text=0 boxes, answered in")
    saved = downloaded(page)
    assert (saved["classes"], saved["min_score"], saved["amenities"]) == (["Lamp"], 0.0, [])


def test_two_versions_stand_side_by_side_and_their_differences_are_told(open_page, address, image):
    page = open_page(address)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    ready(page)
    choose(page, "Compare with", "canary (version 2)")
    page.wait_for_selector("text=in both")
    text = text_of(page)
    assert "0 in both; only in stable (version 1): Red *sofa* [x](http://y) 90%" in text
    assert "only in canary (version 2): Lamp 90%" in text
    left, right = (each.bounding_box() for each in shown_images(page, 2))
    assert left["x"] + left["width"] <= right["x"]
    saved = downloaded(page)
    assert [entry["version"] for entry in saved["versions"]] == [1, 2]
    names = [entry["pictures"][0]["detections"][0]["name"] for entry in saved["versions"]]
    assert names == ["Red *sofa* [x](http://y)", "Lamp"]


def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_camera_takes_an_image(open_page, address, image):
    page = open_page(address, PHONE)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    ready(page)
    choose(page, "Compare with", "canary (version 2)")
    page.wait_for_selector("text=in both")
    above, below = (each.bounding_box() for each in shown_images(page, 2))
    assert above["y"] + above["height"] <= below["y"]  # too narrow for two beside each other
    assert min(above["width"], below["width"]) > 0.8 * PHONE["width"]
    main = page.locator("[data-testid=stMain]")
    assert main.evaluate("element => element.scrollWidth - element.clientWidth") == 0
    page.get_by_text("Camera", exact=True).click()
    page.wait_for_selector("[data-testid=stCameraInput] video")
    page.wait_for_function("document.querySelector('[data-testid=stCameraInput] video').videoWidth > 0")
    page.get_by_role("button", name="Take Photo").click()
    page.wait_for_selector("text=/camera: \\d+ x \\d+ pixels/")


def test_what_cannot_be_used_is_one_sentence_and_the_other_images_are_answered(open_page, address, image):
    page = open_page(address)
    good = image((16, 12, 48, 36))
    bring(page, ("broken.png", good[:60]), ("room.png", good), ("third.png", good))
    ready(page)
    alerts = page.locator("[data-testid=stAlert]").all_inner_texts()
    assert alerts[0] == "The first 2 of 3 pictures are shown; the page takes no more at once."
    assert alerts[1].startswith("The picture broken.png cannot be used: does not decode")
    assert len(alerts) == 2
    shown_images(page, 1)


def test_a_server_that_is_down_is_one_sentence_and_tried_again_when_it_is_back(open_page, encoded_model, image):
    port = free_port()
    with running_page(
        "--server", f"localhost:{port}", "--model_name", "detector", launcher=("serving.app",)
    ) as address:  # the command starts Streamlit itself
        page = open_page(address)
        bring(page, ("room.png", image((16, 12, 48, 36))))
        alert = page.locator("[data-testid=stAlert]")
        alert.wait_for()
        assert alert.inner_text().startswith(f"No server answers at localhost:{port}: ")
        assert alert.inner_text().count("\n") == 0
        with LocalServer.of_model(
            "detector", encoded_model, ServerOptions(port=port, loading=LoadingOptions(poll_wait_seconds=0))
        ):
            page.get_by_role("button", name="Try again").click()
            page.wait_for_selector("text=version 1: 1 box, answered in")
            assert "class 1" in page.inner_text("[data-testid=stMain]")  # there is no label map


def test_a_wrong_model_name_and_a_wrong_flag_are_one_sentence(open_page, two_versions):
    with running_page("--server", f"localhost:{two_versions.port}", "--model_name", "detectr") as address:
        alert = open_page(address).locator("[data-testid=stAlert]")
        alert.wait_for()
        assert alert.inner_text().startswith(f"The server at localhost:{two_versions.port} has no model 'detectr'"), (
            alert.inner_text()
        )
    with running_page("--model_nam", "detector") as address:
        page = open_page(address)
        page.wait_for_selector("[data-testid=stAlert]")
        assert "--model_name" in page.inner_text("[data-testid=stAlert]")
