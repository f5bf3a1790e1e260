"""The client as a library: typed results, order, bounded memory, what is read from a response."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from data_prep.formats.label_map import read_label_map
from data_prep.runtime.command_line import UserError, printable
from serving.client import DetectionsTable, build_parser
from serving.client_library.client_flags import min_score_of
from serving.client_library.detection_client import DetectionClient, ImageRequestError
from serving.client_library.detections import BY_THE_MODEL, Box, read_detections


@pytest.fixture
def client(server, label_map_path):
    with DetectionClient(server.address, "detector", label_map=read_label_map(label_map_path)) as client:
        yield client


def test_bytes_and_paths_give_the_same_typed_detections(client, tmp_path, image):
    path = tmp_path / "one.png"
    path.write_bytes(image((10, 20, 30, 40)))
    by_path, by_bytes = client.detect(path), client.detect(path.read_bytes())
    assert by_path.detections == by_bytes.detections
    assert (by_path.image, by_path.width, by_path.height) == (str(path), 64, 48)
    best = by_path.detections[0]
    assert (best.class_id, best.name) == (1, "Red thing") and best.score == pytest.approx(0.9)
    assert best.box_normalized == pytest.approx(Box(20 / 48, 10 / 64, 40 / 48, 30 / 64))
    assert best.box_pixels == pytest.approx(Box(ymin=20, xmin=10, ymax=40, xmax=30), abs=0.01)
    np.testing.assert_allclose(by_path.boxes_pixels_ymin_xmin_ymax_xmax()[0], [20, 10, 40, 30], atol=0.01)


def test_pil_images_and_arrays_are_answered_as_their_files_are(client, pixel_server, image):
    content = image((10, 20, 30, 40))
    opened = Image.open(io.BytesIO(content))
    by_bytes = client.detect(content)
    for given in (opened, opened.convert("RGBA"), np.asarray(opened), np.asarray(opened)[:, ::-1][:, ::-1]):
        found = client.detect(given)
        assert found.detections == by_bytes.detections
        assert (found.image, found.width, found.height) == ("", 64, 48)
    with DetectionClient(pixel_server.address, "pixels") as of_pixels:
        (best,) = of_pixels.detect(np.asarray(opened)).detections
    assert best.box_pixels == pytest.approx(by_bytes.detections[0].box_pixels)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)]
)
def test_an_array_of_another_kind_costs_only_itself(client, image, wrong):
    with pytest.raises(ImageRequestError, match=r"uint8 \[height, width, 3\]"):
        client.detect(wrong)
    failed, answered = client.detect_many([wrong, image((10, 20, 30, 40))])
    assert failed.failure.reason == "no RGB pixels"
    assert len(answered.detections) == 1


@pytest.mark.parametrize("wrong", [7, None, ["a.jpg"]])
def test_what_is_no_image_is_a_mistake_of_the_program(client, wrong):
    with pytest.raises(TypeError, match="is no image; give a path, encoded bytes, a PIL image, or a NumPy array"):
        client.detect(wrong)


def test_the_default_threshold_is_the_commands(client, image):
    assert min_score_of(build_parser().parse_args(["a.jpg", "--model_name", "m"])) == BY_THE_MODEL
    with DetectionClient(client.server, "detector", min_score=0.0) as of_all:
        scores = [found.score for found in of_all.detect(image((10, 20, 30, 40))).detections]
    assert scores == pytest.approx([0.9, 0.1])
    assert [found.score for found in client.detect(image((10, 20, 30, 40))).detections] == scores[:1]


def test_detect_raises_for_a_bad_image_and_goes_on(client, image):
    for content, reason in (
        (b"", "empty file"),
        (b"text", "not an image"),
        (image(None)[:-30], "refused by the server"),
    ):
        with pytest.raises(ImageRequestError) as error:
            client.detect(content)
        assert error.value.failure.reason == reason
    assert client.detect(image(None)).width == 64


def test_many_images_are_answered_in_order_and_read_only_as_needed(server, image):
    taken = 0

    def images():
        nonlocal taken
        for index in range(200):
            taken += 1
            yield image((index % 40, 5, index % 40 + 10, 20))

    with DetectionClient(server.address, "detector", max_in_flight=3, batch_size=2, min_score=0.5) as client:
        furthest_ahead = 0
        for index, result in enumerate(client.detect_many(images())):
            assert result.detections[0].box_pixels.xmin == pytest.approx(index % 40, abs=0.01)
            furthest_ahead = max(furthest_ahead, taken - index)
    assert index == 199
    assert 3 < furthest_ahead <= 2 * 3 * 2 + 2


def test_leaving_early_stops_asking(server, image):
    before = threading.active_count()
    with DetectionClient(server.address, "detector", max_in_flight=2) as client:
        answers = client.detect_many(image(None) for _ in range(10_000))
        next(answers)
        answers.close()
    for thread in threading.enumerate():
        if thread.name.startswith("detect"):
            thread.join(10)
    assert threading.active_count() <= before + 2


def test_a_client_for_another_kind_of_model_says_what_is_wrong(tmp_path):
    import tensorflow as tf

    from serving.local_server import LoadingOptions, LocalServer, ServerOptions

    class Doubler(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def double(self, x):
            return {"y": 2.0 * x}

    module = Doubler()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.double})
    with (
        LocalServer.of_model("doubler", tmp_path, ServerOptions(loading=LoadingOptions(poll_wait_seconds=0))) as server,
        DetectionClient(server.address, "doubler") as client,
        pytest.raises(UserError, match="is no detector: signature 'serving_default' takes x and answers y"),
    ):
        client.connect()


def outputs(boxes, scores, classes, count):
    return {
        "detection_boxes": np.array([boxes], np.float32),
        "detection_scores": np.array([scores], np.float32),
        "detection_classes": np.array([classes], np.float32),
        "num_detections": np.array([count], np.float32),
    }


def test_detections_are_counted_sorted_cut_off_and_named():
    boxes = [[0.5, 0.5, 0.75, 1.0], [-0.1, 0.0, 0.5, 1.2], [np.nan, 0, 1, 1], [0, 0, 1, 1]]
    found = read_detections(outputs(boxes, [0.3, 0.8, 0.9, 0.9], [3, 1, 1, 1], 3), 0, (200, 100))
    assert [detection.name for detection in found] == ["class 1", "class 3"]
    assert found[0].box_pixels == Box(0, 0, 50, 200) and found[0].box_normalized.ymin == pytest.approx(-0.1)
    assert found[1].box_pixels == Box(50, 100, 75, 200)


@pytest.mark.parametrize("count", [float("nan"), -1, 0, 100])
def test_a_count_that_cannot_be_is_bounded_by_the_boxes(count):
    found = read_detections(outputs([[0, 0, 1, 1]], [0.5], [1], count), 0, (10, 10))
    assert len(found) == (1 if count == 100 else 0)


def test_arrays_that_do_not_fit_together_are_refused():
    wrong = outputs([[0, 0, 1, 1]], [0.5, 0.4], [1], 1)
    with pytest.raises(ValueError, match=r"boxes \[1, 1, 4\], scores \[1, 2\]"):
        read_detections(wrong, 0, (10, 10))


def test_long_paths_keep_their_end_and_control_characters_are_escaped():
    table = DetectionsTable(["x" * 200], [])
    header = table.header()[1]
    assert header.startswith("image ") and len(header) < 130
    assert printable("a\x1b[31m\n\u202eb") == "a\\x1b[31m\\n\\u202eb"
