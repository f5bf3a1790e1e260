"""Says which share of boxes the anchors of a pipeline config match, by class and size, before a day of training.

A box that no anchor matches by the matcher's threshold is learnt from one anchor that hardly fits it, or from none.
Boxes are looked at one by one, in pixels of the network's input. For a Faster R-CNN it is the first stage that counts.
`data_prep.inspect_data` draws what comes of it.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.settings.loading import add_config_arguments, load_config
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, UserError, run_command
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow

if TYPE_CHECKING:
    from train.models.anchor_matching import AnchorMatching, BoxMatches

# Of a box's side (the root of its area) in pixels of the network's input.
SIZE_EDGES = (8, 16, 32, 64, 128, 256)
_COLUMNS = ("boxes_ymin_xmin_ymax_xmax", "heights", "widths", "classes")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.anchor_coverage --pipeline_config_path pipeline.config --boxes boxes.npz \\\n"
        "      --output coverage.json",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--boxes",
        required=True,
        type=Path,
        help="an .npz of boxes_ymin_xmin_ymax_xmax [N, 4] relative to their images, heights [N] and widths [N] of "
        "these in pixels, and classes [N], whole numbers from 0",
    )
    parser.add_argument("--output", required=True, type=Path, help="the JSON file to write")
    arguments = parser.parse_args(argv)
    loaded = load_config(arguments.pipeline_config_path, arguments.config_override, arguments.ignore_unsupported)
    if loaded.settings is None:
        raise UsageError("\n".join(f"{loaded.where}: {problem}" for problem in loaded.problems))
    columns = read_boxes(arguments.boxes)

    quiet_tensorflow()
    from train.models.anchor_matching import AnchorMatching

    try:
        matching = AnchorMatching(loaded.settings)
    except ValueError as error:
        raise UserError(f"the anchors cannot be made: {error}") from error
    matches = matching.match(columns["boxes_ymin_xmin_ymax_xmax"], columns["heights"], columns["widths"])
    found = coverage(matching, matches, columns["classes"])
    write_json(arguments.output, found)
    print("\n".join(describe(found)))
    return EXIT_DONE


def read_boxes(path: Path) -> dict[str, np.ndarray]:
    """Reads what `--boxes` names.

    Returns:
        boxes_ymin_xmin_ymax_xmax float32 [N, 4], and heights, widths and classes int64 [N].

    Raises:
        UsageError: It is missing, no .npz, lacks a column, or its columns do not fit each other.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in _COLUMNS}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise UsageError(f"{path}: not an .npz of {', '.join(_COLUMNS)}: {error}") from error
    boxes = columns[_COLUMNS[0]]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.issubdtype(boxes.dtype, np.floating):
        raise UsageError(f"{path}: {_COLUMNS[0]} must be floats [N, 4], not {boxes.dtype} {list(boxes.shape)}")
    if not np.isfinite(boxes).all():
        raise UsageError(f"{path}: {_COLUMNS[0]} holds what is not a finite number")
    for name in _COLUMNS[1:]:
        column = columns[name]
        if column.shape != (len(boxes),) or not np.issubdtype(column.dtype, np.integer):
            raise UsageError(f"{path}: {name} must be whole numbers [{len(boxes)}], not {column.dtype} {column.shape}")
        if len(column) and column.min() < (0 if name == "classes" else 1):
            raise UsageError(f"{path}: {name} holds {column.min()}, which is too small")
        columns[name] = column.astype(np.int64)
    columns[_COLUMNS[0]] = boxes.astype(np.float32)
    return columns


def coverage(matching: AnchorMatching, matches: BoxMatches, classes: np.ndarray) -> dict[str, Any]:
    """Counts boxes, and those that are matched, by class and size.

    Args:
        matching: What matched.
        matches: Of N boxes.
        classes: int [N], from 0.

    Returns:
        What is written as JSON: the matcher's traits, `size_edges_pixels`, `by_class` (of each class that occurs
        `boxes` and `matched`, a number for each size, and the median of the best similarity), `total` likewise, and
        `matched`, a text of a 0 or 1 for each box.
    """
    sizes = np.searchsorted(SIZE_EDGES, np.sqrt(matches.sides.prod(axis=1)), side="right")

    def counts(rows: np.ndarray) -> dict[str, Any]:
        def by_size(chosen: np.ndarray) -> list[int]:
            return np.bincount(sizes[chosen], minlength=len(SIZE_EDGES) + 1).tolist()

        best = float(np.median(matches.best[rows])) if len(rows) else None
        return {"boxes": by_size(rows), "matched": by_size(rows[matches.matched[rows]]), "median_best": best}

    height, width = matching.input_shape
    return {
        "similarity": matching.similarity_name,
        "matched_threshold": matching.matched_threshold,
        "forces_best_anchor": matching.forces_best_anchor,
        "input_height": height,
        "input_width": width,
        "num_anchors": matching.num_anchors(),
        "size_edges_pixels": list(SIZE_EDGES),
        "by_class": {str(row): counts(np.flatnonzero(classes == row)) for row in np.unique(classes).tolist()},
        "total": counts(np.arange(len(classes))),
        "matched": "".join("1" if matched else "0" for matched in matches.matched.tolist()),
    }


def describe(found: dict[str, Any]) -> list[str]:
    """The findings of `coverage` as text, a line each."""
    edges = [0, *found["size_edges_pixels"]]
    names = [f"{low}-{high} pixels" for low, high in itertools.pairwise(edges)]
    names.append(f"{edges[-1]} pixels and more")
    total = found["total"]
    threshold = found["matched_threshold"]
    matched_by = "by whatever is most similar" if threshold is None else f"at {found['similarity']} {threshold:g}"
    lines = [f"{_share(sum(total['matched']), sum(total['boxes']))} boxes have an anchor that matches, {matched_by}"]
    for name, matched, boxes in zip(names, total["matched"], total["boxes"], strict=True):
        if boxes:
            lines.append(f"  {name:<22}{_share(matched, boxes)}")
    return lines


def _share(matched: int, boxes: int) -> str:
    return f"{matched} of {boxes} ({100 * matched / boxes:.1f}%)" if boxes else "0 of 0"


if __name__ == "__main__":
    run_command(main)
