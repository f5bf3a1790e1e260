"""The check that a version detects better than another on evaluation records, before a label is moved to it."""

from __future__ import annotations

from pathlib import Path

from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.ledger import Ledger
from serving.operating.version_folders import find_version_folders
from train.comparing.compare_options import CompareOptions


def require_better(
    base_path: str,
    version: int,
    reference: int,
    *,
    pipeline_config_path: str,
    options: CompareOptions,
    output_directory: Path,
) -> str:
    """Compares two versions of a model as `train.compare` does.

    Args:
        base_path: The model's, whose version folders must be on this machine.
        version: What is to be better.
        reference: Than which.
        pipeline_config_path: Whose first `eval_input_reader` they are compared on.
        options: When it is better.
        output_directory: For what they detect, and `comparison.json`.

    Returns:
        The comparison as a table.

    Raises:
        UsageError: A version's folder, the config or its records are not there.
        UserError: The version is not better; with the reason.
    """
    folders = {folder.version: folder.path for folder in find_version_folders(Path(base_path))}
    for number in (reference, version):
        if number not in folders:
            raise UsageError(
                f"{base_path} has no version {number} on this machine, which --require_better_than compares; its "
                f"versions are {', '.join(map(str, sorted(folders))) or 'none'}"
            )
    # TensorFlow, which a move of labels does not need.
    from train.comparing.candidates import find_candidates
    from train.comparing.compare_detectors import compare_detectors
    from train.comparing.compared_images import images_of_records
    from train.comparing.table import comparison_table, verdict
    from train.loop.processor import prepare_tensorflow
    from train.pipeline import load_pipeline

    pipeline = load_pipeline(pipeline_config_path)
    if not pipeline.settings.eval_input_reader:
        raise UsageError(f"{pipeline_config_path} has no eval_input_reader to compare versions on")
    prepare_tensorflow()
    candidates = find_candidates([str(folders[reference]), str(folders[version])])
    comparison = compare_detectors(
        candidates, images_of_records(pipeline, 0), pipeline, output_directory, Ledger(None), options=options
    ).comparison
    if not comparison.is_better:
        told = verdict(comparison, comparison.detectors[1])
        raise UserError(f"version {version} is not better than {reference}: {told}; no label was moved")
    return comparison_table(comparison)
