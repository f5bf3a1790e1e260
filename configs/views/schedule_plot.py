"""A plot of a learning rate over the steps of a training run."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from configs.settings.learning_rates import Schedule

_WIDTH, _HEIGHT = 1200, 640
_LEFT, _RIGHT, _TOP, _BOTTOM = 130, 40, 70, 90
_INK, _GREY, _LIGHT, _CURVE, _MARK = "#222222", "#666666", "#e4e4e4", "#1f5fa8", "#c2452d"
_GRID_LINES = 5
_MOST_LABELS_A_ROW = 4


def draw_schedule(schedule: Schedule, num_steps: int, title: str) -> Image.Image:
    """Draws the rate at each step.

    Args:
        schedule: The learning rate.
        num_steps: The last step to show, from 1.
        title: What to write above.

    Returns:
        An RGB image of 1200 x 640 pixels: axes with numbers, the curve, and a named mark at each turning point.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    turns = [turn for turn in schedule.turns() if turn.step <= num_steps]
    # Every column of pixels has its step, and the steps around each turn are there too, so that stairs stay upright.
    near = [step for turn in turns for step in (turn.step - 1, turn.step) if 0 <= step <= num_steps]
    steps = np.unique(np.concatenate([np.linspace(0, num_steps, right - _LEFT + 1).round(), near]))
    rates = np.asarray(schedule.rate(steps, np), np.float64)
    top_rate = round_up(float(rates.max())) or 1.0

    def place(step: float, rate: float) -> tuple[float, float]:
        return _LEFT + step / num_steps * (right - _LEFT), bottom - rate / top_rate * (bottom - _TOP)

    _draw_axes(draw, num_steps, top_rate)
    draw.line([place(step, rate) for step, rate in zip(steps, rates, strict=True)], fill=_CURVE, width=3)
    small = ImageFont.load_default(size=14)
    names = []
    for index, turn in enumerate(turns):
        rate = float(np.asarray(schedule.rate(np.array([float(turn.step)]), np))[0])
        x, y = place(turn.step, rate)
        for dash in range(_TOP, bottom, 10):
            draw.line([(x, dash), (x, dash + 4)], fill=_GREY)
        draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill=_MARK)
        number = f"{index + 1}"
        draw.text((min(x + 6, right - 12), _TOP - 20), number, fill=_MARK, font=ImageFont.load_default(size=16))
        names.append(f"{number}  {turn.what}: {rate:.4g}")
    draw.text((_LEFT, 12), title, fill=_INK, font=ImageFont.load_default(size=20))
    shown = names if len(names) <= _MOST_LABELS_A_ROW else [*names[: _MOST_LABELS_A_ROW - 1], "..."]
    draw.text((_LEFT, _HEIGHT - 30), "        ".join(shown), fill=_MARK, font=small)
    return image


def round_up(value: float) -> float:
    """The next number of the form 1, 2, 2.5 or 5 times a power of ten that is not less; 0 for 0."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= value * (1 - 1e-9))


def _draw_axes(draw: ImageDraw.ImageDraw, num_steps: int, top_rate: float) -> None:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    font = ImageFont.load_default(size=14)
    for index in range(_GRID_LINES + 1):
        share = index / _GRID_LINES
        y = bottom - share * (bottom - _TOP)
        draw.line([(_LEFT, y), (right, y)], fill=_LIGHT)
        draw.text((_LEFT - 10, y), f"{top_rate * share:.4g}", fill=_GREY, font=font, anchor="rm")
        x = _LEFT + share * (right - _LEFT)
        draw.line([(x, bottom), (x, bottom + 5)], fill=_INK)
        draw.text((x, bottom + 10), f"{num_steps * share:,.0f}", fill=_GREY, font=font, anchor="mt")
    draw.line([(_LEFT, _TOP), (_LEFT, bottom), (right, bottom)], fill=_INK, width=2)
    draw.text((right, bottom + 32), "step", fill=_INK, font=font, anchor="rt")
    draw.text((_LEFT - 10, _TOP - 20), "learning rate", fill=_INK, font=font, anchor="rm")
