"""python -m configs.migrate: a config of TensorFlow 1 in, one that can be used out, with every change told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs.migrate import main
from configs.migrating.changes import MARK
from configs.migrating.checkpoints import ZOO_MODELS
from configs.migrating.replacements import REPLACEMENTS
from configs.schema.pipeline_file import parse_pipeline_config, read_pipeline_config
from configs.settings.loading import load_config
from configs.settings.networks import NETWORKS, TF1_EQUALS, TF1_WITHOUT_EQUAL
from data_prep.runtime.command_line import UsageError, UserError
from tests.configs.migrating import older_configs

ROOT = Path(__file__).resolve().parents[2]
STRANGERS = ROOT.parent / "shared" / "wild" / "configs"


def migrated(folder: Path, text: str, *words: str) -> Path:
    """The path of what the command makes of a text."""
    source, output = folder / "pipeline.config", folder / "new" / "pipeline.config"
    source.write_text(text)
    main([str(source), "--output", str(output), *words])
    assert source.read_text() == text
    return output


def older(network: str) -> str:
    if network in TF1_EQUALS and network.endswith("_fpn"):
        return older_configs.retina_net(network)
    return older_configs.ssd(network) if network.startswith(("ssd", "embedded")) else older_configs.faster_rcnn(network)


@pytest.mark.parametrize("network", [*TF1_EQUALS, *TF1_WITHOUT_EQUAL])
def test_every_network_of_tensorflow_1_becomes_one_that_can_be_used(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    new = migrated(tmp_path, older(network))
    loaded = load_config(new)
    assert loaded.problems == () and loaded.training_problems == ()
    kind = loaded.config.model.WhichOneof("model")
    expected = TF1_EQUALS.get(network) or TF1_WITHOUT_EQUAL[network]
    assert getattr(read_pipeline_config(new).model, kind).feature_extractor.type == expected
    page = capsys.readouterr().out
    assert page.endswith(f"{new}: can be used\n")
    # Each change is a line of the output and a comment in the file.
    assert page.count("\n  changed  ") == new.read_text().count(f"# {MARK} ") > 3
    assert not any(note.path.endswith(("type", "metrics_set[0]", "from_detection_checkpoint")) for note in loaded.notes)


def test_a_plain_ssd_gets_the_input_the_anchors_and_the_head_of_its_pyramid(tmp_path: Path) -> None:
    text = older_configs.ssd("ssd_inception_v2", height=300, width=500, aspect_ratios="1.0, 4.0")
    model = read_pipeline_config(migrated(tmp_path, text)).model.ssd
    before = parse_pipeline_config(text).model.ssd
    assert (model.image_resizer.fixed_shape_resizer.height, model.image_resizer.fixed_shape_resizer.width) == (320, 512)
    anchors = model.anchor_generator.multiscale_anchor_generator
    assert (anchors.min_level, anchors.max_level) == (model.feature_extractor.fpn.min_level, 7) == (3, 7)
    assert list(anchors.aspect_ratios) == [1.0, 4.0]
    assert model.box_predictor.HasField("weight_shared_convolutional_box_predictor")
    for name in ("num_classes", "loss", "post_processing", "matcher", "box_coder", "normalize_loss_by_num_matches"):
        assert getattr(model, name) == getattr(before, name)


def test_the_apis_own_aspect_ratios_are_not_a_choice(tmp_path: Path) -> None:
    model = read_pipeline_config(migrated(tmp_path, older_configs.ssd("ssd_mobilenet_v3_large"))).model.ssd
    assert list(model.anchor_generator.multiscale_anchor_generator.aspect_ratios) == [1.0, 2.0, 0.5]


def test_an_input_without_one_size_is_padded_to_what_the_pyramid_wants(tmp_path: Path) -> None:
    text = older_configs.ssd("ssd_inception_v2").replace("fixed_shape_resizer", "keep_aspect_ratio_resizer")
    text = text.replace("        height: 300\n        width: 300\n", "        min_dimension: 300 max_dimension: 600\n")
    new = migrated(tmp_path, text)
    assert read_pipeline_config(new).model.ssd.feature_extractor.pad_to_multiple == 32
    assert load_config(new).problems == ()


def test_nas_gets_the_crops_of_a_resnet(tmp_path: Path) -> None:
    model = read_pipeline_config(migrated(tmp_path, older_configs.nas())).model.faster_rcnn
    assert model.feature_extractor.type == "faster_rcnn_resnet152_keras"
    assert (model.initial_crop_size, model.maxpool_kernel_size, model.maxpool_stride) == (14, 2, 2)


def test_r_fcn_becomes_faster_r_cnn(tmp_path: Path) -> None:
    new = migrated(tmp_path, older_configs.r_fcn())
    assert load_config(new).problems == ()
    model = read_pipeline_config(new).model.faster_rcnn
    assert model.feature_extractor.type == "faster_rcnn_resnet101_keras"
    assert model.second_stage_box_predictor.HasField("mask_rcnn_box_predictor")
    assert "# configs.migrate: second_stage_box_predictor was { rfcn_box_predictor {" in new.read_text()


def test_comments_order_and_all_that_is_not_changed_stay(tmp_path: Path) -> None:
    text = older_configs.ssd("ssd_inception_v2")
    lines = migrated(tmp_path, text).read_text().splitlines()
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    assert [line.strip() for line in lines if line.strip() in comments] == comments
    assert "    num_classes: 2  # block, gap" in lines
    assert any(line.endswith("  # downloaded in 2018") and "ckpt-0" in line for line in lines)
    # The comment on anchors that are gone stands above those that took their place.
    assert lines.index("    # Gaps are wide.") < lines.index("    anchor_generator {")
    kept = text[text.index("    loss {") : text.index("train_config")]
    assert kept in "\n".join(lines)


@pytest.mark.parametrize("layout", ["crlf", "one line", "colons", "bom", "names after braces"])
def test_layouts_that_people_have(layout: str, tmp_path: Path) -> None:
    text = older_configs.ssd("ssd_inception_v2")
    if layout == "one line":
        text = " ".join(line.partition("#")[0].strip() for line in text.splitlines())
    elif layout == "names after braces":
        text = re.sub(r"\}\n +(?=\w+ \{)", "} ", text)
    elif layout == "colons":
        text = text.replace(" {", ": {").replace("::", ":")
    source, output = tmp_path / "a.config", tmp_path / "b.config"
    content = text.replace("\n", "\r\n") if layout == "crlf" else text
    source.write_bytes((b"\xef\xbb\xbf" if layout == "bom" else b"") + content.encode())
    assert main([str(source), "--output", str(output)]) == 0
    assert load_config(output).problems == ()
    written = output.read_bytes()
    assert written.count(b"\r\n") == (written.count(b"\n") if layout == "crlf" else 0)


class TestCheckpoints:
    def of(self, folder: Path, text: str) -> tuple[str, str, bool]:
        train_config = read_pipeline_config(migrated(folder, text)).train_config
        kind, is_v2 = train_config.fine_tune_checkpoint_type, train_config.fine_tune_checkpoint_version == 2
        return train_config.fine_tune_checkpoint, kind, is_v2

    def test_that_of_tensorflow_1_becomes_the_zoos_of_the_network_and_the_size(self, tmp_path: Path) -> None:
        found = self.of(tmp_path, older_configs.faster_rcnn("faster_rcnn_inception_v2"))
        name = "faster_rcnn_resnet50_v1_1024x1024_coco17_tpu-8"
        assert found == (f"PATH_TO_BE_CONFIGURED/{name}/checkpoint/ckpt-0", "detection", True)

    def test_where_the_zoo_has_none_the_trunk_begins_from_imagenet(self, tmp_path: Path) -> None:
        assert self.of(tmp_path, older_configs.ssd("ssd_mobilenet_v1")) == ("imagenet", "classification", True)
        narrow = older_configs.ssd("ssd_mobilenet_v2", width_multiplier=0.75)
        (tmp_path / "narrow").mkdir()
        assert self.of(tmp_path / "narrow", narrow) == ("imagenet", "classification", True)

    @pytest.mark.parametrize("path", ["zoo/checkpoint/ckpt-0", "imagenet"])
    def test_one_of_tensorflow_2_stays(self, path: str, tmp_path: Path) -> None:
        assert self.of(tmp_path, older_configs.ssd("ssd_mobilenet_v2", checkpoint=path))[:2] == (path, "detection")

    def test_are_of_networks_that_are_here(self) -> None:
        assert set(ZOO_MODELS) <= set(NETWORKS)
        without = {"ssd_mobilenet_v1_keras"}
        assert {*TF1_EQUALS.values(), *TF1_WITHOUT_EQUAL.values()} - without == set(ZOO_MODELS)


def test_fields_without_a_place_go_and_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = older_configs.ssd("ssd_mobilenet_v2", extractor="batch_norm_trainable: true")
    new = migrated(tmp_path, text + "graph_rewriter { quantization { delay: 48000 } }\n")
    assert load_config(new).problems == ()
    assert not read_pipeline_config(new).HasField("graph_rewriter")
    page = capsys.readouterr().out
    assert "model.ssd.feature_extractor.batch_norm_trainable: deleted, was true; " in page
    assert "graph_rewriter: deleted, was { quantization { delay: 48000 } }; training that simulates" in page
    assert f"# {MARK} graph_rewriter is deleted, was {{ quantization" in new.read_text()


def test_what_cannot_be_done_is_told_by_path_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source, output = tmp_path / "mask.config", tmp_path / "new.config"
    text = older_configs.faster_rcnn("faster_rcnn_inception_v2")
    text = text.replace("use_dropout", "predict_instance_masks: true use_dropout")
    source.write_text(text)
    assert main([str(source), "--output", str(output)]) == 2
    page = capsys.readouterr().out
    path = "model.faster_rcnn.second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks"
    assert f"  cannot   {path}: only boxes are detected here; delete it\n" in page
    assert page.endswith(f"{output}: cannot be used as it is; python -m configs.check says more\n")
    assert read_pipeline_config(output).model.faster_rcnn.feature_extractor.type == "faster_rcnn_resnet50_keras"


def test_patterns_of_variables_are_to_be_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = older_configs.faster_rcnn("faster_rcnn_resnet50")
    migrated(tmp_path, text.replace("num_steps", "freeze_variables: 'FeatureExtractor/Conv1'\n  num_steps"))
    assert "  look at  train_config.freeze_variables: its patterns" in capsys.readouterr().out


def test_a_network_of_somebodys_own_takes_the_one_that_is_asked_for(tmp_path: Path) -> None:
    text = older_configs.ssd("ssd_efficientnet-custom")
    output = tmp_path / "new" / "pipeline.config"
    assert load_config(migrated(tmp_path, text)).problems[0].path == "model.ssd.feature_extractor.type"
    output.unlink()
    for network in REPLACEMENTS["ssd"]:
        new = migrated(tmp_path, text, "--network", network, "--force")
        assert load_config(new).problems == ()
        assert read_pipeline_config(new).model.ssd.feature_extractor.type == network
    with pytest.raises(UsageError, match=r"faster_rcnn_resnet50_keras is none for model.ssd, for which there are ssd_"):
        migrated(tmp_path, text, "--network", "faster_rcnn_resnet50_keras", "--force")
    with pytest.raises(UsageError, match=r"ssd_mobilenet_v2 needs no replacement; leave ssd_resnet50_v1_fpn_keras out"):
        migrated(tmp_path, older_configs.ssd("ssd_mobilenet_v2"), "--network", "ssd_resnet50_v1_fpn_keras")


def test_what_is_migrated_has_nothing_left_to_change(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    new = migrated(tmp_path, older_configs.ssd("ssd_inception_v2"))
    again = tmp_path / "again.config"
    assert main([str(new), "--output", str(again)]) == 0
    assert "nothing to change" in capsys.readouterr().out
    assert again.read_text() == new.read_text()


def test_neither_the_input_nor_another_file_is_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "pipeline.config"
    source.write_text(older_configs.ssd("ssd_inception_v2"))
    link = tmp_path / "link.config"
    link.symlink_to(source)
    for output in (source, link, tmp_path / "." / "pipeline.config"):
        with pytest.raises(UsageError, match="the same file"):
            main([str(source), "--output", str(output), "--force"])
    output = tmp_path / "edited.config"
    output.write_text("# mine")
    with pytest.raises(UserError, match="is there and says something else; name another --output, or give --force"):
        main([str(source), "--output", str(output)])
    assert output.read_text() == "# mine"
    assert main([str(source), "--output", str(output), "--force"]) == 0
    assert main([str(source), "--output", str(output)]) == 0  # the same once more


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model { ssd { num_clases: 3 } }", r"pipeline.config:1:15: model.ssd.num_clases: no such field"),
        ("model { ssd { ", r"never closed"),
        ("model { ssd { feature_extractor { batch_norm_trainable: true } ", r"no such field in SsdFeatureExtractor"),
        ("model { ssd { feature_extractor { batch_norm_trainable: true } } } x: 1", r"x: no such field"),
        ("{'model': ssd {\n num_classes: 90 } }", r"is what Python prints of a dictionary of configs"),
    ],
)
def test_what_cannot_be_read_writes_nothing(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        migrated(tmp_path, text)
    assert not (tmp_path / "new").exists()


def test_a_killed_run_leaves_no_half_a_file(tmp_path: Path) -> None:
    source, output = tmp_path / "pipeline.config", tmp_path / "new.config"
    source.write_text(older_configs.ssd("ssd_inception_v2") + "# padding\n" * 200_000)
    words = [sys.executable, "-m", "configs.migrate", str(source), "--output", str(output)]
    for delay_seconds in (0.3, 0.6, 0.9):
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay_seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if output.exists():
            assert load_config(output).problems == ()


@pytest.mark.skipif(not STRANGERS.is_dir(), reason="no ../shared/wild: configs of public repositories")
def test_strangers_configs_can_be_used_once_migrated(tmp_path: Path) -> None:
    left = []
    for source in sorted(STRANGERS.glob("*.config")):
        try:
            if main([str(source), "--output", str(tmp_path / source.name)]) != 0:
                left.append(source.name.partition("__")[0])
        except UsageError:
            left.append(source.name.partition("__")[0])
    # A network of their own, a printed dictionary, and a brace too many.
    assert left == ["AlvaroCavalcante", "AndreAlbu", "Chloejay"]
