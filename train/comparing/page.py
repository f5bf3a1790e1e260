"""A page of a comparison: the figures, and the images that got better and worse, both detectors side by side."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from data_prep.images.drawing import Color, draw_boxes
from data_prep.images.image_file import ImageError, decode_rgb
from data_prep.images.jpeg import jpeg_data_url
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.progress import progress
from train.comparing.compare_detectors import ComparedDetectors
from train.comparing.operating import Operation
from train.comparing.table import comparison_table

MAX_SHOWN = 20  # images that got better, and as many that got worse, of each detector but the first
THUMBNAIL_PIXELS = 420  # of the longer side
THUMBNAIL_QUALITY = 80
RIGHT: Color = (30, 160, 70)
WRONG: Color = (220, 40, 40)
MISSED: Color = (255, 150, 0)
_NO_IMAGE: Color = (228, 228, 226)

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Comparison of detectors</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 66em; padding: 0 1em; color: #222; }
pre { overflow-x: auto; background: #f6f6f4; padding: 1em; border-radius: 6px; font-size: 13px; }
figure { margin: 0 0 1.2em; border: 1px solid #ccc; border-radius: 6px; padding: .6em; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .6em; }
img { max-width: 100%; display: block; }
figcaption { font-size: 14px; overflow-wrap: anywhere; margin-bottom: .4em; }
.right { color: #1ea046; } .wrong { color: #dc2828; } .missed { color: #c77400; }
</style></head><body>
"""


@dataclasses.dataclass(frozen=True)
class ImageChange:
    """How an image fares with another detector than the first.

    Attributes:
        image: Its number.
        before: What is right, wrong and missed with the first.
        after: The same with the other.
    """

    image: int
    before: tuple[int, int, int]
    after: tuple[int, int, int]

    @property
    def gain(self) -> int:
        """How many mistakes fewer."""
        return sum(self.before[1:]) - sum(self.after[1:])


def image_changes(first: Operation, other: Operation) -> list[ImageChange]:
    """Returns the images with more or fewer mistakes, those that gained most first; of equal ones the first ones.

    Args:
        first: The first detector's.
        other: Another's, on the same images.
    """
    before, after = (operation.image_counts().sum(axis=1).T.tolist() for operation in (first, other))
    changes = [
        ImageChange(number, tuple(one), tuple(two)) for number, (one, two) in enumerate(zip(before, after, strict=True))
    ]
    return sorted((change for change in changes if change.gain), key=lambda change: -change.gain)


def write_comparison_page(path: Path, compared: ComparedDetectors) -> int:
    """Writes the page, in one file that needs no network.

    Args:
        path: The HTML file.
        compared: What was found.

    Returns:
        How many pairs of images it shows.
    """
    first = compared.operations[0]
    chosen: list[tuple[int, str, list[ImageChange]]] = []
    for number, other in enumerate(compared.operations[1:], start=1):
        changes = image_changes(first, other)
        better = [change for change in changes if change.gain > 0]
        worse = [change for change in reversed(changes) if change.gain < 0]
        chosen += [(number, "better", better), (number, "worse", worse)]
    images = compared.images.images
    shown = {images[change.image].source_id for *_, changes in chosen for change in changes[:MAX_SHOWN]}
    encoded = compared.images.read_encoded(frozenset(shown))
    letters = [one.candidate.letter for one in compared.comparison.detectors]
    text = f"<h1>Comparison of detectors</h1>\n<pre>{_escaped(comparison_table(compared.comparison))}</pre>\n"
    text += (
        "<p>Below, each detector's detections from its threshold on: <b class=right>right</b>, "
        "<b class=wrong>wrong</b>, and dashed the objects that are <b class=missed>missed</b>. Mistakes are what is "
        "wrong or missed.</p>\n"
    )
    num_shown = 0
    for number, word, changes in chosen:
        text += f"<h2>{word.capitalize()} with {letters[number]} than with {letters[0]}: {len(changes)} images</h2>\n"
        for change in progress(changes[:MAX_SHOWN], description="drawing", unit="image"):
            pair = [(letters[place], compared.operations[place]) for place in (0, number)]
            text += _figure(compared, change, pair, encoded)
            num_shown += 1
    write_text(path, _HEAD + text + "</body></html>\n")
    return num_shown


def _figure(
    compared: ComparedDetectors,
    change: ImageChange,
    pair: Sequence[tuple[str, Operation]],
    encoded: Mapping[str, bytes],
) -> str:
    source_id, size = compared.images.images[change.image].source_id, compared.images.sizes[change.image]
    name = compared.images.file_names.get(source_id) or source_id
    shown = name if PurePath(name).stem == source_id or name == source_id else f"{source_id} ({name})"
    caption = f"<b>{_escaped(shown)}</b>: "
    words = ("right", "wrong", "missed")
    ground, scale = _ground(encoded.get(source_id), size)
    drawn, told = [], []
    for (letter, operation), counts in zip(pair, (change.before, change.after), strict=True):
        told.append(f"{letter} " + ", ".join(f"{count} {word}" for count, word in zip(counts, words, strict=True)))
        image = _draw(ground, operation, change.image, scale)
        alt = _escaped(f"{name} with {letter}")
        drawn.append(f'<img alt="{alt}" src="{jpeg_data_url(image, THUMBNAIL_QUALITY)}">')
    return (
        f"<figure><figcaption>{caption}{'; '.join(told)}</figcaption><div class=pair>{''.join(drawn)}</div></figure>\n"
    )


def _ground(content: bytes | None, size: tuple[int, int]) -> tuple[Image.Image, float]:
    """Returns what to draw on, and what boxes in pixels are multiplied by; grey where there is no image."""
    height, width = size
    scale = min(1.0, THUMBNAIL_PIXELS / max(size))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    if content is not None:
        try:
            return decode_rgb(content).resize(small, reducing_gap=2.0), scale
        except ImageError:  # which the evaluation has read: of a kind that only TensorFlow decodes
            pass
    return Image.new("RGB", small, _NO_IMAGE), scale


def _draw(ground: Image.Image, operation: Operation, image: int, scale: float) -> Image.Image:
    matches = operation.matches
    truth = np.flatnonzero((matches.groundtruth.image == image) & operation.is_missed)
    found = np.flatnonzero((matches.detections.image == image) & operation.counts)
    names = [matches.names[class_id] for class_id in matches.groundtruth.classes[truth].tolist()]
    drawn = draw_boxes(
        ground, matches.groundtruth.boxes[truth] * scale, names, colors=[MISSED] * len(truth), dashed=True
    )
    return draw_boxes(
        drawn,
        matches.detections.boxes[found] * scale,
        [matches.names[class_id] for class_id in matches.detections.classes[found].tolist()],
        matches.detections.scores[found].tolist(),
        colors=[RIGHT if is_right else WRONG for is_right in matches.is_right[found].tolist()],
    )


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))
