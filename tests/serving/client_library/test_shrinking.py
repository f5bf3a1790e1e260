"""Images shrunk before they are sent: how far, what the server gets, and boxes that stay where they are."""

from __future__ import annotations

import asyncio
import io
import json

import numpy as np
import pytest
from PIL import Image

from data_prep.images.image_file import ImageError
from data_prep.runtime.command_line import UsageError
from serving.client import main as ask
from serving.client_library.async_detection_client import AsyncDetectionClient
from serving.client_library.client_errors import ServerError
from serving.client_library.detection_client import DetectionClient
from serving.client_library.image_requests import read_image
from serving.client_library.shrinking import Shrink, shrink_image, shrunk_size
from serving.local_server import LocalServer
from serving.predict_folder import main as predict
from serving.wire.tensors import array_of
from tests.colour_detector import export_colour_detector
from tests.conftest import block_image
from tests.serving.conftest import encoded_image
from tests.serving.stand_in_detector import StandInDetector
from train.pipeline import load_pipeline

FIXED = {"height": 320, "width": 320}
KEPT = {"min_dimension": 600, "max_dimension": 1024}
MANY_BYTES = 2**26
BOX, SIZE = (300, 600, 900, 1500), (4000, 3000)


@pytest.fixture(scope="module")
def photo():
    """A photograph of 12 megapixels with a red rectangle."""
    return encoded_image(BOX, SIZE, "JPEG")


@pytest.mark.parametrize(
    ("size", "sides", "wanted"),
    [
        ((4000, 3000), FIXED, (427, 320)),
        ((3000, 4000), FIXED, (320, 427)),
        ((640, 480), FIXED, (427, 320)),
        ((420, 380), FIXED, (420, 380)),  # hardly larger than needed
        ((200, 4000), FIXED, (200, 4000)),  # one side would become too small
        ((4000, 3000), KEPT, (800, 600)),
        ((4000, 1000), KEPT, (1024, 256)),
        ((640, 480), KEPT, (640, 480)),
    ],
)
def test_an_image_is_shrunk_to_the_least_size_that_the_resizer_does_not_enlarge(size, sides, wanted):
    assert shrunk_size(*size, sides) == wanted


def test_a_photo_becomes_a_small_jpeg_that_shows_the_same(photo):
    image = read_image(photo, MANY_BYTES)
    shrunk = shrink_image(image, FIXED, 90)
    sent = Image.open(io.BytesIO(shrunk.encoded))
    assert (sent.format, sent.size) == ("JPEG", (427, 320))
    assert (shrunk.width, shrunk.height) == SIZE and len(shrunk.encoded) < len(photo) / 5
    whole = Image.open(io.BytesIO(photo)).resize(sent.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(sent, int) - np.asarray(whole, int)).mean() < 2
    assert len(shrink_image(image, FIXED, 40).encoded) < len(shrunk.encoded)


def test_what_is_no_rgb_jpeg_is_shrunk_too_and_what_would_not_get_smaller_is_not():
    for kind, mode in (("PNG", "RGBA"), ("JPEG", "CMYK"), ("JPEG", "L")):
        content = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
        Image.fromarray(noise).convert(mode).save(content, kind)
        shrunk = shrink_image(read_image(content.getvalue(), MANY_BYTES), FIXED, 90)
        assert Image.open(io.BytesIO(shrunk.encoded)).size == (427, 320), (kind, mode)
    plain = read_image(encoded_image(None, (500, 500), "PNG"), MANY_BYTES)
    assert shrink_image(plain, FIXED, 90) is plain


