"""Flat pictures of the world: what windows look out on, televisions show, and posters hang on the wall."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data_prep.sample_rooms.shapes import Color
from data_prep.sample_rooms.style import Style, between, chance, jitter, mix, pick, shade

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
    """What lies outside: the sky's colours at the top and at the horizon, and whether a city stands before it."""

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


def screen(rng: np.random.Generator, *, on: bool) -> Image.Image:
    """Returns what a television shows: a film, a match, the news, a menu, or a dark screen with a reflection."""
    size = (192, 108)
    if not on:
        image = gradient((34, 37, 44), (12, 13, 16), size)
        glare = Image.new("L", size, 0)
        x = between(rng, 20, 140)
        ImageDraw.Draw(glare).polygon([(x, 0), (x + 36, 0), (x - 10, 108), (x - 46, 108)], fill=26)
        white = Image.new("RGB", size, (200, 210, 220))
        return Image.composite(white, image, glare.filter(ImageFilter.GaussianBlur(6)))
    kind = pick(rng, ("film", "film", "match", "news", "menu", "cartoon"))
    if kind == "film":
        return view(rng, random_outlook(rng, night=chance(rng, 0.3)), size)
    image = Image.new("RGB", size, (30, 34, 44))
    draw = ImageDraw.Draw(image)
    if kind == "match":
        for stripe in range(12):
            draw.rectangle((stripe * 16, 0, stripe * 16 + 15, 108), fill=(58, 140, 62) if stripe % 2 else (68, 156, 70))
        draw.line((96, 0, 96, 108), fill=(230, 240, 230), width=2)
        draw.ellipse((76, 34, 116, 74), outline=(230, 240, 230), width=2)
        for team in ((220, 60, 50), (250, 240, 120)):
            for _ in range(7):
                x, y = between(rng, 6, 186), between(rng, 8, 98)
                draw.ellipse((x - 2, y - 5, x + 2, y), fill=(230, 190, 160))
                draw.rectangle((x - 2, y, x + 2, y + 6), fill=team)
        draw.rectangle((6, 5, 52, 14), fill=(20, 24, 34))
    elif kind == "news":
        image.paste(gradient((26, 60, 130), (90, 150, 220), size))
        skin = pick(rng, ((236, 196, 164), (196, 144, 108), (130, 90, 64)))
        x = between(rng, 50, 140)
        draw.rectangle((x - 30, 66, x + 30, 108), fill=pick(rng, ((44, 48, 60), (150, 44, 60), (232, 230, 226))))
        draw.rectangle((x - 7, 54, x + 7, 70), fill=shade(skin, 0.9))
        draw.ellipse((x - 16, 24, x + 16, 62), fill=skin)
        draw.pieslice(
            (x - 18, 20, x + 18, 58), 180, 360, fill=pick(rng, ((40, 30, 26), (120, 84, 48), (190, 186, 180)))
        )
        draw.rectangle((0, 88, 192, 108), fill=(170, 30, 40))
        for line in range(2):
            draw.rectangle((8, 92 + 7 * line, between(rng, 90, 180), 95 + 7 * line), fill=(245, 240, 236))
    elif kind == "menu":
        for row in range(3):
            for column in range(4):
                place = (8 + column * 46, 10 + row * 33, 48 + column * 46, 36 + row * 33)
                draw.rectangle(
                    place,
                    fill=jitter(rng, pick(rng, ((200, 70, 70), (70, 120, 200), (90, 170, 110), (220, 180, 70))), 40),
                )
    else:
        image.paste(gradient((120, 210, 240), (250, 240, 190), size))
        draw.ellipse((20, 70, 230, 190), fill=(110, 190, 90))
        for _ in range(3):
            x, y, radius = between(rng, 30, 160), between(rng, 40, 70), between(rng, 12, 24)
            color = pick(rng, ((240, 110, 90), (250, 200, 70), (140, 110, 210)))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
            for eye in (-0.4, 0.4):
                draw.ellipse((x + (eye - 0.16) * radius, y - 6, x + (eye + 0.16) * radius, y + 2), fill=(250, 250, 250))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def poster(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    """Returns a picture to hang on a wall, most with a passe-partout; some could be taken for a screen."""
    kind = pick(rng, ("landscape", "landscape", "shapes", "arches", "leaf", "dark", "lines"))
    paper = mix((246, 242, 234), style.textiles[2], 0.4)
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    width, height = size
    colors = style.textiles
    if kind == "landscape":
        image = view(rng, random_outlook(rng, night=chance(rng, 0.15)), size)
    elif kind == "shapes":
        for _ in range(int(rng.integers(3, 8))):
            x, y, radius = between(rng, 0, width), between(rng, 0, height), between(rng, 0.1, 0.35) * min(size)
            color = jitter(rng, pick(rng, colors), 18)
            if chance(rng, 0.5):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
            else:
                draw.rectangle((x - radius, y - radius / 2, x + radius, y + radius / 2), fill=color)
    elif kind == "arches":
        for ring in range(5, 0, -1):
            radius = ring * min(size) / 11
            color = jitter(rng, colors[ring % len(colors)], 12)
            draw.pieslice(
                (width / 2 - radius, height * 0.75 - radius, width / 2 + radius, height * 0.75 + radius),
                180,
                360,
                fill=color,
            )
    elif kind == "leaf":
        for side in range(-3, 4):
            tip = (width / 2 + side * width / 9, height * (0.18 + 0.06 * abs(side)))
            draw.line((width / 2, height * 0.9, *tip), fill=jitter(rng, (70, 110, 80), 20), width=max(2, width // 26))
            draw.ellipse(
                (tip[0] - width / 20, tip[1] - height / 14, tip[0] + width / 20, tip[1] + height / 14),
                fill=jitter(rng, (80, 126, 88), 20),
            )
    elif kind == "dark":
        image = gradient(shade(colors[3], 0.5), shade(colors[3], 0.25), size)
    else:
        for line in range(7):
            points = [
                (x, height * (0.15 + 0.11 * line) + 6 * math.sin(x / width * 7 + line * between(rng, 0.5, 0.9)))
                for x in range(0, width + 8, 8)
            ]
            draw.line(points, fill=pick(rng, colors), width=max(2, height // 40))
    if chance(rng, 0.6):
        margin = round(min(size) * between(rng, 0.08, 0.16))
        mounted = Image.new("RGB", size, (248, 246, 240))
        mounted.paste(image.resize((width - 2 * margin, height - 2 * margin)), (margin, margin))
        return mounted
    return image


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
