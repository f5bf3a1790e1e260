"""The page in headless Chromium, asking a running server: what a host sees and does, on a desk and on a phone."""

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
SOFA = "Red *sofa* [x](http://y)"  # as it is written: neither bold nor a link

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
def running_page(*words: str, launcher: tuple[str, ...] = ("serving.app",), port: int | None = None) -> Iterator[str]:
    """Starts the page's process; yields its address.

    Args:
        words: The page's flags; --port is given beside them.
        launcher: What `python -m` runs: the command, or `streamlit run` with this file and Streamlit's own flags.
        port: Of the page; any free one if None.
    """
    port = port or free_port()
    at = ["--port", str(port)] if launcher == ("serving.app",) else [f"--server.port={port}", "--"]
    command = [sys.executable, "-m", *launcher, *at, *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if b"URL:" in line:
                break
        else:
            raise AssertionError(f"{command} ended")
        address = line.decode().split("URL:")[1].strip()
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=60) as answer:
            assert answer.status == 200
        yield address
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="module")
def address(two_versions: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of `two_versions`."""
    label_map = tmp_path_factory.mktemp("labels") / "label_map.pbtxt"
    label_map.write_text(
        f'item {{ id: 1 name: "/m/1" display_name: "{SOFA}" }} item {{ id: 2 name: "Lamp" }}',
        encoding="utf-8",
    )
    with running_page(
        "--server", f"localhost:{two_versions.port}", "--model_name", "detector", "--label_map_path", str(label_map),
        "--version_label", "stable", "--version_label", "canary", "--max_pictures", "3",  # its earlier name
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
        page.wait_for_selector("h1")
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
    """What a host reads: what is folded away is not among it."""
    return page.inner_text("[data-testid=stMain]").replace("\u2060", "")


def _is_local(url: str) -> bool:
    return url.startswith(("http://localhost:", "ws://localhost:", "data:", "blob:"))


def bring(page: Any, *files: tuple[str, bytes]) -> None:
    page.set_input_files(
        "input[type=file]",
        [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files],
    )


def ready(page: Any) -> None:
    """Waits until the script has run to its end, and the browser has all that it shows."""
    page.wait_for_selector("text=Download the list")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")  # the status shows only later
    page.locator("[data-testid=stSkeleton]").first.wait_for(state="detached")
    page.wait_for_function("[...document.images].every(image => image.complete)")


def unfold(page: Any) -> None:
    """Opens what is for engineers."""
    ready(page)
    page.get_by_text("For engineers", exact=True).click()
    page.wait_for_selector("text=Score threshold")


def wait_for_captions(page: Any, *texts: str) -> None:
    """Waits until these, and no others, stand below the photos."""
    page.wait_for_function(
        r"""texts => JSON.stringify(texts) === JSON.stringify(
            [...document.querySelectorAll('[data-testid=stImageCaption]')]
                .map(caption => caption.innerText.replaceAll('\u2060', '').trim()))""",
        arg=list(texts),
    )


def wait_for_list(page: Any, *lines: str) -> None:
    """Waits until the host's list has these lines."""
    page.wait_for_function(
        """text => document.querySelector('[data-testid=stCode]')?.innerText.trim() === text""", arg="\n".join(lines)
    )


def choose(page: Any, label: str, option: str) -> None:
    """Opens a list and chooses; opens it again where it closed, as it does when what is above it moves."""
    import playwright.sync_api as playwright

    box = page.get_by_label(label, exact=False).first
    chosen = page.get_by_role("option", name=option)
    for _ in range(10):
        box.scroll_into_view_if_needed()
        if not chosen.is_visible():
            box.click()
        with contextlib.suppress(playwright.TimeoutError):
            chosen.click(timeout=3_000)
            # A list that one can choose several of may stay open, and the rest of the page then has no roles.
            page.mouse.click(4, 4)
            page.get_by_role("listbox").wait_for(state="hidden")
            return
    raise AssertionError(f"{label!r} does not offer {option!r}")


def tick(page: Any, name: str) -> None:
    page.locator("[data-testid=stCheckbox]").filter(has_text=name).click()


def downloaded(page: Any, button: str = "Download the list") -> str:
    """Clicks a button and returns the file; clicks again where the button moved away below the first click."""
    import playwright.sync_api as playwright

    for _ in range(4):
        ready(page)
        with contextlib.suppress(playwright.TimeoutError):
            with page.expect_download(timeout=PATIENCE / 4) as download:
                page.get_by_role("button", name=button).click()
            return Path(download.value.path()).read_text(encoding="utf-8")
    raise AssertionError(f"{button!r} gives no file")


def try_again(page: Any) -> None:
    """Clicks, unless the script was still on its way when the service came, and the button has gone."""
    import playwright.sync_api as playwright

    with contextlib.suppress(playwright.TimeoutError):
        page.get_by_role("button", name="Try again").click(timeout=PATIENCE / 4)


def test_a_host_brings_photos_reads_the_list_and_takes_it_along(open_page, address, image):
    page = open_page(address)
    bring(page, ("living [room].png", image((16, 12, 48, 36))), ("hall.png", image((8, 8, 30, 30))))
    wait_for_captions(page, f"living [room].png: {SOFA}", f"hall.png: {SOFA}")  # neither bold nor a link
    ready(page)
    text = text_of(page)
    assert "Amenities we found" in text
    assert "in 2 photos" in text
    assert page.get_by_label("How many").input_value() == "1"
    assert page.locator("[data-testid=stMain] a").count() == 0
    wait_for_list(page, SOFA)
    assert downloaded(page) == f"{SOFA}\n"
    for word in ("model", "threshold", "server", "gRPC", "endpoint", "version", "detection", "class", "score", "%"):
        assert word.casefold() not in text.casefold(), word


def test_what_a_host_corrects_is_what_leaves_and_more_photos_undo_nothing(open_page, address, image):
    page = open_page(address)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    ready(page)
    number = page.get_by_label("How many")
    number.fill("3")
    number.press("Enter")
    wait_for_list(page, f"{SOFA} (3)")
    bring(page, ("other.png", image((8, 8, 30, 30))))
    page.wait_for_selector("text=in 2 photos")
    wait_for_list(page, f"{SOFA} (3)")
    missed = page.get_by_label("Did we miss something?")
    missed.fill("Sauna")
    missed.press("Enter")
    wait_for_list(page, f"{SOFA} (3)", "Sauna")
    tick(page, "sofa")
    wait_for_captions(page, "room.png: nothing on your list", "other.png: nothing on your list")
    bring(page, ("third.png", image((4, 4, 20, 20))))
    page.wait_for_selector("text=in 3 photos")
    wait_for_list(page, "Sauna")
    assert downloaded(page) == "Sauna\n"
    unfold(page)
    saved = json.loads(downloaded(page, "Download JSON"))
    assert saved["amenities"] == [{"name": "Sauna", "count": 1, "images": 0, "score": None}]
    (version,) = saved["versions"]
    assert [len(found["detections"]) for found in version["images"]] == [1, 1, 1]  # what the model said stays


def test_engineers_unfold_threshold_classes_and_the_json(open_page, address, image):
    page = open_page(address)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    unfold(page)
    saved = json.loads(downloaded(page, "Download JSON"))
    assert (saved["model_name"], saved["min_score"], saved["classes"]) == ("detector", 0.5, [])
    assert saved["amenities"] == [{"name": SOFA, "count": 1, "images": 1, "score": 0.9}]
    (version,) = saved["versions"]
    assert (version["version"], version["version_label"]) == (1, "stable")
    (detection,) = version["images"][0]["detections"]
    assert detection["box_pixels"] == {"ymin": 12.0, "xmin": 16.0, "ymax": 36.0, "xmax": 48.0}
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")  # to 0: the second, weak box counts as well
    page.wait_for_selector("text=2 detections from")
    wait_for_list(page, f"{SOFA} (2)")
    slider.press("End")
    page.wait_for_selector("text=0 detections from")
    page.wait_for_selector("text=Perhaps also")  # 0.9 does not reach 1, but half of it
    wait_for_captions(page, f"room.png: {SOFA}?")
    wait_for_list(page, "(empty)")
    tick(page, "sofa")
    wait_for_captions(page, f"room.png: {SOFA}")
    choose(page, "Classes", "Lamp")
    page.wait_for_selector("text=We found none")
    saved = json.loads(downloaded(page, "Download JSON"))
    assert (saved["classes"], saved["min_score"], saved["amenities"]) == (["Lamp"], 1.0, [])


def test_two_versions_stand_side_by_side_and_their_differences_are_told(open_page, address, image):
    page = open_page(address)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    unfold(page)
    choose(page, "Compare with", "canary (version 2)")
    page.wait_for_selector("text=in both")
    text = text_of(page)
    assert f"0 in both; only in stable (version 1): {SOFA} 90%" in text
    assert "only in canary (version 2): Lamp 90%" in text
    wait_for_captions(page, f"room.png: {SOFA}", "room.png: stable (version 1)", "room.png: canary (version 2)")
    left, right = (each.bounding_box() for each in page.locator("[data-testid=stImage] img").all()[1:])
    assert left["x"] + left["width"] <= right["x"]
    saved = json.loads(downloaded(page, "Download JSON"))
    assert [entry["version"] for entry in saved["versions"]] == [1, 2]
    names = [entry["images"][0]["detections"][0]["name"] for entry in saved["versions"]]
    assert names == [SOFA, "Lamp"]


def test_on_a_phone_the_list_is_above_the_photos_and_nothing_is_wider_than_the_screen(open_page, address, image):
    page = open_page(address, PHONE)
    bring(page, ("room.png", image((16, 12, 48, 36))), ("hall.png", image((8, 8, 30, 30))))
    wait_for_captions(page, f"room.png: {SOFA}", f"hall.png: {SOFA}")
    ready(page)
    listing = page.locator(".st-key-listing").bounding_box()
    first, second = (each.bounding_box() for each in page.locator("[data-testid=stImage] img").all())
    assert listing["y"] + listing["height"] <= first["y"]
    assert first["y"] + first["height"] <= second["y"]  # too narrow for two beside each other
    assert min(first["width"], second["width"]) > 0.8 * PHONE["width"]
    number = page.locator(".st-key-listing [data-testid=stNumberInput]").bounding_box()
    assert number["x"] + number["width"] <= listing["x"] + listing["width"]
    assert page.locator("[data-testid=stNumberInputStepUp]").is_visible()  # a finger needs them
    unfold(page)
    main = page.locator("[data-testid=stMain]")
    assert main.evaluate("element => element.scrollWidth - element.clientWidth") == 0


def test_photos_of_the_camera_join_the_files_and_can_be_removed(open_page, address, image):
    page = open_page(address, PHONE)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    wait_for_captions(page, f"room.png: {SOFA}")
    page.get_by_text("Take photos here").click()
    page.wait_for_selector("[data-testid=stCameraInput] video")
    page.wait_for_function("document.querySelector('[data-testid=stCameraInput] video').videoWidth > 0")
    page.get_by_role("button", name="Take Photo").click()
    page.wait_for_selector("text=/^Camera 1: /")
    page.get_by_text("Take photos here").click()  # off again: what was taken stays
    page.wait_for_selector("[data-testid=stCameraInput]", state="detached")
    page.wait_for_function("document.querySelectorAll('[data-testid=stImageCaption]').length === 2")
    page.get_by_role("button", name="Remove Camera 1").click()
    wait_for_captions(page, f"room.png: {SOFA}")


def test_with_the_keyboard_alone_a_host_reaches_and_changes_the_list(open_page, address, image):
    page = open_page(address)
    bring(page, ("room.png", image((16, 12, 48, 36))))
    ready(page)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.st-key-listing [data-testid=stCheckbox]') !== null"):
            break
    page.keyboard.press("Space")
    wait_for_captions(page, "room.png: nothing on your list")
    names = page.locator("[data-testid=stImage] img").evaluate_all("images => images.map(image => image.alt)")
    assert names == ["room.png: nothing on your list"]


def test_what_cannot_be_used_is_told_to_a_host_and_why_to_an_engineer(open_page, address, image):
    page = open_page(address)
    good = image((16, 12, 48, 36))
    bring(page, ("broken.png", good[:60]), ("notes.png", b"no photo"), ("room.png", good), ("fourth.png", good))
    ready(page)
    alerts = page.locator("[data-testid=stAlert]").all_inner_texts()
    assert alerts == [
        "We take 3 photos at once: here are the first 3 of 4. Remove some to see others.",
        "“broken.png” is damaged or incomplete. Please add it again.",
        "“notes.png” is not a photo that we can read. Please add a JPEG, PNG or WebP file.",
    ]
    assert "does not decode" not in text_of(page)
    unfold(page)
    page.wait_for_selector("text=broken.png: does not decode")
    bring(page, ("more.png", b"no photo"))
    page.wait_for_selector("text=here are the first 3 of 5")
    assert page.get_by_text("Score threshold").is_visible()  # what was unfolded stays so


def test_a_service_that_is_away_is_told_to_a_host_and_tried_again_when_it_is_back(open_page, encoded_model, image):
    port = free_port()
    with running_page("--server", f"localhost:{port}", "--model_name", "detector") as address:
        page = open_page(address)
        bring(page, ("room.png", image((16, 12, 48, 36))))
        alert = page.locator("[data-testid=stAlert]")
        alert.wait_for()
        assert alert.inner_text() == "We cannot look at your photos right now. Please try again in a few minutes."
        assert f"localhost:{port}" not in text_of(page)
        page.get_by_text("For engineers", exact=True).click()
        page.wait_for_selector(f"text=no server answers at localhost:{port}: Connection refused")
        with LocalServer.of_model(
            "detector", encoded_model, ServerOptions(port=port, loading=LoadingOptions(poll_wait_seconds=0))
        ):
            try_again(page)
            wait_for_list(page, "class 1")  # there is no label map
            tick(page, "class 1")
            wait_for_list(page, "(empty)")
        bring(page, ("other.png", image((8, 8, 30, 30))))
        alert.wait_for()
        with LocalServer.of_model(
            "detector", encoded_model, ServerOptions(port=port, loading=LoadingOptions(poll_wait_seconds=0))
        ):
            try_again(page)
            page.wait_for_selector("text=in 2 photos")
            wait_for_list(page, "(empty)")  # as the host left it


def test_a_wrong_model_name_is_for_those_who_run_the_page(open_page, two_versions):
    with running_page("--server", f"localhost:{two_versions.port}", "--model_name", "detectr") as address:
        page = open_page(address)
        page.wait_for_selector("text=We cannot look at your photos right now")
        page.get_by_text("For engineers", exact=True).click()
        page.wait_for_selector(f"text=the server at localhost:{two_versions.port} has no model 'detectr'")


def port_of(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def listens(address: str, port: int) -> bool:
    """Whether something takes connections at an address of this machine."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def listens_here_alone(address: str) -> bool:
    # Linux has all of 127.0.0.0/8: whoever listens at every address listens there too.
    port = port_of(address)
    return address == f"http://localhost:{port}" and listens("127.0.0.1", port) and not listens("127.0.0.2", port)


def test_it_listens_on_this_machine_alone(address):
    assert listens_here_alone(address)


def test_streamlit_itself_listens_here_alone_and_takes_its_own_flags_for_more(open_page):
    words = ["--model_name", "any", "--host", "0.0.0.0"]
    with running_page(*words, launcher=("streamlit", "run", "serving/app.py")) as address:
        assert listens_here_alone(address)
        page = open_page(address)
        page.wait_for_selector("text=This page is not set up yet.")
        assert "--host" not in text_of(page)
        page.get_by_text("For engineers", exact=True).click()
        page.wait_for_selector("text=streamlit run takes --server.address, before its --")


def test_a_flag_opens_it_up_which_is_said():
    port = free_port()
    command = [sys.executable, "-m", "serving.app", "--model_name", "any", "--host", "0.0.0.0", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "URL:" in line:
                break
        assert lines[0] == "listens at 0.0.0.0: whoever reaches it can use the page, which has no login\n"
        assert lines[-1].split("URL:")[1].strip() == f"http://{socket.gethostname()}:{port}"
        assert listens("127.0.0.2", port)
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()
