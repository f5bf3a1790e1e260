"""Evaluation of one checkpoint, or of each new one of a running training."""

from __future__ import annotations

from pathlib import Path

from train.checkpoints.files import find_checkpoint
from train.evaluation.evaluator import CheckpointEvaluator
from train.evaluation.record_names import read_record_names
from train.evaluation.study import EvaluationStudy, StudyOptions
from train.loop.checkpoint_files import read_training_end, restore_trained, wait_for_new_checkpoint
from train.loop.devices import set_precision
from train.models.build import build_or_explain
from train.pipeline import Pipeline


def evaluate_checkpoints(
    pipeline: Pipeline,
    path: str,
    *,
    eval_dir: Path | None = None,
    model_dir: Path | None = None,
    once: bool = False,
    timeout_seconds: float = 3600.0,
    reader_index: int = 0,
    num_train_steps: int | None = None,
    options: StudyOptions | None = None,
) -> None:
    """Measures the newest checkpoint, and unless told otherwise each that comes after it, until the training has ended.

    Args:
        pipeline: What the checkpoints were trained with, and what to evaluate on.
        path: A folder with checkpoints, or one checkpoint's prefix, which is evaluated once.
        eval_dir: Where results go; by default the reader's folder in `model_dir`.
        model_dir: By default the folder of the checkpoints.
        once: Whether to end after the first.
        timeout_seconds: How long to wait for a new checkpoint.
        reader_index: Which `eval_input_reader`.
        num_train_steps: The training's last step; by default `train_config.num_steps`.
        options: What to find out beside the averages.
    """
    # One checkpoint's prefix stays what it is: there is nothing to wait for.
    once = once or Path(f"{path}.index").is_file()
    prefix = find_checkpoint(path) if once else wait_for_new_checkpoint(path, None, timeout_seconds)
    if prefix is None:
        print(f"no checkpoint appeared in {path} within {timeout_seconds:.0f} s")
        return
    set_precision(pipeline.settings.precision_policy)
    detector = build_or_explain(pipeline.settings)
    evaluator = CheckpointEvaluator(pipeline, detector, reader_index=reader_index)
    model_dir = model_dir or (Path(path) if Path(path).is_dir() else Path(path).parent)
    eval_dir = eval_dir or model_dir / evaluator.folder
    train_config = pipeline.settings.train_config
    in_config = train_config.num_steps if train_config is not None else 0
    last_step = num_train_steps or in_config
    options = options or StudyOptions()
    file_names: dict[str, str] = {}
    if options.detections_path is not None:
        reader = pipeline.settings.eval_input_reader[reader_index]
        file_names = read_record_names(reader, f"eval_input_reader[{reader_index}]")
    while prefix is not None:
        averages = pipeline.settings.eval_config.use_moving_averages
        step = restore_trained(detector, prefix, moving_averages=averages)
        study = EvaluationStudy(options, pipeline.settings.eval_config, pipeline.names_by_id, file_names)
        result = evaluator.evaluate([study])
        study.finish(result, eval_dir, step=step, source=prefix, title=f"{prefix}, step {step},")
        if once:
            return
        if last_step and step >= last_step:
            where = "--num_train_steps" if num_train_steps else "train_config.num_steps"
            print(f"step {step} is {where}: the training has ended")
            return
        prefix = wait_for_new_checkpoint(path, prefix, timeout_seconds)
    end = read_training_end(path)
    if end is not None and step >= end.step:
        print(f"the training has ended at step {end.step}: {end.reason}")
        return
    print(f"no new checkpoint appeared in {path} within {timeout_seconds:.0f} s; ending")
