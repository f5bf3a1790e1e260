"""Recipes that start from torch's weights: two steps by the real command, and an export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.export_saved_model import main as export_saved_model
from tests.train.checkpoints.test_torch_zip import state_dict_file
from tests.train.checkpoints.torchvision_networks import mobilenet_v2_of_chance
from train.train import main as train

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def override(records: Path, extractor: str = "", training: str = "") -> str:
    return f"""
        model {{ ssd {{
          image_resizer {{ fixed_shape_resizer {{ height: 128 width: 128 }} }}
          feature_extractor {{ {extractor} }}
        }} }}
        train_config {{ batch_size: 2 num_steps: 2 {training} }}
        train_input_reader {{
          label_map_path: "{records}/label_map.pbtxt"
          tf_record_input_reader {{ input_path: "{records}/train.record-*" }}
        }}
        eval_input_reader {{
          label_map_path: "{records}/label_map.pbtxt"
          tf_record_input_reader {{ input_path: "{records}/validation.record-*" }}
        }}
    """


def train_two_steps(recipe: str, text: str, folder: Path) -> dict:
    words = ["--pipeline_config_path", str(CONFIGS / f"{recipe}.config"), "--config_override", text]
    assert train([*words, "--model_dir", str(folder / "model"), "--no_evaluation"]) == 0
    return json.loads((folder / "model" / "restore_report.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_efficientnet_lite_trains_and_is_exported(size, block_records, tmp_path):
    report = train_two_steps(f"ssd_efficientnet-lite{size}_fpn_320", override(block_records), tmp_path)
    assert report["kind"] == f"ImageNet weights of EfficientNet-Lite{size} in a torch file"
    assert report["num_restored"] == report["num_promised"] == 315
    words = ["--pipeline_config_path", str(tmp_path / "model" / "pipeline.config"), "--input_type", "image_tensor"]
    words += ["--trained_checkpoint_dir", str(tmp_path / "model"), "--output_directory", str(tmp_path / "exported")]
    assert export_saved_model(words) == 0
    assert (tmp_path / "exported" / "saved_model" / "saved_model.pb").is_file()


def test_torchvisions_mobilenet_v2_trains(block_records, tmp_path):
    weights = tmp_path / "mobilenet_v2.pth"
    weights.write_bytes(state_dict_file(mobilenet_v2_of_chance()))
    training = f'fine_tune_checkpoint: "{weights}" fine_tune_checkpoint_type: "classification"'
    text = override(block_records, "use_explicit_padding: true", training)
    report = train_two_steps("ssd_mobilenet_v2_fpnlite_320_cpu", text, tmp_path)
    assert report["kind"] == "torchvision's weights of MobileNetV2 in a torch file"
    assert report["num_restored"] == report["num_promised"] == 260
    assert any(note.startswith("pixels: ") for note in report["notes"])
