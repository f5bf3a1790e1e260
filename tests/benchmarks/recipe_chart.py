"""Draws docs/charts/recipes.svg from docs/charts/recipes.csv: AP against minutes of training and milliseconds an image.

    python -m tests.benchmarks.recipe_chart

A row of the CSV is a recipe on a set. `tests.benchmarks.recipe_latency` measures the milliseconds; minutes and AP are
those that the recipes' headers tell.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path

CHARTS = Path(__file__).resolve().parents[2] / "docs" / "charts"
WIDTH, HEIGHT = 940, 400
# Distinguishable with colour blindness (after Okabe and Ito).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
FONT = 'font-family="system-ui,sans-serif" font-size="12"'
LETTER_WIDTH, LINE_HEIGHT = 6.8, 14.0
TOP, BOTTOM = 56, 48
PANEL_WIDTH = 370


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a recipe takes and reaches on a set.

    Attributes:
        label: Short, beside the point.
        data: The set, as the legend calls it.
        minutes: Of training on two CPU cores.
        milliseconds: Of processor time an image.
        average_precision: From 0 to 1, mean over the seeds.
    """

    label: str
    data: str
    minutes: float
    milliseconds: float
    average_precision: float


def read_figures(path: Path) -> list[Figure]:
    """Reads the CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Figure(row["label"], row["set"], float(row["minutes"]), float(row["cpu_ms"]), float(row["AP"]))
            for row in csv.DictReader(file)
        ]


def chart(figures: Sequence[Figure]) -> str:
    """Draws two panels beside each other, as an SVG document."""
    sets = list(dict.fromkeys(figure.data for figure in figures))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>AP against minutes of training and milliseconds an image</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    x = 60.0
    for name, color in zip(sets, COLORS, strict=False):
        parts.append(f'<circle cx="{x}" cy="20" r="5" fill="{color}"/>')
        parts.append(_text(x + 10, 24, name))
        x += 34 + LETTER_WIDTH * len(name)
    panels: tuple[tuple[float, str, Callable[[Figure], float]], ...] = (
        (60, "minutes of training on two idle CPU cores", lambda figure: figure.minutes),
        (60 + PANEL_WIDTH + 100, "milliseconds of CPU time an image", lambda figure: figure.milliseconds),
    )
    for left, title, value in panels:
        parts += _panel(figures, sets, left, title, value)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    figures: Sequence[Figure], sets: Sequence[str], left: float, title: str, value: Callable[[Figure], float]
) -> list[str]:
    across = ticks(max(map(value, figures)))
    up = ticks(max(figure.average_precision for figure in figures))
    bottom = HEIGHT - BOTTOM
    parts = [_text(left - 4, TOP - 12, "AP", anchor="end")]
    for tick in up:
        y = bottom - tick / up[-1] * (bottom - TOP)
        parts.append(f'<line x1="{left}" x2="{left + PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(_text(left - 8, y + 4, f"{tick:g}", anchor="end"))
    for tick in across:
        x = left + tick / across[-1] * PANEL_WIDTH
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="#888"/>')
        parts.append(_text(x, bottom + 18, f"{tick:g}", anchor="middle"))
    parts.append(_text(left + PANEL_WIDTH / 2, HEIGHT - 10, title, anchor="middle"))
    placed: list[tuple[float, float, float, float]] = []
    places = {
        figure: (
            left + value(figure) / across[-1] * PANEL_WIDTH,
            bottom - figure.average_precision / up[-1] * (bottom - TOP),
        )
        for figure in figures
    }
    placed += [(x - 6, y - 6, x + 6, y + 6) for x, y in places.values()]
    for figure, (x, y) in places.items():
        color = COLORS[sets.index(figure.data) % len(COLORS)]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>')
        text_x, text_y = _free_place(x, y, LETTER_WIDTH * len(figure.label), left + PANEL_WIDTH + 30, placed)
        if abs(text_y - 4 - y) > LINE_HEIGHT / 2:  # not beside its point
            near_x = min(max(x, text_x), text_x + LETTER_WIDTH * len(figure.label))
            near_y = text_y + 2 if text_y < y else text_y - LINE_HEIGHT + 4
            ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{near_x:.1f}" y2="{near_y:.1f}"'
            parts.append(f'<line {ends} stroke="{color}" stroke-width="0.7"/>')
        parts.append(_text(text_x, text_y, figure.label, color=color))
    return parts


def _free_place(
    x: float, y: float, width: float, right: float, placed: list[tuple[float, float, float, float]]
) -> tuple[float, float]:
    """Finds room for a label near a point, and takes it; the last try may overlap."""
    shifts = [side * LINE_HEIGHT * count for count in range(6) for side in (-1, 1)]
    places = [(start, y + 4 + shift) for shift in shifts for start in (x + 9, x - 9 - width)]
    for start, base in places:
        box = (start, base - LINE_HEIGHT + 2, start + width, base + 2)
        if box[2] <= right and not any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in placed
        ):
            break
    placed.append(box)
    return start, base


def _text(x: float, y: float, text: str, *, anchor: str = "start", color: str = "#444") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} fill="{color}">{html.escape(text)}</text>'


def ticks(largest: float) -> list[float]:
    """Returns four to seven round numbers from 0 to at least `largest`, a number above 0."""
    magnitude = 10.0 ** math.floor(math.log10(largest / 5))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= largest / 5 * 0.999)
    return [round(index * step, 12) for index in range(math.ceil(largest / step - 1e-9) + 1)]


def main() -> None:
    """Draws it."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    path = CHARTS / "recipes.svg"
    path.write_text(chart(read_figures(CHARTS / "recipes.csv")), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
