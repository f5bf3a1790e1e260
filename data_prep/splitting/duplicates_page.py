"""An HTML page that shows pairs of images side by side: one file, which needs no network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from data_prep.images.image_file import ImageError, decode_rgb, read_image_file
from data_prep.images.jpeg import jpeg_data_url
from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.progress import progress
from data_prep.splitting.duplicates import SAME_ID, Duplicate, SplitHashes

THUMBNAIL_PIXELS = 240  # of the longer side
THUMBNAIL_QUALITY = 75

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Images in two splits</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222; }
main { display: grid; gap: 1em; grid-template-columns: repeat(auto-fill, minmax(27em, 1fr)); }
section { border: 1px solid #ccc; border-radius: 6px; padding: .6em; }
section > p { margin: 0 0 .4em; font-weight: 600; }
div { display: grid; grid-template-columns: 1fr 1fr; gap: .6em; align-items: end; }
figure { margin: 0; } img { max-width: 100%; display: block; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
</style></head><body>
"""


def write_duplicates_page(
    path: Path, splits: Sequence[SplitHashes], duplicates: Sequence[Duplicate], num_shown: int
) -> int:
    """Writes the page; the least alike pairs, where a mistake is likeliest, come first.

    Args:
        path: The HTML file.
        splits: What `duplicates` points into.
        duplicates: The pairs.
        num_shown: At most so many; a pair takes some 20 KB.

    Returns:
        How many pairs are in the page.
    """
    first = sorted(duplicates, key=lambda copy: -1 if copy.distance is None else copy.distance, reverse=True)
    shown = first[:num_shown]
    sections = [_section(splits, copy) for copy in progress(shown, description="drawing pairs", unit="pairs")]
    summary = f"<h1>Images in two splits</h1><p>{len(shown)} of {len(duplicates)} pairs, the least alike first. "
    summary += "Left: what is dropped, from the larger split. Right: what stays.</p>\n"
    write_text(path, _HEAD + summary + "<main>\n" + "\n".join(sections) + "\n</main></body></html>\n")
    return len(shown)


def _section(splits: Sequence[SplitHashes], copy: Duplicate) -> str:
    alike = SAME_ID if copy.distance is None else f"{copy.distance} of 64 bits differ"
    dropped = _figure(splits[copy.split], copy.image, "dropped from")
    kept = _figure(splits[copy.of_split], copy.of_image, "kept in")
    return f"<section><p>{html.escape(alike)}</p><div>{dropped}{kept}</div></section>"


def _figure(split: SplitHashes, image: int, what: str) -> str:
    name = html.escape(split.image_ids[image])
    path = split.paths[image]
    try:
        if path is None:
            raise ImageError("missing")
        decoded = decode_rgb(read_image_file(path))
        size = f"{decoded.width}x{decoded.height}"
        decoded.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        shown = f'<img alt="{name}" src="{jpeg_data_url(decoded, THUMBNAIL_QUALITY)}">'
    except ImageError as error:
        size, shown = error.reason, ""
    caption = f"{what} {html.escape(split.name)}: {name} ({html.escape(size)})"
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"
