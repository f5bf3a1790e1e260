"""TensorBoard's own pages find what a run wrote: hyperparameters beside the last metrics, texts, images, histograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TensorBoardTracker
from train.tracking.tracker import RunDescription

MEAN = "DetectionBoxes_Precision/mAP"


def description(**hyperparameters: object) -> RunDescription:
    return RunDescription(
        hyperparameters={"model": "ssd", "batch_size": 8, **hyperparameters},
        metrics=[MEAN],
        metrics_folder="eval",
        texts={"pipeline.config": "model {\n  ssd { }\n}"},
        inputs=[np.full((10, 20, 3), 200, np.uint8), np.full((30, 10, 3), 50, np.uint8)],
    )


def multiplexer(logdir: Path) -> plugin_event_multiplexer.EventMultiplexer:
    found = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(logdir))
    found.Reload()
    return found


def session_groups(logdir: Path) -> list[api_pb2.SessionGroup]:
    """The rows of the hparams page, as its plugin makes them."""
    provider = data_provider.MultiplexerDataProvider(multiplexer(logdir), str(logdir))
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=list(api_pb2.Status.values()),
        start_index=0,
        slice_size=9,
    )
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    handler = list_session_groups.Handler(RequestContext(), context, "", request)
    return list(handler.run().session_groups)


@pytest.mark.parametrize("where", [".", ".."])
def test_the_hparams_page_has_a_row_with_the_last_metrics(tmp_path: Path, where: str):
    model_dir = tmp_path / "models" / "a"
    with Recorder([TensorBoardTracker(model_dir)]) as recorder:
        recorder.start(description(learning_rate=0.02, augmentations="random_horizontal_flip"), 0)
        for step, value in ((10, 0.125), (20, 0.25)):
            recorder.scalars("eval", {MEAN: value}, step)
        (running,) = session_groups(model_dir / where)
        assert running.sessions[0].status not in (api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE)
    (row,) = session_groups(model_dir / where)
    assert row.hparams["learning_rate"].number_value == 0.02
    assert row.hparams["augmentations"].string_value == "random_horizontal_flip"
    (metric,) = row.metric_values
    assert (metric.name.tag, metric.training_step, metric.value) == (MEAN, 20, 0.25)
    assert row.sessions[0].status == api_pb2.STATUS_SUCCESS


def test_two_models_with_the_same_settings_are_two_rows(tmp_path: Path):
    for name in ("a", "b"):
        with Recorder([TensorBoardTracker(tmp_path / name)]) as recorder:
            recorder.start(description(), 0)
            recorder.scalars("eval", {MEAN: 0.5}, 1)
    assert len(session_groups(tmp_path)) == 2


def test_texts_keep_their_lines_and_images_their_pixels(tmp_path: Path):
    with Recorder([TensorBoardTracker(tmp_path)]) as recorder:
        recorder.start(description(), 7)
    found = multiplexer(tmp_path)
    (text,) = found.Tensors("train", "pipeline.config")
    assert tf.make_ndarray(text.tensor_proto)[()] == b"    model {\n      ssd { }\n    }"
    for index, expected in enumerate(description().inputs):
        (image,) = found.Tensors("train", f"inputs/{index}")
        assert image.step == text.step == 7
        np.testing.assert_array_equal(tf.io.decode_png(tf.make_ndarray(image.tensor_proto)[2]), expected)


def test_a_folder_has_one_file_a_process_and_what_was_flushed_survives_a_kill(tmp_path: Path):
    recorder = Recorder([TensorBoardTracker(tmp_path)])
    recorder.start(description(), 0)
    for step in (1, 2):
        recorder.scalars("train", {"loss": step}, step)
        with recorder.event_writer("train").as_default():
            tf.summary.histogram("gradients/a", [1.0, 2.0], step=step)
        recorder.histograms("train", {"weights/a": np.ones(3, np.float32)}, step)
        recorder.flush()
    assert len(list((tmp_path / "train").glob("events*"))) == 1
    found = multiplexer(tmp_path)
    assert [event.step for event in found.Tensors("train", "loss")] == [1, 2]
    assert {"gradients/a", "weights/a"} <= set(found.PluginRunToTagToContent("histograms")["train"])


def test_a_graph_is_one_that_the_graph_page_has(tmp_path: Path):
    function = tf.function(lambda x: tf.math.tanh(x, name="the_tanh"))
    with Recorder([TensorBoardTracker(tmp_path)]) as recorder:
        recorder.graph("eval", function.get_concrete_function(tf.constant(1.0)).graph)
    assert "the_tanh" in [node.name for node in multiplexer(tmp_path).Graph("eval").node]


def test_tensorboard_starts_with_the_pages_that_runs_are_watched_on():
    """What it imports for that is not all among what it requires: see setuptools in requirements.txt."""
    from tensorboard import default

    plugins = default.get_plugins()
    pages = {getattr(plugin, "plugin_name", None) for plugin in plugins}
    assert {"scalars", "images", "text", "hparams", "histograms", "graphs"} <= pages
    assert any(plugin.__name__ == "ProfilePluginLoader" for plugin in default.get_dynamic_plugins())
