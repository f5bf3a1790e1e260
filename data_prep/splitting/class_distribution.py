"""The distribution of classes over images, in all of them and in a part, printed for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.runtime.command_line import printable

LONGEST_NAME = 28


@dataclass(frozen=True)
class Part:
    """A part of the images, such as a split.

    Attributes:
        name: As it is printed.
        num_images: How many images it has.
        image_counts: [C] int64, on how many of them each class is.
        box_counts: [C] int64, how many boxes of each class they have.
    """

    name: str
    num_images: int
    image_counts: np.ndarray
    box_counts: np.ndarray

    def shares(self) -> np.ndarray:
        """Returns [C] float64 in 0..1: the share of the images that each class is on."""
        return self.image_counts / max(self.num_images, 1)

    def box_shares(self) -> np.ndarray:
        """Returns [C] float64 in 0..1: the share of the boxes that are of each class."""
        return self.box_counts / max(int(self.box_counts.sum()), 1)


def largest_difference(part: Part, whole: Part) -> tuple[float, int]:
    """Returns the largest absolute difference between the classes' shares of images (0..1), and the class."""
    differences = np.abs(part.shares() - whole.shares())
    if not len(differences):
        return 0.0, -1
    most = int(np.argmax(differences))
    return float(differences[most]), most


def distribution_lines(
    whole: Part, parts: Sequence[Part], labels: Sequence[str], names: Mapping[str, str], num_classes_shown: int
) -> list[str]:
    """Returns a table of the classes' shares of the images, commonest first, and each part's largest difference.

    Args:
        whole: All images.
        parts: What they were shared out to.
        labels: C labels.
        names: Class names by label; a label without one stands for itself.
        num_classes_shown: How many classes get a line; 0 for all.
    """
    shown_names = [printable(names.get(label, label), LONGEST_NAME) for label in labels]
    order = np.argsort(-whole.image_counts, kind="stable")
    shown = order if num_classes_shown == 0 else order[:num_classes_shown]
    width = max([len("class"), *(len(shown_names[number]) for number in shown)])
    columns = (whole, *parts)
    lines = ["  ".join([f"{'class':{width}}", *(f"{part.name:>18}" for part in columns)])]
    for number in shown:
        cells = [f"{part.image_counts[number]:9d} {100 * part.shares()[number]:7.3f}%" for part in columns]
        lines.append("  ".join([f"{shown_names[number]:{width}}", *cells]))
    if len(shown) < len(order):
        lines.append(f"... and {len(order) - len(shown)} more classes (--num_classes_shown 0 shows all)")
    for part in parts:
        difference, number = largest_difference(part, whole)
        if number < 0:
            continue
        boxes = 100 * np.abs(part.box_shares() - whole.box_shares()).max()
        lines.append(
            f"{part.name}: {part.num_images} images ({100 * part.num_images / max(whole.num_images, 1):.2f}%), "
            f"{int(part.box_counts.sum())} boxes; largest difference of a class's share of the images: "
            f"{100 * difference:.3f} points ({shown_names[number]}: {100 * part.shares()[number]:.3f}% here, "
            f"{100 * whole.shares()[number]:.3f}% in all), of the boxes: {boxes:.3f} points"
        )
        absent = np.flatnonzero((part.image_counts == 0) & (whole.image_counts > 0))
        if len(absent):
            some = ", ".join(f"{shown_names[number]} (on {whole.image_counts[number]})" for number in absent[:5])
            lines.append(
                f"{part.name}: {len(absent)} of the classes without an image here: {some}{', ...' * (len(absent) > 5)}"
            )
    return lines
