"""Line charts as SVG text: nothing has to be installed to draw them, and any browser shows them."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 44
# Distinguishable with colour blindness (after Okabe and Ito).
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5b5b5b", "#8a6d3b")
_TEXT = 'font-family="system-ui,sans-serif" font-size="12" fill="#444"'


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: What the legend calls it.
        points: x and y, finite numbers, y from 0.
    """

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(
    series: Sequence[Series],
    *,
    x_title: str,
    y_title: str,
    mark_x: float | None = None,
    even_x: bool = False,
    dots: bool = True,
) -> str:
    """Draws lines over each other, the y axis from 0.

    The x values are placed evenly with `even_x`; otherwise by their logarithm where they span more than a factor of
    eight (a sweep that doubles), and by their size where they do not.

    Args:
        series: The lines; with none, or none with points, the chart says so.
        x_title: What x is.
        y_title: What y is.
        mark_x: Draws an upright line there.
        even_x: See above.
        dots: Whether each point is shown.

    Returns:
        An `<svg>` element.
    """
    xs = sorted({x for line in series for x, _ in line.points})
    if not xs:
        return f'<svg viewBox="0 0 {WIDTH} 40" role="img"><text x="8" y="24" {_TEXT}>no answers</text></svg>'
    top = _ticks(max(y for line in series for _, y in line.points))
    horizontal = _Horizontal(xs, even_x)

    def y_of(value: float) -> float:
        return HEIGHT - _BOTTOM - value / top[-1] * (HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in top:
        y = y_of(tick)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" {_TEXT}>{tick:g}</text>')
    for x in horizontal.labelled():
        place = horizontal.of(x)
        parts.append(f'<text x="{place:.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle" {_TEXT}>{x:g}</text>')
    if mark_x is not None:
        place = horizontal.of(mark_x)
        parts.append(
            f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" stroke="#b8860b" '
            'stroke-dasharray="5 4"/>'
        )
    for line, color in zip(series, _cycled(len(series)), strict=True):
        places = [(horizontal.of(x), y_of(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        if dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places]
    parts.append(_legend(series))
    parts.append(
        f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle" {_TEXT}>'
        f"{html.escape(x_title)}</text>"
    )
    parts.append(f'<text x="6" y="14" {_TEXT}>{html.escape(y_title)}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


class _Horizontal:
    """Places x values from left to right."""

    def __init__(self, xs: Sequence[float], even: bool) -> None:
        self._xs = xs
        logarithmic = not even and xs[0] > 0 and xs[-1] / xs[0] > 8
        if even:
            self._positions = {x: float(index) for index, x in enumerate(xs)}
        else:
            self._positions = {x: math.log(x) if logarithmic else x for x in xs}
        self._low = self._positions[xs[0]]
        self._span = self._positions[xs[-1]] - self._low

    def of(self, x: float) -> float:
        """Returns the place of one of the values that are drawn."""
        fraction = (self._positions[x] - self._low) / self._span if self._span else 0.5
        return _LEFT + 12 + fraction * (WIDTH - _LEFT - _RIGHT - 24)

    def labelled(self) -> list[float]:
        """Returns the values that have room for a label, the last always among them."""
        kept: list[float] = []
        for x in reversed(self._xs):
            if not kept or self.of(kept[-1]) - self.of(x) >= 34:
                kept.append(x)
        return kept


def _ticks(largest: float) -> list[float]:
    """Returns four to six round numbers from 0 to at least `largest`."""
    if not largest > 0:
        return [0.0, 1.0]
    rough = largest / 5
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    return [round(index * step, 12) for index in range(math.ceil(largest / step - 1e-9) + 1)]


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    parts, x = [], _LEFT + 30.0
    for line, color in zip(series, _cycled(len(series)), strict=True):
        width = 26 + 6.6 * len(line.name)
        if x + width > WIDTH:
            break  # the table below has the rest
        parts.append(f'<rect x="{x:.0f}" y="8" width="12" height="4" fill="{color}"/>')
        parts.append(f'<text x="{x + 16:.0f}" y="14" {_TEXT}>{html.escape(line.name)}</text>')
        x += width
    return "".join(parts)


def _cycled(count: int) -> list[str]:
    return [_COLORS[index % len(_COLORS)] for index in range(count)]
