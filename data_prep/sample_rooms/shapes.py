"""The solids that furniture is made of: boxes, rounded boxes, cushions, turned shapes, prisms, leaves and curtains.

Every polygon is listed counter-clockwise as seen from outside. "Front" is the side towards -y, where the camera is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

Color = tuple[int, int, int]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Texture:
    """A flat image laid on a polygon.

    Attributes:
        image: RGB.
        corners: [3, 3] where the image's top left, top right and bottom left corners lie, in metres.
    """

    image: Image.Image
    corners: np.ndarray


@dataclass(frozen=True)
class Part:
    """One solid, or one sheet, of an object.

    Attributes:
        vertices: [V, 3] in metres.
        polygons: Indices of each polygon's vertices.
        color: Red, green, blue in 0..255.
        emission: How much light it gives off by itself, in times its colour; 0 is lit by the room alone.
        textures: By polygon index; they replace the colour there.
        two_sided: A sheet that is seen from both sides, such as a leaf.
        casts_shadow: Whether it darkens what lies behind it.
    """

    vertices: np.ndarray
    polygons: tuple[tuple[int, ...], ...]
    color: Color
    emission: float = 0.0
    textures: Mapping[int, Texture] = field(default_factory=dict)
    two_sided: bool = False
    casts_shadow: bool = True

    def moved(self, offset: Sequence[float] | np.ndarray, rotation: np.ndarray | None = None) -> Part:
        """Returns the part turned by `rotation` ([3, 3], about the origin) and then moved by `offset` ([3])."""
        turn = np.eye(3) if rotation is None else rotation
        shift = np.asarray(offset, dtype=np.float64)
        textures = {
            index: replace(texture, corners=texture.corners @ turn.T + shift)
            for index, texture in self.textures.items()
        }
        return replace(self, vertices=self.vertices @ turn.T + shift, textures=textures)


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Returns the [3, 3] rotation about `x`, `y` or `z`, counter-clockwise as seen from the axis' positive end."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


BOX_FACES = {
    "bottom": (0, 2, 3, 1),
    "top": (4, 5, 7, 6),
    "front": (0, 1, 5, 4),
    "right": (1, 3, 7, 5),
    "back": (3, 2, 6, 7),
    "left": (2, 0, 4, 6),
}
# Of each side: the vertices under its texture's top left, top right and bottom left corners.
BOX_TEXTURE_CORNERS = {"top": (6, 7, 4), "front": (4, 5, 0), "right": (5, 7, 1), "left": (6, 4, 2), "back": (7, 6, 3)}


def box(
    low: Point,
    high: Point,
    color: Color,
    *,
    emission: float = 0.0,
    textures: Mapping[str, Image.Image] | None = None,
    casts_shadow: bool = True,
) -> Part:
    """Returns a box between two corners; `textures` by side: `front`, `back`, `left`, `right`, `top`."""
    vertices = np.array([(x, y, z) for z in (low[2], high[2]) for y in (low[1], high[1]) for x in (low[0], high[0])])
    names = list(BOX_FACES)
    laid = {
        names.index(side): Texture(image, vertices[list(BOX_TEXTURE_CORNERS[side])])
        for side, image in (textures or {}).items()
    }
    return Part(vertices, tuple(BOX_FACES.values()), color, emission, laid, casts_shadow=casts_shadow)


def slab(center: Point, size: Point, color: Color, **options: object) -> Part:
    """Returns a box of `size` around `center`; the options are those of `box`."""
    half = np.asarray(size) / 2
    low, high = np.asarray(center) - half, np.asarray(center) + half
    return box(tuple(low), tuple(high), color, **options)  # type: ignore[arg-type]


def rounded_box(
    low: Point, high: Point, color: Color, radius: float, *, steps: int = 2, top: Image.Image | None = None
) -> Part:
    """Returns a box with rounded edges; `top` is a texture for its flat top."""
    lower, upper = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    center, half = (lower + upper) / 2, (upper - lower) / 2
    radius = min(radius, *(half * 0.98))
    core = half - radius
    quarter = np.radians(np.linspace(0, 90, steps + 1))
    around = [(angle + math.pi / 2 * q, q) for q in range(4) for angle in quarter]
    signs = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    rings = [(-angle, -1) for angle in quarter[::-1]] + [(angle, 1) for angle in quarter]
    corners_and_directions = [
        (
            (*signs[q], up),
            (
                math.cos(latitude) * math.cos(longitude),
                math.cos(latitude) * math.sin(longitude),
                math.sin(latitude),
            ),
        )
        for latitude, up in rings
        for longitude, q in around
    ]
    at_corner, outwards = np.array(corners_and_directions, dtype=np.float64).transpose(1, 0, 2)
    points = center + core * at_corner + radius * outwards
    polygons = _rings_to_polygons(len(rings), len(around))
    # At the poles all points of a quarter coincide: one of each makes the flat bottom and top.
    last = (len(rings) - 1) * len(around)
    polygons.append(tuple(q * (steps + 1) for q in (3, 2, 1, 0)))
    polygons.append(tuple(last + q * (steps + 1) for q in range(4)))
    textures = {}
    if top is not None:
        corner = {sign: points[last + q * (steps + 1)] for q, sign in enumerate(signs)}
        textures = {len(polygons) - 1: Texture(top, np.stack([corner[-1, 1], corner[1, 1], corner[-1, -1]]))}
    return Part(points, tuple(polygons), color, textures=textures)


def turned(
    profile: Sequence[tuple[float, float]],
    color: Color,
    *,
    center: tuple[float, float] = (0.0, 0.0),
    segments: int = 18,
    emission: float = 0.0,
    top: Image.Image | None = None,
    casts_shadow: bool = True,
) -> Part:
    """Returns a shape turned about a vertical axis, as on a lathe.

    Args:
        profile: (radius, height) pairs from the bottom to the top.
        color: Its colour.
        center: x and y of the axis.
        segments: How many flat sides make the round.
        emission: See `Part`.
        top: A texture for the flat top, laid over its bounding square.
        casts_shadow: See `Part`.
    """
    angles = np.arange(segments) * 2 * math.pi / segments
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(segments)], axis=1)
    origin = np.array([center[0], center[1], 0.0])
    vertices = np.concatenate([origin + circle * radius + (0.0, 0.0, height) for radius, height in profile])
    polygons = _rings_to_polygons(len(profile), segments)
    polygons.append(tuple(range(segments - 1, -1, -1)))
    polygons.append(tuple(range(len(vertices) - segments, len(vertices))))
    textures = {}
    if top is not None:
        radius, height = profile[-1]
        corners = origin + np.array([(-radius, radius, height), (radius, radius, height), (-radius, -radius, height)])
        textures = {len(polygons) - 1: Texture(top, corners)}
    return Part(vertices, tuple(polygons), color, emission, textures, casts_shadow=casts_shadow)


def rod(start: Point, end: Point, radius: float, color: Color, *, segments: int = 8) -> Part:
    """Returns a round rod between two points."""
    low, high = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    axis = (high - low) / np.linalg.norm(high - low)
    side = np.cross(axis, (1.0, 0.0, 0.0) if abs(axis[0]) < 0.9 else (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    angles = np.arange(segments) * 2 * math.pi / segments
    circle = radius * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other)
    polygons = _rings_to_polygons(2, segments)
    polygons.append(tuple(range(segments - 1, -1, -1)))
    polygons.append(tuple(range(segments, 2 * segments)))
    return Part(np.concatenate([low + circle, high + circle]), tuple(polygons), color)


def cushion(width: float, depth: float, thickness: float, color: Color, *, cells: int = 8) -> Part:
    """Returns a cushion that lies around the origin: thick in the middle, thin at its seam."""
    line = np.sin(np.linspace(-math.pi / 2, math.pi / 2, cells + 1))  # finer towards the seam, where it bends most
    u, v = np.meshgrid(line, line, indexing="ij")
    bulge = np.sqrt(np.clip((1 - u**4) * (1 - v**4), 0, 1)) * thickness / 2
    # The middle of each side is drawn in a little, as a filled cover's is.
    x, y = width / 2 * u * (1 - 0.06 * (1 - v**2)), depth / 2 * v * (1 - 0.06 * (1 - u**2))
    upper = np.stack([x, y, bulge], axis=-1).reshape(-1, 3)
    lower = upper * (1, 1, -1)
    stride, count = cells + 1, (cells + 1) ** 2
    polygons: list[tuple[int, ...]] = []
    for i in range(cells):
        for j in range(cells):
            a, b = i * stride + j, (i + 1) * stride + j
            polygons.append((a, b, b + 1, a + 1))
            polygons.append((count + a, count + a + 1, count + b + 1, count + b))
    return Part(np.concatenate([upper, lower]), tuple(polygons), color)


def prism(
    outline: Sequence[tuple[float, float]],
    y_front: float,
    y_back: float,
    color: Color,
    *,
    front: Image.Image | None = None,
) -> Part:
    """Returns a convex outline of (x, z), counter-clockwise as seen from the front, drawn out from front to back."""
    count = len(outline)
    vertices = np.array([(x, y, z) for y in (y_front, y_back) for x, z in outline])
    polygons: list[tuple[int, ...]] = [tuple(range(count)), tuple(range(2 * count - 1, count - 1, -1))]
    for i in range(count):
        j = (i + 1) % count
        polygons.append((i, count + i, count + j, j))
    textures = {}
    if front is not None:
        (left, bottom), (right, top) = np.min(outline, axis=0), np.max(outline, axis=0)
        corners = np.array([(left, y_front, top), (right, y_front, top), (left, y_front, bottom)])
        textures = {0: Texture(front, corners)}
    return Part(vertices, tuple(polygons), color, textures=textures)


def disc_outline(radius: float, center: tuple[float, float], segments: int = 32) -> list[tuple[float, float]]:
    """Returns a circle of (x, z) for `prism`."""
    angles = np.arange(segments) * 2 * math.pi / segments
    return [(center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)) for angle in angles]


def leaf(spine: np.ndarray, width: float, color: Color, *, widest: float = 0.4) -> Part:
    """Returns a leaf along a spine of points [K, 3]; `widest` is where along it, in 0..1."""
    count = len(spine)
    along = np.linspace(0, 1, count)
    shape = np.where(along < widest, along / widest, (1 - along) / (1 - widest))
    half = width / 2 * np.sqrt(np.clip(shape, 0.0, 1.0)) + 0.002
    direction = np.gradient(spine, axis=0)
    side = np.cross(direction, (0.0, 0.0, 1.0))
    length = np.linalg.norm(side, axis=1, keepdims=True)
    side = np.where(length > 1e-6, side / np.maximum(length, 1e-6), (1.0, 0.0, 0.0))
    vertices = np.concatenate([spine - side * half[:, None], spine + side * half[:, None]])
    polygons = tuple((i, i + 1, count + i + 1, count + i) for i in range(count - 1))
    return Part(vertices, polygons, color, two_sided=True)


def hanging_cloth(
    low: tuple[float, float], high: tuple[float, float], y: float, color: Color, *, folds: float, depth: float
) -> Part:
    """Returns a curtain in the plane `y`, from `low` to `high` (x, z), hung in `folds` waves of `depth` metres."""
    (x_low, z_low), (x_high, z_high) = low, high
    count = max(8, int(folds * 7))
    along = np.linspace(0, 1, count + 1)
    wave = depth * (np.sin(along * folds * 2 * math.pi) + 0.35 * np.sin(along * folds * 4.7 * math.pi + 1.0))
    x = x_low + (x_high - x_low) * along
    top = np.stack([x, y + 0.6 * wave, np.full_like(x, z_high)], axis=1)
    bottom = np.stack([x, y + wave, np.full_like(x, z_low)], axis=1)
    polygons = tuple((i, i + 1, count + 2 + i, count + 1 + i) for i in range(count))
    return Part(np.concatenate([bottom, top]), polygons, color, two_sided=True)


def _rings_to_polygons(rings: int, around: int) -> list[tuple[int, ...]]:
    """Returns the four-sided polygons between consecutive closed rings of vertices, from the bottom up."""
    polygons: list[tuple[int, ...]] = []
    for ring in range(rings - 1):
        for i in range(around):
            j = (i + 1) % around
            polygons.append(
                (ring * around + i, ring * around + j, (ring + 1) * around + j, (ring + 1) * around + i),
            )
    return polygons
