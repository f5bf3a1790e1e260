"""Thresholds and limits of an export: flags over `--config_override` over the file."""

from __future__ import annotations

import pytest

from configs.schema.pipeline_file import merge, read_pipeline_config
from configs.settings.loading import add_config_arguments
from data_prep.runtime.command_line import ArgumentParser, UsageError
from export.nms_flags import add_nms_arguments, with_nms_flags


def nms_after(path, *words):
    parser = ArgumentParser(description="", example="")
    add_config_arguments(parser)
    add_nms_arguments(parser)
    arguments = parser.parse_args(["--pipeline_config_path", str(path), *words])
    config = merge(read_pipeline_config(path), with_nms_flags(arguments))
    if config.model.HasField("ssd"):
        return config, config.model.ssd.post_processing.batch_non_max_suppression
    return config, config.model.faster_rcnn.second_stage_post_processing.batch_non_max_suppression


@pytest.mark.parametrize("family", ["ssd", "faster_rcnn"])
def test_flags_change_the_last_nms_of_either_family_and_nothing_else(block_config, family):
    path = block_config(family)
    words = ["--score_threshold", "0.4", "--iou-threshold", "0.3", "--max_total_detections", "7"]
    config, found = nms_after(path, *words, "--max_detections_per_class", "3")
    assert found.score_threshold == pytest.approx(0.4) and found.iou_threshold == pytest.approx(0.3)
    assert (found.max_total_detections, found.max_detections_per_class) == (7, 3)
    found.CopyFrom(nms_after(path)[1])
    assert config == read_pipeline_config(path)


def test_flags_win_over_the_override_which_is_kept(block_config):
    override = (
        "model { ssd { post_processing { batch_non_max_suppression { score_threshold: 0.7 soft_nms_sigma: 0.1 } } } }"
    )
    override += " eval_config { use_moving_averages: true }"
    words = ["--config_override", override, "--score_threshold", "0"]
    config, found = nms_after(block_config("ssd"), *words)
    assert found.score_threshold == 0.0 and found.soft_nms_sigma == pytest.approx(0.1)
    assert config.eval_config.use_moving_averages


def test_a_class_has_no_more_detections_than_the_image(block_config):
    _, found = nms_after(block_config("ssd"), "--max_total_detections", "5")
    assert (found.max_total_detections, found.max_detections_per_class) == (5, 5)


def test_mistakes_are_one_line(block_config):
    with pytest.raises(UsageError, match=r"--iou_threshold 1\.5 does not lie between 0 and 1"):
        nms_after(block_config("ssd"), "--iou_threshold", "1.5")
    with pytest.raises(UsageError, match="config override"):
        nms_after(block_config("ssd"), "--score_threshold", "0.5", "--config_override", "nonsense {")
