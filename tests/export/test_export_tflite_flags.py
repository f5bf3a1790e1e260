"""What does not fit into TensorFlow Lite is refused in one line, before TensorFlow is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UsageError
from export.export_tflite import main as export
from export.tflite.metadata import label_rows

REFUSED = [
    ("image_resizer { keep_aspect_ratio_resizer { min_dimension: 96 max_dimension: 128 } }",
     r"model\.ssd\.image_resizer\.keep_aspect_ratio_resizer.*pad_to_max_dimension: true there.*_resizer alone"),
    ("image_resizer { identity_resizer {} }", r"model\.ssd\.image_resizer\.identity_resizer.*write fixed_shape_"),
    ("image_resizer { fixed_shape_resizer { convert_to_grayscale: true } }", r"convert_to_grayscale.*in colour"),
    ("box_coder { mean_stddev_box_coder {} }", r"model\.ssd\.box_coder\.mean_stddev_box_coder.*faster_rcnn_box_coder"),
    ("post_processing { batch_non_max_suppression { soft_nms_sigma: 0.5 } }",
     r"soft_nms_sigma.*no soft NMS.*batch_non_max_suppression \{ use_hard_nms: true \}"),
]  # fmt: skip


def words(config, tmp_path, *more):
    return [
        "--pipeline_config_path", str(config), "--trained_checkpoint_dir", str(tmp_path), "--output_directory",
        str(tmp_path / "out"), *more,
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_the_operator_cannot_do_is_refused_by_its_path(block_config, tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        export(words(block_config("ssd"), tmp_path, "--config_override", f"model {{ ssd {{ {text} }} }}"))
    assert not (tmp_path / "out").exists()


def test_faster_rcnn_is_refused(block_config, tmp_path):
    with pytest.raises(UsageError, match=r"model\.faster_rcnn does not fit.*export\.export_saved_model"):
        export(words(block_config("faster_rcnn"), tmp_path))


def test_flags_that_contradict_are_refused(block_config, tmp_path):
    config = block_config("ssd")
    with pytest.raises(UsageError, match="full_integer needs --representative_records"):
        export(words(config, tmp_path, "--quantization", "float", "full_integer"))
    agnostic = "model { ssd { post_processing { batch_non_max_suppression { use_class_agnostic_nms: true } } } }"
    with pytest.raises(UsageError, match=r"use_class_agnostic_nms: true lets.*leave the flag out"):
        export(words(config, tmp_path, "--ssd_use_regular_nms=True", "--config_override", agnostic))
    with pytest.raises(UsageError, match="--max_detections_per_class counts classes"):
        export(words(config, tmp_path, "--max_detections_per_class", "3"))


def test_records_that_are_not_there_are_one_line(block_config, block_records, tmp_path):
    missing = str(tmp_path / "none-*")
    with pytest.raises(UsageError, match="none-"):
        export(words(block_config("ssd"), tmp_path, "--check_records", missing))


def test_help_does_not_load_tensorflow():
    code = "import sys; from export.export_tflite import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert "--ssd_use_regular_nms" in done.stdout and "model_float.tflite" in done.stdout


def test_labels_are_rows_from_id_1_and_gaps_have_a_row():
    assert label_rows({1: "Bed", 4: "Lamp", 3: "Night\nstand"}) == "Bed\n???\nNight stand\nLamp\n"
