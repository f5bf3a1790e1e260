"""The counts behind the page's charts, of all boxes and of each class."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.inspection.data_set import DataSet

SHARE_EDGES: npt.NDArray[np.float64] = np.linspace(
    0.0, 1.0, 21, dtype=np.float64
)  # of a box's side, relative to its image
PIXEL_EDGES = np.array([0, 8, 16, 32, 64, 128, 256, 512, 1024, np.inf])  # of a box's side
RATIO_EDGES = np.arange(-4.25, 4.5, 0.5, dtype=np.float64)  # of log2(width / height), a bin around each half
COUNT_EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 21, 31, 51, 101, np.inf])  # of boxes in an image
GRID = 16  # cells across and down of the map of box centres
MAX_CHARTED_CLASSES = 1000  # with charts of their own
MAX_MATRIX_CLASSES = 24
MAX_SIZES = 60


def statistics(found: DataSet) -> dict[str, Any]:
    """Returns what the page's charts show, ready for JSON.

    Keys: `classes` (a dictionary a class, with `charts` for the most frequent), `all` (the charts of all boxes),
    `edges`, `sizes` ([width, height, images] of the most frequent sizes), `together` (the classes of the
    co-occurrence matrix and its counts of images).
    """
    num_classes = len(found.labels)
    boxes = np.bincount(found.box_classes, minlength=num_classes)
    # One row for each class in each image, and how many boxes of it there are.
    pairs, pair_counts = np.unique(
        found.box_images.astype(np.int64) * max(num_classes, 1) + found.box_classes, return_counts=True
    )
    pair_images, pair_classes = pairs // max(num_classes, 1), pairs % max(num_classes, 1)
    images = np.bincount(pair_classes, minlength=num_classes)
    medians = _median_sides(found, num_classes)
    by_box = _BoxCharts(found)
    order = np.argsort(found.box_classes, kind="stable")
    class_offsets = np.searchsorted(found.box_classes[order], np.arange(num_classes + 1))
    pair_order = np.argsort(pair_classes, kind="stable")
    pair_offsets = np.searchsorted(pair_classes[pair_order], np.arange(num_classes + 1))
    charted = set(np.argsort(-boxes, kind="stable")[:MAX_CHARTED_CLASSES].tolist())
    classes = []
    for row in range(num_classes):
        entry: dict[str, Any] = {
            "label": found.labels[row],
            "name": found.names[row],
            "boxes": int(boxes[row]),
            "images": int(images[row]),
            "median": medians[row],
            "present": found.verified_present[row],
            "absent": found.verified_absent[row],
            "flags": _flag_counts(found.box_flags[order[class_offsets[row] : class_offsets[row + 1]]]),
        }
        if row in charted and boxes[row]:
            entry["charts"] = by_box.of(order[class_offsets[row] : class_offsets[row + 1]])
            counts = pair_counts[pair_order[pair_offsets[row] : pair_offsets[row + 1]]]
            entry["charts"]["counts"] = _histogram(counts, COUNT_EDGES)
        classes.append(entry)
    everything = by_box.of(np.arange(found.num_boxes))
    everything["counts"] = _histogram(np.diff(found.box_offsets), COUNT_EDGES)
    everything["flags"] = _flag_counts(found.box_flags)
    everything["imageFlags"] = _flag_counts(found.image_flags)
    return {
        "classes": classes,
        "all": everything,
        "edges": {
            "shares": [round(edge, 2) for edge in SHARE_EDGES.tolist()],
            "pixels": _finite(PIXEL_EDGES),
            "ratios": RATIO_EDGES.tolist(),
            "counts": _finite(COUNT_EDGES),
        },
        "grid": GRID,
        "sizes": _sizes(found),
        "together": _together(pair_images, pair_classes, images, found.num_images),
    }


class _BoxCharts:
    """Histograms over any choice of boxes, from columns computed once."""

    def __init__(self, found: DataSet) -> None:
        boxes = found.clipped_boxes().astype(np.float64)
        sides = found.box_sides().astype(np.float64)
        shares = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        pixels = np.sqrt(sides.prod(axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.clip(np.log2(sides[:, 1] / sides[:, 0]), RATIO_EDGES[0], RATIO_EDGES[-1])
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        cells = np.minimum((centers * GRID).astype(np.int64), GRID - 1)
        # Each box's bin; -1 where what it would be put in by is not known.
        self._shares = _bins(shares, SHARE_EDGES)
        self._pixels = _bins(pixels, PIXEL_EDGES)
        self._ratios = _bins(ratios, RATIO_EDGES)
        self._cells = cells[:, 0] * GRID + cells[:, 1]

    def of(self, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Returns the charts of the boxes at `rows`; `centers` goes row by row from the top left."""
        return {
            "shares": _count(self._shares[rows], len(SHARE_EDGES) - 1),
            "pixels": _count(self._pixels[rows], len(PIXEL_EDGES) - 1),
            "ratios": _count(self._ratios[rows], len(RATIO_EDGES) - 1),
            "centers": _count(self._cells[rows], GRID * GRID),
        }


