"""From a detector's name, or a file of one, to its detections on your photographs: fetched, exported, served, asked.

MODEL is a name of the TensorFlow 2 Detection Zoo, a folder with `checkpoint/` and `pipeline.config` as the zoo's
archives have them, or a detector of TensorFlow 1: a frozen graph `*.pb`, a checkpoint `model.ckpt`, or a `*.tflite`.
Each step is a command, shown as it would be typed; what an earlier run has made is used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.schema.pipeline_file import read_pipeline_config, write_pipeline_config
from data_prep.formats.label_map import LABEL_MAP_NAME, write_label_map
from data_prep.preparing.command_step import CommandStep
from data_prep.preparing.flag_words import flag_words
from data_prep.preparing.step_runner import StepRunner
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, UserError, fraction, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from data_prep.runtime.work_folders import exclusive_folder
from serving.local_server import LocalServer
from train.checkpoints.detection_zoo import PUBLISHED_AT, zoo_model
from train.importing.class_names import label_map_for

EXAMPLE = """\
  python -m serving.try_detector ssd_mobilenet_v2_320x320_coco17_tpu-8 photo.jpg
  python -m serving.try_detector ssd_mobilenet_v2_coco_2018_03_29/frozen_inference_graph.pb photo.jpg"""
MODEL_NAME = "detector"


@dataclass(frozen=True)
class DetectorFolder:
    """A detector laid out as the zoo's archives are.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Its pipeline config."""
        return self.path / "pipeline.config"

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoint."""
        return self.path / "checkpoint"

    def is_whole(self) -> bool:
        """Whether both are there."""
        return self.config.is_file() and self.checkpoints.is_dir()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("model", metavar="MODEL", help="a name of the zoo, a folder, or a file")
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="photographs, or folders of them")
    parser.add_argument("--output_directory", type=Path, help="gets everything (default: build/try/MODEL)")
    parser.add_argument("--label_map_path", type=Path, help="the classes' names, where there are not COCO's 90")
    parser.add_argument("--min_score", type=fraction, default=0.5, help="detections below it are left out")
    parser.add_argument("--base_url", default=PUBLISHED_AT, help="of the zoo, or of a mirror with the same folders")
    flags = parser.parse_args(argv)
    if missing := [str(path) for path in flags.images if not path.exists()]:
        raise UsageError(f"no such image: {missing[0]}")
    output = flags.output_directory or Path("build", "try", _folder_name(flags.model))
    with exclusive_folder(output):
        _try(flags.model, output, flags.images, flags.label_map_path, flags.min_score, flags.base_url)
    return EXIT_DONE


def _try(
    model: str, output: Path, images: Sequence[Path], label_map_path: Path | None, min_score: float, base_url: str
) -> None:
    runner = StepRunner()
    detector = _detector(runner, model, output, label_map_path, base_url)
    base_path, label_map = output / "serving_models", output / LABEL_MAP_NAME
    own = detector.path / LABEL_MAP_NAME
    config = read_pipeline_config(detector.config)
    num_classes = getattr(config.model, config.model.WhichOneof("model") or "ssd").num_classes
    names, where_from = label_map_for(label_map_path or (own if own.is_file() else None), num_classes)
    write_label_map(label_map, names)
    write_pipeline_config(output / "pipeline.config", _for_export(config, label_map))
    if not (base_path / "1").is_dir():
        words = flag_words(
            pipeline_config_path=output / "pipeline.config",
            trained_checkpoint_dir=detector.checkpoints,
            output_directory=output / "exported",
            model_base_path=base_path,
            model_version=1,
        )
        runner.run(CommandStep("a SavedModel, compared with the checkpoint", "export.export_saved_model", words))
    quiet_tensorflow()
    with LocalServer.of_model(MODEL_NAME, base_path) as server:
        print(f"\nserving version {server.version} of {base_path} at {server.address}; {where_from}")
        words = flag_words(
            server=server.address,
            model_name=MODEL_NAME,
            label_map_path=label_map,
            min_score=min_score,
            output_directory=output / "drawn",
        )
        runner.run(CommandStep("the question", "serving.client", [*map(str, images), *words]))
    print("\n".join(["", *runner.summary_lines(), f"drawn in {output / 'drawn'}"]))
    print(f"serve it: python -m serving.serve --model_name {MODEL_NAME} --model_base_path {base_path}")


def _detector(
    runner: StepRunner, model: str, output: Path, label_map_path: Path | None, base_url: str
) -> DetectorFolder:
    """Returns the folder of the detector that `model` means, fetched or imported if need be."""
    path = Path(model)
    if path.is_dir():
        if not DetectorFolder(path).is_whole():
            raise UsageError(f"{path}: holds no pipeline.config and checkpoint/, as the zoo's folders do")
        return DetectorFolder(path)
    if path.suffix in (".pb", ".tflite", ".ckpt") or "model.ckpt" in path.name:
        imported = DetectorFolder(output / "imported")
        if not imported.is_whole():
            words = [model, *flag_words(output_directory=imported.path, label_map_path=label_map_path)]
            runner.run(CommandStep("checkpoint, config and label map", "train.import_checkpoint", words))
        return imported
    known = zoo_model(model)
    if known.unsupported:
        raise UserError(f"{known.name}: {known.unsupported}")
    fetched = DetectorFolder(output / "zoo" / known.name)
    if not fetched.is_whole():
        words = [known.name, *flag_words(output_directory=output / "zoo")]
        words += flag_words(base_url=None if base_url == PUBLISHED_AT else base_url)
        runner.run(CommandStep("the zoo's archive", "train.fetch_zoo_checkpoint", words))
    return fetched


def _for_export(config: Any, label_map: Path) -> Any:
    """Returns a config with what the zoo's leave to be filled in for a training: names of classes, and no records."""
    config.train_config.ClearField("fine_tune_checkpoint")
    for reader in (config.train_input_reader, *config.eval_input_reader):
        reader.label_map_path = str(label_map)
        reader.tf_record_input_reader.input_path[:] = ["no.record"]
    return config


def _folder_name(model: str) -> str:
    """Returns a name for the results: the zoo's, or that of a file with its folder's, which tells more."""
    path = Path(model)
    return "-".join(part for part in (path.parent.name, path.stem) if part) or "model"


if __name__ == "__main__":
    run_command(main)
