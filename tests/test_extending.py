"""The page about extending: its files and configs are taken from it, put where it says, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from configs.schema.pipeline_file import merge, parse_pipeline_config
from configs.settings import plugins
from export.export_saved_model import main as export
from train.evaluate import main as evaluate
from train.train import main as train

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
# A new file, or an insertion above or below the first such line of a file; then the block.
PIECE = re.compile(
    r"(?:A\s+new\s+file\s+`(?P<new>[^`]+)`|In `(?P<file>[^`]+)`, (?P<side>above|below) `(?P<line>[^`]+)`):\n\n"
    r"(?P<indent> *)```\w+\n(?P<text>.*?)\n(?P=indent)```",
    re.DOTALL,
)
IN_A_CONFIG = re.search(r"In a `pipeline.config`:\n\n```text\n(.*?)```", PAGE, re.DOTALL)
# Of the tests' config: fields that MobileNets have and a plugin's network has not.
NETWORK = 'type: "ssd_mobilenet_v2_fpn_keras" use_depthwise: true depth_multiplier: 0.35'


def apply_pieces(folder: Path, wanted: re.Pattern[str]) -> list[str]:
    """Writes what the page says into a folder, of the files whose names begin so; returns their names."""
    names = []
    for piece in PIECE.finditer(PAGE):
        name = piece["new"] or piece["file"]
        if not wanted.match(name):
            continue
        # The page's list items are indented; what is indented beyond that belongs to the file.
        depth = len(piece["indent"])
        text = "".join(f"{line[depth:]}\n" for line in piece["text"].split("\n"))
        path = folder / name
        if piece["new"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            lines = path.read_text().splitlines(keepends=True)
            at = lines.index(f"{piece['line']}\n") + (piece["side"] == "below")
            path.write_text("".join([*lines[:at], text, *lines[at:]]))
        names.append(name)
    return names


def pipeline_text(text: str, more: str) -> str:
    """A config with another merged over it."""
    return text_format.MessageToString(merge(parse_pipeline_config(text), more))


class TestAPlugin:
    @pytest.fixture(scope="class")
    def shop(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """The folder that holds my_shop, which is the current one; nothing of it is known afterwards."""
        folder = tmp_path_factory.mktemp("shop")
        names = apply_pieces(folder, re.compile(r"my_shop/"))
        assert [Path(name).stem for name in names] == ["parts", "training", "network", "found_share"]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "path", [*sys.path])
            patch.setattr(plugins, "_REGISTERED", {kind: {} for kind in plugins._REGISTERED})
            yield folder
        for name in [name for name in sys.modules if name.split(".")[0] == "my_shop"]:
            del sys.modules[name]

    @pytest.fixture(scope="class")
    def config(self, shop: Path, block_config) -> Path:
        assert IN_A_CONFIG is not None
        path = block_config("ssd")
        text = path.read_text()
        assert NETWORK in text
        # The page's config sets the type anew.
        path.write_text(pipeline_text(text.replace(NETWORK, 'type: ""'), IN_A_CONFIG[1]))
        return path

    @pytest.fixture(scope="class")
    def trained(self, config: Path, shop: Path) -> Path:
        words = ["--plugin", "my_shop.parts", "--pipeline_config_path", str(config), "--model_dir", str(shop / "model")]
        assert train([*words, "--num_train_steps", "2", "--seed", "1"]) == 0
        return shop / "model"

    def test_a_check_reads_its_settings_without_tensorflow(self, shop: Path, config: Path):
        def check(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-X", "importtime", "-m", "configs.check", *words, str(config)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            return subprocess.run(command, cwd=shop, env=environment, capture_output=True, text=True, check=False)

        done = check("--plugin", "my_shop.parts")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not re.search(r"\| +tensorflow$", done.stderr, re.MULTILINE)
        more = 'extensions { augmentation { name: "fog" numbers { key: "density" value: 2.0 } } }'
        done = check("--plugin", "my_shop.parts", "--config_override", more)
        assert done.returncode == 2
        assert 'extensions.augmentation[1].numbers["density"]: 2 must be from 0 to 1; use one that is' in done.stdout
        done = check()
        assert done.returncode == 2
        told = 'extensions.augmentation[0].name: "fog" is no registered augmentation; name the module that registers it'
        assert told in done.stdout

    def test_it_trains_and_its_metric_is_measured(self, trained: Path):
        metrics = json.loads((trained / "eval" / "metrics.json").read_text())
        assert 0.0 <= metrics["metrics"]["found_share/all"] <= 1.0
        assert "DetectionBoxes_Precision/mAP" in metrics["metrics"]
        assert 'name: "plain_convolutions"' in (trained / "pipeline.config").read_text()

    def test_it_is_evaluated_on_its_own(self, trained: Path, config: Path, capsys: pytest.CaptureFixture[str]):
        words = ["--plugin", "my_shop.parts", "--pipeline_config_path", str(config), "--checkpoint_dir", str(trained)]
        assert evaluate([*words, "--once"]) == 0
        assert "found_share/all" in capsys.readouterr().out

    def test_what_is_exported_needs_no_plugin(self, trained: Path, shop: Path):
        words = ["--pipeline_config_path", str(trained / "pipeline.config"), "--trained_checkpoint_dir", str(trained)]
        words += ["--output_directory", str(shop / "exported"), "--input_type", "image_tensor"]
        assert export(["--plugin", "my_shop.parts", *words]) == 0
        assert 'name: "asymmetric"' in (shop / "exported" / "pipeline.config").read_text()
        code = (
            "import sys, numpy as np, tensorflow as tf; "
            "detector = tf.saved_model.load(sys.argv[1]).signatures['serving_default']; "
            "print(detector(input_tensor=np.zeros([1, 96, 96, 3], np.uint8))['detection_boxes'].shape)"
        )
        command = [sys.executable, "-c", code, str(shop / "exported" / "saved_model")]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert done.stdout == "(1, 20, 4)\n", done.stderr


class TestInTheTree:
    @pytest.fixture(scope="class")
    def tree(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A copy of the tree's lower rooms with the page's pieces in it."""
        folder = tmp_path_factory.mktemp("tree")
        for room in ("data_prep", "configs", "train"):
            shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
        names = apply_pieces(folder, re.compile(r"(configs|train)/"))
        assert len(names) == 9
        self.run(folder, "-m", "configs.compile_schema")
        return folder

    @staticmethod
    def run(folder: Path, *words: str, code: int = 0) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def test_a_new_augmentation_extractor_and_metric_are_checked(self, tree: Path, block_config):
        config = str(block_config("ssd"))
        override = (
            "train_config { data_augmentation_options { random_invert_image { probability: %s } } } "
            'model { ssd { feature_extractor { type: "ssd_tiny_fpn_keras" depth_multiplier: 1.0 } } } '
            'eval_config { metrics_set: "counting_metrics" }'
        )
        said = self.run(tree, "-m", "configs.check", config, "--config_override", override % "0.3")
        assert "can be used" in said
        said = self.run(tree, "-m", "configs.check", config, "--config_override", override % "2.0", code=2)
        assert "random_invert_image.probability: 2 must be at least 0 and at most 1" in said

    def test_a_new_augmentation_extractor_and_metric_run(self, tree: Path, block_config):
        (tree / "try_it.py").write_text(
            textwrap.dedent(
                """
                import json, sys
                import numpy as np
                from data_prep.runtime.quiet_tensorflow import quiet_tensorflow

                quiet_tensorflow()
                import tensorflow as tf
                from configs.schema.pipeline_file import parse_text
                from configs.settings.augmentations.options import AUGMENTATION_OPTIONS
                from configs.settings.loading import load_config
                from configs.settings.reading import read_choice
                from train.inputs.augmentations.pipeline import build_augmentation
                from train.metrics.measured_image import measured_image
                from train.metrics.sets import MetricSets
                from train.models.build import build_detector

                text = "random_invert_image { probability: 1.0 }"
                step = read_choice(AUGMENTATION_OPTIONS, parse_text(text, "", "PreprocessingStep"))
                augment = build_augmentation([step])
                inverted, _ = augment(tf.zeros([2, 2, 3], tf.uint8), {}, tf.constant([1, 2]))
                loaded = load_config(
                    sys.argv[1],
                    'model { ssd { feature_extractor { type: "ssd_tiny_fpn_keras" depth_multiplier: 1.0 } } } '
                    'eval_config { metrics_set: "counting_metrics" }',
                )
                detector = build_detector(loaded.require_usable().model)
                found = detector.detect(tf.zeros([1, 96, 96, 3]), tf.constant([[96, 96, 3]]))
                sets = MetricSets(loaded.require_usable().eval_config, {1: "Red block", 2: "Blue block"})
                nothing = {"detection_boxes": [], "detection_scores": [], "detection_classes": []}
                boxes = [[0, 0, 4, 4], [4, 4, 9, 9]]
                sets.add(measured_image("a", groundtruth_boxes=boxes, groundtruth_classes=[1, 2], **nothing))
                print(json.dumps({
                    "pixels": np.unique(inverted).tolist(),
                    "boxes": found["detection_boxes"].shape.as_list(),
                    "trained": len(detector.network.feature_extractor.trainable_variables),
                    "error": sets.evaluate()["Counting_MeanAbsoluteError"],
                }))
                """
            )
        )
        found = json.loads(self.run(tree, "try_it.py", str(block_config("ssd"))).splitlines()[-1])
        assert found["pixels"] == [255.0]
        assert found["boxes"] == [1, 20, 4]
        assert found["trained"] > 0
        assert found["error"] == 2.0


def test_every_block_of_the_page_is_run():
    blocks = re.findall(r"^ *```\w+$", PAGE, re.MULTILINE)
    assert len(blocks) == len(list(PIECE.finditer(PAGE))) + 1
    assert np.all([piece["new"] or piece["file"] for piece in PIECE.finditer(PAGE)])