def test_an_image_cut_short_is_refused_by_name_and_the_others_are_answered(photo):
    with pytest.raises(ImageError):
        shrink_image(read_image(photo[: len(photo) // 2], MANY_BYTES), FIXED, 90)
    with StandInDetector(least_sides=FIXED) as server, DetectionClient(server.address, "m", shrink=Shrink()) as client:
        failed, answered = client.detect_many([photo[: len(photo) // 2], photo])
    assert failed.failure is not None and answered.failure is None


def test_the_client_asks_the_model_once_and_boxes_stay_right(photo):
    with StandInDetector(least_sides=FIXED) as server:
        with DetectionClient(server.address, "m", shrink=Shrink()) as client:
            found = [client.detect(photo), *client.detect_many([photo])]
            request = client.request_for([photo])
        signatures = [request.model_spec.signature_name for request in server.requests]
    assert signatures == ["image_resizer", "serving_default", "serving_default"]
    (sent,) = array_of(request.inputs["input_tensor"], max_bytes=MANY_BYTES)
    assert Image.open(io.BytesIO(sent)).size == (427, 320)
    for answer in found:
        assert (answer.width, answer.height) == SIZE
        box = answer.detections[0].box_pixels
        assert (box.xmin, box.ymin, box.xmax, box.ymax) == pytest.approx(BOX, abs=15)


def test_the_asyncio_client_shrinks_too(photo):
    async def run(address: str):
        async with AsyncDetectionClient(address, "m", shrink=Shrink(quality=50)) as client:
            return await client.detect(photo)

    with StandInDetector(least_sides=KEPT) as server:
        assert asyncio.run(run(server.address)).width == SIZE[0]
        (sent,) = array_of(server.requests[-1].inputs["input_tensor"], max_bytes=MANY_BYTES)
    assert Image.open(io.BytesIO(sent)).size == (800, 600)


def test_a_model_that_does_not_tell_needs_a_number(photo, tmp_path, capsys):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo)
    with StandInDetector() as server:
        words = ["--server", server.address, "--model_name", "m", str(path), "--json"]
        with pytest.raises(ServerError, match=r"does not tell what it shrinks images to.*--shrink_to"):
            ask([*words, "--shrink"])
        assert ask([*words, "--shrink_to", "480"]) == 0
        (sent,) = array_of(server.requests[-1].inputs["input_tensor"], max_bytes=MANY_BYTES)
    assert Image.open(io.BytesIO(sent)).size == (640, 480)
    assert json.loads(capsys.readouterr().out)["width"] == SIZE[0]


def test_wrong_flags_are_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(UsageError, match="quality is 1 to 95"):
        Shrink(quality=96)
    with pytest.raises(UsageError, match="side of 0"):
        Shrink(0)
    with pytest.raises(SystemExit):
        ask(["--model_name", "m", "--shrink_quality", "100", "a.jpg"])
    assert "100 is more than 95" in capsys.readouterr().err
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "photos").mkdir()
    words = [str(tmp_path / "photos"), "--saved_model_dir", str(tmp_path), "--output_directory", str(tmp_path / "out")]
    with pytest.raises(UsageError, match=r"--shrink and --shrink_to are of images that are sent"):
        predict([*words, "--shrink"])


def test_a_served_export_tells_it_and_a_folder_is_predicted_from_shrunk_images(block_config, tmp_path):
    export_colour_detector(load_pipeline(str(block_config("ssd"))), tmp_path, warmup_batch_sizes=[1])
    (tmp_path / "photos").mkdir()
    for number in range(2):
        large = Image.open(io.BytesIO(block_image(number)[0])).resize((640, 480))
        large.save(tmp_path / "photos" / f"{number}.jpg", quality=95)
    rows = {}
    with LocalServer.of_model("blocks", tmp_path / "versions") as server:
        for name, more in (("whole", []), ("shrunk", ["--shrink"])):
            out = tmp_path / name
            words = [str(tmp_path / "photos"), "--server", server.address, "--model_name", "blocks", *more]
            assert predict([*words, "--output_directory", str(out), "--min_score", "0.5"]) == 0
            lines = (out / "predictions.jsonl").read_text().splitlines()
            rows[name] = [json.loads(line) for line in lines]
    assert json.loads((tmp_path / "shrunk" / "run.json").read_text())["shrink"]["quality"] == 90
    for whole, shrunk in zip(rows["whole"], rows["shrunk"], strict=True):
        assert (shrunk["width"], shrunk["height"]) == (640, 480)
        assert whole["detections"] and len(whole["detections"]) == len(shrunk["detections"])
        for a, b in zip(whole["detections"], shrunk["detections"], strict=True):
            assert a["score"] == pytest.approx(b["score"], abs=0.05)
