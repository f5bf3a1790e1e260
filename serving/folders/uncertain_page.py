"""Lists of the images to label next: a CSV, and an HTML page in one file that needs no network."""

from __future__ import annotations

import csv
import html
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.images.drawing import draw_boxes
from data_prep.images.image_file import ImageError, decode_rgb, read_image_file
from data_prep.images.jpeg import jpeg_data_url
from data_prep.runtime.atomic_files import atomic_path, write_text
from data_prep.runtime.progress import progress
from serving.folders.uncertainty import UncertainClass, UncertainImage, uncertainty_of_score

MAX_SHOWN = 500  # an image takes some 30 KB of the page
MAX_CLASSES = 100
MAX_DRAWN = 6  # detections of an image: those that make it uncertain; dozens of weak ones would hide it
THUMBNAIL_PIXELS = 360  # of the longer side
THUMBNAIL_QUALITY = 78
COLUMNS = ("rank", "image", "uncertainty", "num_detections", "least_sure_name", "least_sure_score")

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Images to label next</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #222; }
main { display: grid; gap: 1em; grid-template-columns: repeat(auto-fill, minmax(18em, 1fr)); align-items: start; }
figure { margin: 0; border: 1px solid #ccc; border-radius: 6px; padding: .6em; }
img { max-width: 100%; display: block; margin: 0 auto .4em; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin-bottom: 1.5em; } td, th { padding: .15em .8em .15em 0; text-align: right; }
td:first-child, th:first-child { text-align: left; overflow-wrap: break-word; }
</style></head><body>
"""


def write_uncertain_csv(path: Path, images: Sequence[UncertainImage]) -> None:
    """Writes a row of `COLUMNS` an image, the least sure first; names are relative to the folder of the images."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for rank, image in enumerate(images, start=1):
            found = image.result.detections
            least = max(found, key=lambda detection: uncertainty_of_score(detection.score))
            uncertainty = round(image.uncertainty, 6)
            name = image.result.image
            writer.writerow((rank, name, uncertainty, len(found), least.name, round(least.score, 6)))


def write_uncertain_page(
    path: Path,
    folder: Path,
    images: Sequence[UncertainImage],
    classes: Sequence[UncertainClass],
    *,
    num_images: int,
    formula: str,
) -> int:
    """Writes the page: the classes, then the images with their least sure detections drawn, the least sure first.

    Args:
        path: The HTML file.
        folder: What the images' names are relative to.
        images: As `least_sure` returns them; at most 500 are shown.
        classes: As `least_sure` returns them; at most 100 are shown.
        num_images: How many were looked at.
        formula: A sentence about how the uncertainty was computed.

    Returns:
        How many images are in the page.
    """
    shown = images[:MAX_SHOWN]
    figures = [
        _figure(rank, folder, image)
        for rank, image in enumerate(progress(shown, description="drawing", unit="images"), start=1)
    ]
    text = f"<h1>Images to label next</h1>\n<p>The {len(shown)} of {num_images} images that the model is least "
    text += f"sure of, least sure first. {html.escape(formula)}</p>\n"
    rows = "".join(
        f"<tr><td>{_escaped(each.name)}</td><td>{each.num_detections}</td><td>{each.mean_uncertainty:.2f}</td></tr>\n"
        for each in classes[:MAX_CLASSES]
    )
    text += f"<table><tr><th>class</th><th>detections</th><th>mean uncertainty</th></tr>\n{rows}</table>\n"
    write_text(path, _HEAD + text + "<main>\n" + "\n".join(figures) + "\n</main></body></html>\n")
    return len(shown)


def _figure(rank: int, folder: Path, uncertain: UncertainImage) -> str:
    result = uncertain.result
    name = _escaped(result.image)
    drawn = sorted(result.detections, key=lambda found: -uncertainty_of_score(found.score))[:MAX_DRAWN]
    told = replace(result, detections=tuple(drawn))
    found = ", ".join(f"{_escaped(each.name)} {each.score:.2f}" for each in drawn)
    num_more = len(result.detections) - len(drawn)
    more = f" and {num_more} surer ones" if num_more else ""
    try:
        image = decode_rgb(read_image_file(folder / result.image))
        scale = min(1.0, THUMBNAIL_PIXELS / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        with_boxes = draw_boxes(
            image.resize(size, reducing_gap=2.0),
            told.boxes_pixels_ymin_xmin_ymax_xmax() * scale,
            [detection.name for detection in drawn],
            [detection.score for detection in drawn],
        )
        shown = f'<img alt="{name}" src="{jpeg_data_url(with_boxes, THUMBNAIL_QUALITY)}">'
    except ImageError as error:
        shown = f"<p>({html.escape(error.reason)})</p>"
    caption = f"<b>{rank}. {name}</b><br>uncertainty {uncertain.uncertainty:.3f}: {found}{more}"
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))
