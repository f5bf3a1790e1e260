"""A plot of a learning rate range test: losses over rates, both smoothed and as they came."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

from train.experiments.learning_rate_range import RangeCurve, Suggestion

_WIDTH, _HEIGHT = 1200, 640
_LEFT, _RIGHT, _TOP, _BOTTOM = 130, 40, 70, 90
_INK, _GREY, _LIGHT, _CURVE, _MARK, _DOT = "#222222", "#666666", "#e4e4e4", "#1f5fa8", "#c2452d", "#a9c3e0"
_GRID_LINES = 5


def draw_range(curve: RangeCurve, suggestion: Suggestion | None, title: str) -> Image.Image:
    """Draws a range test.

    Args:
        curve: With two steps at least.
        suggestion: Marked, where there is one.
        title: What to write above.

    Returns:
        An RGB image of 1200 x 640 pixels: rates on a logarithmic axis, the losses as dots, the smoothed ones as a line.
        Losses far above the first leave the plot at its top.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    first, last = math.log10(curve.rates[0]), math.log10(curve.rates[-1])
    least, most = min(curve.losses), max(curve.losses)
    # An explosion would press all that matters into a line at the bottom.
    most = min(most, curve.smoothed[0] + 1.5 * (curve.smoothed[0] - least)) if most > 2 * curve.smoothed[0] else most
    margin = 0.05 * (most - least) or 1.0
    floor, ceiling = least - margin, most + margin

    def across(rate: float) -> float:
        return _LEFT + (math.log10(rate) - first) / (last - first) * (right - _LEFT)

    def place(rate: float, loss: float) -> tuple[float, float]:
        share = (min(loss, ceiling) - floor) / (ceiling - floor)
        return across(rate), bottom - share * (bottom - _TOP)

    small, large = ImageFont.load_default(size=14), ImageFont.load_default(size=20)
    for index in range(_GRID_LINES + 1):
        share = index / _GRID_LINES
        y = bottom - share * (bottom - _TOP)
        draw.line([(_LEFT, y), (right, y)], fill=_LIGHT)
        draw.text((_LEFT - 10, y), f"{floor + share * (ceiling - floor):.4g}", fill=_GREY, font=small, anchor="rm")
    for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1):
        x = across(10.0**power)
        draw.line([(x, _TOP), (x, bottom + 5)], fill=_LIGHT)
        draw.text((x, bottom + 10), f"{10.0**power:g}", fill=_GREY, font=small, anchor="mt")
    for rate, loss in zip(curve.rates, curve.losses, strict=True):
        x, y = place(rate, loss)
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=_DOT)
    draw.line([place(*pair) for pair in zip(curve.rates, curve.smoothed, strict=True)], fill=_CURVE, width=3)
    if suggestion is not None and curve.rates[0] <= suggestion.rate <= curve.rates[-1]:
        x = across(suggestion.rate)
        for dash in range(_TOP, bottom, 10):
            draw.line([(x, dash), (x, dash + 4)], fill=_MARK)
        draw.text((x + 6, _TOP - 20), f"{suggestion.rate:g}", fill=_MARK, font=ImageFont.load_default(size=16))
    draw.line([(_LEFT, _TOP), (_LEFT, bottom), (right, bottom)], fill=_INK, width=2)
    draw.text((right, bottom + 32), "learning rate", fill=_INK, font=small, anchor="rt")
    draw.text((_LEFT - 10, _TOP - 20), "loss", fill=_INK, font=small, anchor="rm")
    draw.text((_LEFT, 12), title, fill=_INK, font=large)
    words = f"{suggestion.rate:g}: {suggestion.reason}" if suggestion is not None else "no rate is suggested"
    draw.text((_LEFT, _HEIGHT - 30), words, fill=_MARK, font=small)
    return image