def _bins(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    bins = np.minimum(np.searchsorted(edges, values, side="right") - 1, len(edges) - 2)
    return np.where(np.isfinite(values), bins, -1)


def _count(bins: npt.NDArray[np.int64], size: int) -> list[int]:
    counts: list[int] = np.bincount(bins[bins >= 0], minlength=size).tolist()
    return counts


def _histogram(values: npt.NDArray[np.int64], edges: npt.NDArray[np.float64]) -> list[int]:
    return _count(_bins(values.astype(np.float64), edges), len(edges) - 1)


def _median_sides(found: DataSet, num_classes: int) -> list[float | None]:
    """Returns the median of sqrt(area) in pixels of each class; None where no size is known."""
    pixels = np.sqrt(found.box_sides().prod(axis=1))
    known = np.isfinite(pixels)
    classes, pixels = found.box_classes[known], pixels[known]
    order = np.lexsort((pixels, classes))
    offsets = np.searchsorted(classes[order], np.arange(num_classes + 1))
    medians: list[float | None] = []
    for start, end in itertools.pairwise(offsets):
        medians.append(round(float(np.median(pixels[order[start:end]])), 1) if end > start else None)
    return medians


def _flag_counts(flags: npt.NDArray[np.integer[Any]]) -> dict[str, int]:
    """Returns how many have each bit, by the bit's value; those that none has are left out."""
    counts = {1 << bit: int(np.count_nonzero(flags & (1 << bit))) for bit in range(flags.dtype.itemsize * 8)}
    return {str(bit): count for bit, count in counts.items() if count}


def _sizes(found: DataSet) -> dict[str, Any]:
    known = (found.widths > 0) & (found.heights > 0)
    pairs = np.stack([found.widths[known], found.heights[known]], axis=1)
    sizes, counts = np.unique(pairs, axis=0, return_counts=True) if len(pairs) else (pairs, np.zeros(0, np.int64))
    order = np.argsort(-counts, kind="stable")
    top = order[:MAX_SIZES]
    return {
        "top": [[int(sizes[row, 0]), int(sizes[row, 1]), int(counts[row])] for row in top],
        "others": int(counts[order[MAX_SIZES:]].sum()),
        "distinct": len(counts),
        "unknown": int(np.count_nonzero(~known)),
    }


def _together(
    pair_images: npt.NDArray[np.int64],
    pair_classes: npt.NDArray[np.int64],
    images: npt.NDArray[np.int64],
    num_images: int,
) -> dict[str, Any]:
    """Counts images that hold two classes, for the classes in most images; the diagonal is the class alone."""
    top = np.argsort(-images, kind="stable")[:MAX_MATRIX_CLASSES]
    top = top[images[top] > 0]
    holds = np.zeros((len(top), num_images), np.float32)
    for row, class_row in enumerate(top):
        holds[row, pair_images[pair_classes == class_row]] = 1.0
    return {"classes": top.tolist(), "counts": np.rint(holds @ holds.T).astype(int).tolist()}


def _finite(edges: npt.NDArray[np.float64]) -> list[float | None]:
    return [edge if np.isfinite(edge) else None for edge in edges.tolist()]
