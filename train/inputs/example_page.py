"""A web page of the model's inputs: it needs nothing but the images beside it, and no network."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from train.inputs.example_images import leaves_usual_range, object_name
from train.inputs.examples import InputExample

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 0 16px 48px; }
h1 { font-size: 1.5rem; margin: 24px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 4px; overflow-wrap: anywhere; }
p { margin: 4px 0 12px; }
.quiet { color: var(--quiet); }
table { border-collapse: collapse; margin: 12px 0 20px; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 14px 4px 0; text-align: left; }
td + td, th + th { text-align: right; }
article { border-top: 1px solid var(--line); padding: 20px 0; }
.pair { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
figure { flex: 1 1 300px; margin: 0; max-width: 680px; min-width: 0; }
img { border: 1px solid var(--line); display: block; height: auto; width: 100%; }
figcaption { color: var(--quiet); font-size: 0.9rem; padding: 4px 0; }
dl { display: grid; gap: 2px 14px; grid-template-columns: max-content 1fr; margin: 0 0 12px; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
"""


def page(
    examples: Sequence[InputExample],
    names_by_id: Mapping[int, str],
    image_files: Sequence[tuple[str, str]],
    *,
    title: str,
    lines: Sequence[str],
    max_number_of_boxes: int,
) -> str:
    """Returns the page's HTML.

    Args:
        examples: What it shows.
        names_by_id: Display names by label map id.
        image_files: For each example, where the drawn original and the drawn input lie, relative to the page.
        title: Of the page.
        lines: What is to be said of all images together, a paragraph each.
        max_number_of_boxes: Of an image; for the words on boxes that were cut.
    """
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{html.escape(title)}</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in lines),
        _class_table(examples, names_by_id),
        '<p class="quiet">Solid boxes are what the model learns from. Dashed ones, on the original, are what it does '
        "not get. Images can be opened at full size.</p>",
    ]
    for number, (example, files) in enumerate(zip(examples, image_files, strict=True), start=1):
        parts.append(_article(number, example, names_by_id, files, max_number_of_boxes))
    return "\n".join([*parts, "</body>\n</html>\n"])


def count_by_class(examples: Sequence[InputExample], names_by_id: Mapping[int, str]) -> list[tuple[str, int, int]]:
    """Returns name, boxes in the records and boxes fed of each class that occurs, the commonest first."""
    records: Counter[int] = Counter()
    fed: Counter[int] = Counter()
    for example in examples:
        records.update(example.original_objects.classes.tolist())
        fed.update(example.fed_objects.classes.tolist())
    ids = sorted({*records, *fed}, key=lambda class_id: (-records[class_id], -fed[class_id], class_id))
    return [(names_by_id.get(class_id, f"id {class_id}"), records[class_id], fed[class_id]) for class_id in ids]


def lost_by_augmentation(example: InputExample) -> int:
    """Returns how many objects are missing for another reason than the maximum and the label map."""
    return max(0, int(np.count_nonzero(~example.is_left())) - example.num_cut)


def _class_table(examples: Sequence[InputExample], names_by_id: Mapping[int, str]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{of_records}</td><td>{of_fed}</td></tr>"
        for name, of_records, of_fed in count_by_class(examples, names_by_id)
    )
    head = "<tr><th>class</th><th>boxes in the records</th><th>boxes fed</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _article(
    number: int,
    example: InputExample,
    names_by_id: Mapping[int, str],
    files: tuple[str, str],
    max_number_of_boxes: int,
) -> str:
    facts = [
        ("record's image", _size(example.original_size)),
        ("fed to the model", _size(example.fed.shape[:2]) + _padding(example)),
        ("boxes", f"{len(example.original_objects)} in the record, {len(example.fed_objects)} fed"),
        ("not fed", _not_fed(example, names_by_id, max_number_of_boxes)),
        ("values", _values(example)),
    ]
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts if text)
    figures = "".join(
        f'<figure><a href="{html.escape(file)}"><img loading="lazy" src="{html.escape(file)}" alt="{alt}"></a>'
        f"<figcaption>{caption}</figcaption></figure>"
        for file, alt, caption in (
            (files[0], f"image {number}, the record", "the record"),
            (files[1], f"image {number}, as fed to the model", "as fed to the model"),
        )
    )
    heading = f"{number}. {html.escape(example.source_id)}"
    return f'<article id="image-{number}"><h2>{heading}</h2><dl>{rows}</dl><div class="pair">{figures}</div></article>'


def _not_fed(example: InputExample, names_by_id: Mapping[int, str], max_number_of_boxes: int) -> str:
    lost = ~example.is_left()
    parts = []
    if lost_by_augmentation(example):
        parts.append(f"{lost_by_augmentation(example)} left out by the augmentation")
    if example.num_cut:
        parts.append(f"{example.num_cut} cut by max_number_of_boxes {max_number_of_boxes}")
    if example.num_unknown:
        parts.append(f"{example.num_unknown} of classes that the label map does not have")
    if example.num_unusable:
        parts.append(f"{example.num_unusable} that cannot be trained on")
    objects = example.original_objects.where(lost)
    names = Counter(object_name(objects, index, names_by_id) for index in range(len(objects)))
    listed = "; ".join(f"{name} x {count}" if count > 1 else name for name, count in names.most_common(12))
    more = "; ..." if len(names) > 12 else ""
    return ", ".join(parts) + (f": {listed}{more}" if listed else "")


def _padding(example: InputExample) -> str:
    if example.image_size == tuple(example.fed.shape[:2]):
        return ""
    return f", of which {_size(example.image_size)} image and the rest padding"


def _values(example: InputExample) -> str:
    image = example.fed[: example.image_size[0], : example.image_size[1]]
    text = f"{image.min():.1f} to {image.max():.1f}, mean {image.mean():.1f}"
    shown = "; shown stretched to 0 to 255" if leaves_usual_range(example.fed, example.image_size) else ""
    return text + shown


def _size(height_and_width: Sequence[int]) -> str:
    return f"{height_and_width[1]} x {height_and_width[0]}"
