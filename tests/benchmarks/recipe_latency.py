"""What an image costs through each recipe's exported graph, beside its parameters and the size of its SavedModel.

    python -m tests.benchmarks.recipe_latency [--rounds 10] [--csv_path docs/charts/latency.csv] [CONFIG ...]

A 480x640 JPEG through the `encoded_image_string_tensor` signature of every config in `configs/`, with eight classes.
Each takes turns with EfficientNet-Lite0's in one process, so that the ratios to that hold on a busy machine; those of
CPU time hold better. A recipe's milliseconds are its ratio times the baseline's median over the whole run. Weights are
untrained. That changes nothing but NMS: scores begin near what the bias of the class logits says, above the recipes'
thresholds everywhere, so that NMS has as much to do as it can have.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from tests.benchmarks.download import photograph_jpeg
from tests.benchmarks.serving_graph import Cost, measure

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BASELINE = "ssd_efficientnet-lite0_fpn_320"
NUM_CLASSES = 8
COLUMNS = ("recipe", "milliseconds", "cpu_milliseconds", "of_baseline", "cpu_of_baseline", "parameters", "megabytes")


@dataclasses.dataclass(frozen=True)
class _Row:
    """A recipe's cost, as ratios to the baseline's, and its size."""

    name: str
    ratio: Cost
    parameters: int
    megabytes: float


@dataclasses.dataclass(frozen=True)
class Exported:
    """A recipe's graph.

    Attributes:
        run: Sends the image through it.
        parameters: Of the network.
        megabytes: Of the SavedModel's folder, in millions of bytes.
    """

    run: Callable[[], object]
    parameters: int
    megabytes: float


def export_untrained(path: Path, encoded: Any) -> Exported:
    """Builds a config's detector, writes its SavedModel and loads that.

    Args:
        path: The pipeline config.
        encoded: A batch of one JPEG, as a tensor.
    """
    import tensorflow as tf

    from configs.schema.pipeline_file import merge, read_pipeline_config
    from export.signatures import SAVE_OPTIONS, ServingModule
    from tests.small_models import build_detector

    config = read_pipeline_config(path)
    config = merge(config, f"model {{ {config.model.WhichOneof('model')} {{ num_classes: {NUM_CLASSES} }} }}")
    detector = build_detector(config)
    module = ServingModule(detector, ["encoded_image_string_tensor"])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.signatures, options=SAVE_OPTIONS)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    # The signature does not keep what it was loaded with; the default argument does.
    return Exported(
        run=lambda kept=loaded: signature(input_tensor=encoded),
        parameters=sum(int(variable.shape.num_elements()) for variable in detector.network.variables),
        megabytes=size / 1e6,
    )


def main() -> None:
    """Measures and prints a line a recipe, the baseline first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, help="pipeline configs (default: all recipes)")
    parser.add_argument("--rounds", type=int, default=10, help="how often each takes its turn")
    parser.add_argument("--csv_path", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    paths = arguments.configs or sorted(CONFIGS.glob("*.config"))
    baseline = CONFIGS / f"{BASELINE}.config"
    paths = [baseline, *(path for path in paths if path.resolve() != baseline)]
    print(f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    quiet_tensorflow()
    import tensorflow as tf

    encoded = tf.constant([photograph_jpeg(640, 480, quality=90)])
    base = export_untrained(baseline, encoded)
    rows = [_Row(BASELINE, Cost(1.0, 1.0), base.parameters, base.megabytes)]
    of_baseline = []
    for path in paths[1:]:
        exported = export_untrained(path, encoded)
        found = measure({BASELINE: base.run, path.stem: exported.run}, arguments.rounds)
        of_baseline.append(found[BASELINE])
        rows.append(_Row(path.stem, found[path.stem].over(found[BASELINE]), exported.parameters, exported.megabytes))
        print(f"{path.stem}: {rows[-1].ratio.cpu:.2f} of {found[BASELINE].cpu:.1f} ms of CPU time", flush=True)
        if arguments.csv_path:
            _write(arguments.csv_path, rows, of_baseline)
    print(f"load at the end: {os.getloadavg()[0]:.1f}")
    print(f"{'':<36}{'ms':>8}{'CPU ms':>8}{'ratio':>8}{'CPU':>8}{'parameters':>14}{'MB':>8}")
    for name, wall, cpu, ratio, cpu_ratio, parameters, megabytes in _table(rows, of_baseline):
        print(f"{name:<36}{wall:8}{cpu:8}{ratio:8}{cpu_ratio:8}{parameters:14,}{megabytes:8}")


def _table(rows: list[_Row], of_baseline: list[Cost]) -> list[tuple[str, float, float, float, float, int, float]]:
    """The rows with milliseconds, as `COLUMNS` names what is in them."""
    wall, cpu = (statistics.median(getattr(cost, kind) for cost in of_baseline) for kind in ("wall", "cpu"))
    return [
        (
            row.name,
            round(row.ratio.wall * wall, 1),
            round(row.ratio.cpu * cpu, 1),
            round(row.ratio.wall, 2),
            round(row.ratio.cpu, 2),
            row.parameters,
            round(row.megabytes, 1),
        )
        for row in rows
    ]


def _write(path: Path, rows: list[_Row], of_baseline: list[Cost]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *_table(rows, of_baseline)])


if __name__ == "__main__":
    main()
