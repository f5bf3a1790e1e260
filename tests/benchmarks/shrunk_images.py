"""What `--shrink` costs and saves: AP of a SavedModel on images as they are and as a client would send them, and bytes.

    python -m tests.benchmarks.shrunk_images --pipeline_config_path build/demo/pipeline.config \
        --saved_model_dir build/demo/exported --records 'build/demo/validation.record-*' [--qualities 95 90 75]

The records are written anew with each image shrunk to what the config's resizer makes of it, and evaluated by
`train.evaluate`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from data_prep.formats.shard_names import find_shards
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow

NAMES = ("DetectionBoxes_Precision/mAP", "DetectionBoxes_Precision/mAP@.50IOU")


def evaluated(arguments: argparse.Namespace, records: str, folder: Path) -> dict[str, float]:
    """Returns the metrics of the SavedModel on records."""
    from configs.schema.pipeline_file import format_pipeline_config, read_pipeline_config
    from train.evaluate import main as evaluate

    config = read_pipeline_config(arguments.pipeline_config_path)
    del config.eval_input_reader[1:]
    config.eval_input_reader[0].tf_record_input_reader.input_path[:] = [records]
    path = folder / "pipeline.config"
    path.write_text(format_pipeline_config(config))
    words = ["--pipeline_config_path", str(path), "--eval_dir", str(folder)]
    words += ["--saved_model_dir", str(arguments.saved_model_dir)]
    if evaluate(words):
        raise RuntimeError("the evaluation failed")
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text())["metrics"]
    return metrics


def rewritten(pattern: str, path: Path, change: Callable[[bytes], bytes]) -> int:
    """Writes records with other images; returns the images' bytes."""
    import tensorflow as tf

    total = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in tf.data.TFRecordDataset(find_shards(pattern)):
            example = tf.train.Example.FromString(record.numpy())
            (encoded,) = example.features.feature["image/encoded"].bytes_list.value
            encoded = change(encoded)
            example.features.feature["image/encoded"].bytes_list.value[:] = [encoded]
            writer.write(example.SerializeToString())
            total += len(encoded)
    return total


def main() -> None:
    """Evaluates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline_config_path", type=Path, required=True)
    parser.add_argument("--saved_model_dir", type=Path, required=True)
    parser.add_argument("--records", required=True)
    parser.add_argument("--qualities", type=int, nargs="+", default=[95, 90, 75])
    arguments = parser.parse_args()
    quiet_tensorflow()
    from configs.schema.pipeline_file import read_pipeline_config
    from configs.settings.model import read_model
    from export.scaled_jpeg import least_sides
    from serving.client_library.image_requests import read_image
    from serving.client_library.shrinking import shrink_image

    sides = least_sides(read_model(read_pipeline_config(arguments.pipeline_config_path)).image_resizer)
    ways: dict[str, Callable[[bytes], bytes]] = {"as they are": lambda encoded: encoded}
    for quality in arguments.qualities:
        ways[f"shrunk, quality {quality}"] = lambda encoded, quality=quality: (
            shrink_image(read_image(encoded, 2**26), sides, quality).encoded
        )
    lines = []
    for name, change in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shrunk.record"
            num_bytes = rewritten(arguments.records, path, change)
            metrics = evaluated(arguments, str(path), Path(folder))
        lines.append(f"{name:<24}{num_bytes:>12,} bytes   AP {metrics[NAMES[0]]:.3f}   AP@.50 {metrics[NAMES[1]]:.3f}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
