"""Flat pictures of the world outside: hills and cities, by day and by night."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data_prep.sample_rooms.shapes import Color
from data_prep.sample_rooms.style import between, chance, jitter, mix, pick, shade

DAY_SKIES: tuple[tuple[Color, Color], ...] = (
    ((92, 158, 220), (206, 230, 244)),
    ((132, 182, 226), (232, 240, 244)),
    ((168, 186, 200), (220, 226, 230)),
    ((104, 132, 190), (252, 206, 160)),
    ((236, 160, 116), (252, 226, 172)),
)


NIGHT_SKIES: tuple[tuple[Color, Color], ...] = (((10, 14, 34), (30, 40, 74)), ((22, 22, 44), (70, 58, 90)))


@dataclass(frozen=True)
class Outlook:
    """View out of a window: the sky's colours at the top and at the horizon, and whether a city stands before it."""

    top: Color
    horizon: Color
    city: bool
    night: bool


def random_outlook(rng: np.random.Generator, *, night: bool) -> Outlook:
    """Returns a sky for a time of day, and what stands before it."""
    top, horizon = pick(rng, NIGHT_SKIES if night else DAY_SKIES)
    return Outlook(top, horizon, chance(rng, 0.4), night)


def view(rng: np.random.Generator, outlook: Outlook, size: tuple[int, int]) -> Image.Image:
    """Returns a landscape or a city under a sky, different each time for the same outlook."""
    top, horizon, night = outlook.top, outlook.horizon, outlook.night
    image = gradient(top, horizon, size)
    draw = ImageDraw.Draw(image)
    width, height = size
    if night:
        for _ in range(40):
            x, y = between(rng, 0, width), between(rng, 0, height * 0.6)
            draw.point((x, y), fill=(220, 224, 240))
        x, y = between(rng, 0.2, 0.8) * width, between(rng, 0.1, 0.35) * height
        draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=(240, 236, 214))
    else:
        _clouds(rng, image, int(rng.integers(0, 5)))
        draw = ImageDraw.Draw(image)
    if outlook.city:
        _city(rng, draw, size, night=night, haze=horizon)
    else:
        _hills(rng, draw, size, night=night, haze=horizon)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def gradient(top: Color, bottom: Color, size: tuple[int, int]) -> Image.Image:
    """Returns a picture that goes from one colour at the top to another at the bottom."""
    share = np.linspace(0, 1, size[1])[:, None, None]
    column = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
    return Image.fromarray(np.broadcast_to(column, (size[1], size[0], 3)).astype(np.uint8))


def _clouds(rng: np.random.Generator, image: Image.Image, count: int) -> None:
    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    for _ in range(count):
        x, y = between(rng, 0, image.width), between(rng, 0.05, 0.5) * image.height
        for _ in range(5):
            dx, dy, radius = between(rng, -24, 24), between(rng, -5, 4), between(rng, 5, 13)
            draw.ellipse((x + dx - 1.6 * radius, y + dy - radius, x + dx + 1.6 * radius, y + dy + radius), fill=190)
    image.paste((250, 250, 252), (0, 0), mask.filter(ImageFilter.GaussianBlur(3)))


def _hills(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: tuple[int, int], *, night: bool, haze: Color
) -> None:
    width, height = size
    base = pick(rng, ((86, 132, 84), (120, 142, 80), (96, 124, 116), (150, 134, 92)))
    for layer in range(3):
        level = height * (0.55 + 0.14 * layer + between(rng, -0.04, 0.04))
        color = mix(base, haze, 0.55 - 0.25 * layer)
        color = shade(color, 0.28) if night else color
        waves = [between(rng, 0.6, 2.2), between(rng, 0, 6.3), between(rng, 3, 14)]
        ridge = [
            (x, level + waves[2] * math.sin(waves[0] * x / width * 6.3 + waves[1])) for x in range(0, width + 6, 6)
        ]
        draw.polygon([*ridge, (width, height), (0, height)], fill=color)
        if layer >= 1:
            for _ in range(int(rng.integers(0, 7))):
                x, tall = between(rng, 0, width), between(rng, 8, 26) * (0.6 + 0.4 * layer)
                ground = level + waves[2] * math.sin(waves[0] * x / width * 6.3 + waves[1]) + 4
                tree = jitter(rng, shade(color, 0.72), 8)
                if chance(rng, 0.5):
                    draw.polygon([(x, ground - tall), (x + tall * 0.3, ground), (x - tall * 0.3, ground)], fill=tree)
                else:
                    draw.ellipse((x - tall * 0.35, ground - tall, x + tall * 0.35, ground - tall * 0.3), fill=tree)
                    draw.line((x, ground, x, ground - tall * 0.4), fill=shade(tree, 0.7), width=2)


def _city(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: tuple[int, int], *, night: bool, haze: Color
) -> None:
    width, height = size
    for layer in range(2):
        x = -6.0
        while x < width:
            wide, top = between(rng, 14, 34), height * between(rng, 0.25 + 0.2 * layer, 0.65 + 0.12 * layer)
            color = mix(
                jitter(rng, pick(rng, ((150, 120, 104), (120, 130, 142), (176, 160, 140))), 14),
                haze,
                0.5 - 0.35 * layer,
            )
            color = shade(color, 0.25) if night else color
            draw.rectangle((x, top, x + wide, height), fill=color)
            lit = (250, 214, 130) if night else mix(color, (230, 240, 250), 0.4)
            for row in range(int(top) + 4, height, 8):
                for column in range(int(x) + 3, int(x + wide) - 4, 7):
                    if chance(rng, 0.4 if night else 0.85):
                        draw.rectangle((column, row, column + 3, row + 4), fill=lit)
            x += wide
